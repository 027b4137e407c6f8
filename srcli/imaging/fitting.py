"""Fit metadata to pixels that were turned upright or enlarged; drop what points at lost pictures.

In XMP, RDF writes a property as an attribute or as an element: both are nodes of a document here.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from srcli.imaging import exif

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from srcli.imaging.photograph import Metadata

# ImageWidth, ImageLength, PixelXDimension, PixelYDimension: no longer true once it is upscaled
_EXIF_SIZES = frozenset({0x0100, 0x0101, 0xA002, 0xA003})
# SubjectArea and SubjectLocation, in pixels of the picture as it is stored
_AREAS = (0x9214, 0xA214)
# pixels per length of the sensor across and down; the same of a print, which is not enlarged here
_FOCAL_PLANE, _RESOLUTION = (0xA20E, 0xA20F), (0x011A, 0x011B)
_CHANGING = frozenset({*_AREAS, *_FOCAL_PLANE, *_RESOLUTION})
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202

_Named = dict[tuple[str, str], list[Any]]
"""Elements and attributes of XMP by namespace and name."""

HDR_LEFT_OUT = "HDR gain map left out: the result is the picture without HDR"
VIDEO_LEFT_OUT = "video of the motion photo left out"
DEPTH_LEFT_OUT = "depth map left out"

_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([1-8])(?=\s*["'<])""")
_NUMBER = re.compile(r"\s*([-+]?\d[\d.]*(?:/\d+)?)\s*")
_LARGEST = 2**20  # bytes of a packet that is edited
_AMPERSAND = "\ue000"
"""Stands for ``&`` in a document, so that references stay as they are written."""

_GOOGLE, _ADOBE = "http://ns.google.com/photos/", "http://ns.adobe.com/"
_GPANO, _CAMERA = f"{_GOOGLE}1.0/panorama/", f"{_GOOGLE}1.0/camera/"
_TIFF, _EXIF = f"{_ADOBE}tiff/1.0/", f"{_ADOBE}exif/1.0/"
_MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
_DIMENSIONS, _AREA = f"{_ADOBE}xap/1.0/sType/Dimensions#", f"{_ADOBE}xmp/sType/Area#"
_MICROSOFT = "http://ns.microsoft.com/photo/1.2/t/Region#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_BOUNDARY = ("rbUnit", "rbX", "rbY", "rbW", "rbH", "rbRx")
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

_COMPANIONS: tuple[tuple[str, str, str, str], ...] = (
    (f"{_ADOBE}hdr-gain-map/1.0/", "", "", HDR_LEFT_OUT),
    ("http://ns.apple.com/HDRGainMap/1.0/", "", "", HDR_LEFT_OUT),
    (f"{_GOOGLE}1.0/depthmap/", "", "", DEPTH_LEFT_OUT),
    (f"{_GOOGLE}dd/1.0/", "", "", DEPTH_LEFT_OUT),
    (f"{_GOOGLE}1.0/image/", "", "", "embedded second picture left out"),
    (f"{_GOOGLE}1.0/audio/", "", "", "embedded sound left out"),
    (_CAMERA, "(?:MotionPhoto|MicroVideo)", r"(?:Photo|Video)\W+1\b", VIDEO_LEFT_OUT),
    (f"{_GOOGLE}1.0/container/", "", r"Semantic\W+GainMap", HDR_LEFT_OUT),
    (f"{_GOOGLE}1.0/container/", "", r"Semantic\W+MotionPhoto", VIDEO_LEFT_OUT),
    (f"{_GOOGLE}1.0/container/", "", r"Semantic\W+Depth", DEPTH_LEFT_OUT),
    (f"{_ADOBE}xmp/note/", "HasExtendedXMP", "", "extended XMP left out"),
    (f"{_ADOBE}xap/1.0/", "Thumbnails", "(?!)", ""),
)
"""Pictures and sounds beside the picture: start of a namespace, start of the names of properties,
and what is gone if what is dropped has a pattern."""

_SIZES = (
    (_GPANO, "FullPanoWidthPixels", "FullPanoHeightPixels"),
    (_GPANO, "CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels"),
    (_GPANO, "CroppedAreaLeftPixels", "CroppedAreaTopPixels"),
    (_GPANO, "LargestValidInteriorRectWidth", "LargestValidInteriorRectHeight"),
    (_GPANO, "LargestValidInteriorRectLeft", "LargestValidInteriorRectTop"),
    (_EXIF, "PixelXDimension", "PixelYDimension"),
    (_EXIF, "FocalPlaneXResolution", "FocalPlaneYResolution"),
    (_TIFF, "ImageWidth", "ImageLength"),
)
"""Properties that state a width and a height in pixels, or pixels per length."""


@dataclass(frozen=True)
class PixelMap:
    """How the pixels of a picture became those of another: turned first, then resized.

    Places are measured from the upper left corner, in pixels or as parts of the picture's sides.
    """

    before: tuple[int, int]
    """(height, width) of the pixels as they were."""
    after: tuple[int, int]
    """(height, width) of the new pixels."""
    orientation: int = 1
    """1 to 8 as EXIF numbers them: how the old pixels were turned."""

    @property
    def swaps(self) -> bool:
        """True if width and height change places."""
        return self.orientation > 4

    @property
    def changes_nothing(self) -> bool:
        """True if the pixels are where they were."""
        return self.orientation == 1 and self.before == self.after

    @property
    def turned(self) -> tuple[int, int]:
        """(height, width) after turning, before resizing."""
        return self.before[::-1] if self.swaps else self.before

    @property
    def of_parts(self) -> PixelMap:
        """The same for places and sizes that are given as parts, 0 to 1, of width and height."""
        return PixelMap((1, 1), (1, 1), self.orientation)

    def size(self, across: float, down: float) -> list[float]:
        """Map a width and a height, or numbers of pixels per length."""
        return self.area((0, 0, across, down))[2:]

    def area(self, values: Sequence[float], *, corner: bool = False) -> list[float]:
        """Map a point (x, y), a circle (x, y, diameter) or a box (x, y, width, height).

        x and y are the centre, or else the upper left corner of the box.
        """
        x, y, *extent = values
        across, down = (*extent, *extent, 0.0, 0.0)[:2]
        shift = 0.5 if corner else 0.0
        height, width = self.before
        x, y = (x + shift * across) / width, (y + shift * down) / height
        if self.swaps:
            x, y, across, down, height, width = y, x, down, across, width, height
        if self.orientation in (3, 4, 7, 8):
            y = 1 - y
        if self.orientation in (2, 3, 6, 7):
            x = 1 - x
        new_height, new_width = self.after
        across, down = across * new_width / width, down * new_height / height
        moved = x * new_width - shift * across, y * new_height - shift * down
        return [*moved, across, down][: len(values)]


def fit_metadata(metadata: Metadata, pixels: PixelMap) -> tuple[Metadata, tuple[str, ...]]:
    """Return the metadata as they describe the new pixels, and what is lost, for the user."""
    notes: tuple[str, ...] = ()
    if metadata.exif is not None:
        try:
            metadata = replace(metadata, exif=fit_exif(metadata.exif, pixels))
        except ValueError:
            metadata = replace(metadata, exif=None)
            notes = ("damaged EXIF left out",)
    if metadata.xmp is not None:
        packet, lost = fit_xmp(metadata.xmp, pixels)
        metadata, notes = replace(metadata, xmp=packet), (*notes, *lost)
    if metadata.dpi is not None and pixels.swaps:
        metadata = replace(metadata, dpi=metadata.dpi[::-1])
    return metadata, notes


def fit_exif(block: bytes, pixels: PixelMap) -> bytes:
    """Fit an EXIF block to pixels that were turned or enlarged.

    Its orientation becomes 1, sizes in pixels and the thumbnail go, places and the resolution of
    the sensor follow the pixels. All else stays where it is.
    """
    old = block.removeprefix(exif.PREFIX)
    layout, start = exif.read_start(old)
    main, thumbnail = exif.read_directory(old, start, layout)
    parts = exif.read_parts(old, main, layout)
    if layout.big:
        raise ValueError("an EXIF block of a kind that does not exist")
    tiff = _without_thumbnail(old, thumbnail if thumbnail > start else 0, layout)
    changes = _changed(main, pixels)
    if any(entry.tag == exif.ORIENTATION for entry in main):
        changes[exif.ORIENTATION] = exif.Entry(exif.ORIENTATION, exif.SHORT, b"\1\0")
    exif.edit_directory(tiff, start, changes, layout)
    for entry in main:
        if entry.tag == exif.EXIF_IFD:
            details = int(entry.numbers[0])
            exif.edit_directory(tiff, details, _changed(parts[exif.EXIF_IFD], pixels), layout)
    return exif.PREFIX + bytes(tiff)


def _changed(entries: Sequence[exif.Entry], pixels: PixelMap) -> dict[int, exif.Entry | None]:
    """Return the entries that change with the pixels, None for those that are no longer true."""
    gone: dict[int, exif.Entry | None] = dict.fromkeys(_EXIF_SIZES)
    if pixels.changes_nothing:
        return gone
    known = {
        e.tag: e
        for e in entries
        if e.tag in _CHANGING and e.kind not in (exif.TEXT, exif.UNDEFINED)
    }
    old = {tag: entry.numbers for tag, entry in known.items()}
    new = {tag: pixels.area(old[tag]) for tag in _AREAS if len(old.get(tag, ())) in (2, 3, 4)}
    for across, down in (_FOCAL_PLANE, *[_RESOLUTION] * pixels.swaps):
        if across in old and down in old:
            x, y = old[across][0], old[down][0]
            x, y = pixels.size(x, y) if across in _FOCAL_PLANE else (y, x)
            new |= {across: [x], down: [y]}
    return gone | {tag: known[tag].with_numbers(values) for tag, values in new.items()}


def _without_thumbnail(tiff: bytes, directory: int, layout: exif.Layout) -> bytearray:
    """Return a block, less its prefix, with the thumbnail cut off at the end or blanked."""
    values: dict[int, int] = {}
    with suppress(ValueError):
        entries = exif.read_directory(tiff, directory, layout)[0] if directory else []
        values = {entry.tag: int(entry.numbers[0]) for entry in entries}
    begin = values.get(_THUMBNAIL_OFFSET, 0)
    end = min(begin + values.get(_THUMBNAIL_LENGTH, 0), len(tiff))
    edited = bytearray(tiff)
    if directory < begin < end and tiff[begin : begin + 2] == b"\xff\xd8":
        edited[begin:end] = bytes(end - begin if end < len(tiff) - 4 else 0)
    return edited


def xmp_orientation(xmp: bytes | None) -> int | None:
    """Return the orientation of the stored pixels, 1 to 8; None if the packet states none."""
    found = _ORIENTATION.search(xmp or b"")
    return int(found[2]) if found else None


def fit_xmp(xmp: bytes, pixels: PixelMap) -> tuple[bytes, tuple[str, ...]]:
    """Fit an XMP packet to pixels that were turned or enlarged.

    Its orientation becomes 1. Regions of faces, sizes of panoramas and pictures, the place of the
    subject and the resolution of the sensor follow the pixels; properties of gain maps, videos,
    depth maps and others beside the picture are dropped. A packet that is not well-formed keeps
    all that.
    """
    xmp = _ORIENTATION.sub(rb"\g<1>1", xmp)
    try:
        text = xmp.strip(b"\0").decode()
        if len(xmp) > _LARGEST or _AMPERSAND in text or "<!DOCTYPE" in text:
            return xmp, ()
        document = minidom.parseString(text.replace("&", _AMPERSAND))
        before = _text_of(document)
        notes = _drop_companions(document)
        if not pixels.changes_nothing:
            _move(document, pixels)
        edited = _text_of(document)
    except (ExpatError, ValueError, RecursionError):
        return xmp, ()
    return (xmp if edited == before else edited.encode()), notes


def _text_of(document: minidom.Document) -> str:
    written = "".join(node.toxml() for node in document.childNodes)
    return written.replace(_AMPERSAND, "&")


def _nodes(scope: Any) -> list[Any]:  # noqa: ANN401 - minidom has no types for what is common
    """Return a node with all that is in it: elements and attributes that have a namespace."""
    is_attribute = scope.nodeType == scope.ATTRIBUTE_NODE
    elements = [scope, *(() if is_attribute else scope.getElementsByTagName("*"))]
    nodes = (node for one in elements for node in (one, *(one.attributes or {}).values()))
    return [node for node in nodes if node.namespaceURI]


def _by_name(scope: Any) -> _Named:  # noqa: ANN401
    found: _Named = {}
    for node in _nodes(scope):
        found.setdefault((node.namespaceURI, node.localName), []).append(node)
    return found


def _drop_companions(document: minidom.Document) -> tuple[str, ...]:
    """Drop what describes pictures, videos and sounds beside the picture; return what is lost."""
    notes: list[str] = []
    for node in _nodes(document):
        uri, found = node.namespaceURI, []
        for start, name, told, note in _COMPANIONS:
            # of all properties of a namespace, those of the ones that begin with it as well
            if uri == start or (not name and uri.startswith(start)):
                found += [(told, note)] * bool(re.match(name, node.localName))
        if not found:
            continue
        if node.nodeType == node.ATTRIBUTE_NODE:
            written = f'{node.name}="{node.value}"'
            node.ownerElement.removeAttributeNode(node)
        else:
            written = node.toxml()
            node.parentNode.removeChild(node)
        notes += [note for told, note in found if re.search(told, written)]
    return tuple(dict.fromkeys(notes))


def _move(document: minidom.Document, pixels: PixelMap) -> None:
    """Let regions, places and sizes follow the pixels; numbers that are none stay as they are."""
    named = _by_name(document)
    faces = _map_of_regions(named, pixels)
    for scope in named.get((_MWG, "AppliedToDimensions"), ()):
        _move_size(_by_name(scope), (_DIMENSIONS, "w", "h"), faces)
    for names in _SIZES:
        _move_size(named, names, pixels)
    for name in ("SubjectArea", "SubjectLocation"):
        for scope in named.get((_EXIF, name), ()):
            items = _numbers(_by_name(scope), _RDF, "li")
            if len(items) in (2, 3, 4):
                _write(items, pixels.area([value for _, value in items]))
    for scope in named.get((_MWG, "Area"), ()):
        _move_region(_by_name(scope), _AREA, ("unit", *"xywh"), faces)
    for scope in named.get((_IPTC, "RegionBoundary"), ()):
        _move_region(_by_name(scope), _IPTC, _BOUNDARY, pixels)
    for node in named.get((_MICROSOFT, "Rectangle"), ()) if faces.orientation != 1 else ():
        text = _holder(node)
        with suppress(ValueError):  # upper left corner and size as parts of the sides
            left, top, width, height = map(float, text.nodeValue.split(","))
            box = faces.of_parts.area((left, top, width, height), corner=True)
            text.nodeValue = ", ".join(map(_decimal, box))


def _move_region(named: _Named, namespace: str, names: Sequence[str], pixels: PixelMap) -> None:
    """Move a box of MWG, by its centre, or a box (by its corner), circle or polygon of IPTC."""
    units = named.get((namespace, names[0]), ())
    if not any(_holder(unit).nodeValue == "pixel" for unit in units):
        pixels = pixels.of_parts
    if pixels.changes_nothing:
        return
    x, y, w, h, *radius = (_numbers(named, namespace, name) for name in names[1:])
    extent = (w, h) if w and h else [one for one in radius if one]
    for numbers in zip(x, y, *extent, strict=False):
        corner = len(numbers) == 4 and namespace == _IPTC
        new = pixels.area([value for _, value in numbers], corner=corner)
        _write(numbers, new, exact=True)


def _map_of_regions(named: _Named, pixels: PixelMap) -> PixelMap:
    """Return how regions of faces move.

    They belong to the stored picture (MWG guidelines, 5.9), unless the size that they state is that
    of the upright one.
    """
    height, width = pixels.turned
    with suppress(LookupError):  # none is stated
        applied = _by_name(named[_MWG, "AppliedToDimensions"][0])
        w, h = (_numbers(applied, _DIMENSIONS, side)[0][1] for side in "wh")
        if pixels.swaps and (h - w) * (height - width) > 0:
            return replace(pixels, before=pixels.turned, orientation=1)
    return pixels


def _move_size(named: _Named, names: tuple[str, str, str], pixels: PixelMap) -> None:
    sides = (_numbers(named, names[0], side) for side in names[1:])
    for pair in zip(*sides, strict=False):
        _write(pair, pixels.size(pair[0][1], pair[1][1]))


def _holder(node: Any) -> Any:  # noqa: ANN401
    """Return the node that holds the text of a property, which may be empty."""
    simple = node.nodeType == node.ATTRIBUTE_NODE or node.firstChild is None
    return node if simple else node.firstChild


def _numbers(named: _Named, namespace: str, name: str) -> list[tuple[Any, float]]:
    """Return the nodes and numbers of a property; none if one of them cannot be read."""
    found = [_holder(node) for node in named.get((namespace, name), ())]
    texts = [(one, _NUMBER.fullmatch(one.nodeValue or "")) for one in found]
    try:
        return [(one, float(Fraction(text[1]))) for one, text in texts if text]
    except (ValueError, ArithmeticError):
        return []


def _write(
    numbers: Sequence[tuple[Any, float]], values: Iterable[float], *, exact: bool = False
) -> None:
    """Replace numbers; whole and rational ones stay so unless they are to be exact."""
    for (node, _), value in zip(numbers, values, strict=False):
        if "/" in node.nodeValue:
            ratio = Fraction(value).limit_denominator(10**6)
            node.nodeValue = f"{ratio.numerator}/{ratio.denominator}"
        else:
            decimal = exact or "." in node.nodeValue
            node.nodeValue = _decimal(value) if decimal else str(round(value))


def _decimal(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")
