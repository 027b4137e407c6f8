"""Fit metadata to pixels that were turned upright or enlarged; drop what points at lost pictures.

In XMP, RDF writes a property as an attribute or as an element: both are nodes of a
document here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from srcli.imaging import exif
from srcli.imaging.photograph import Metadata

# Image, PixelX and RelatedImage sizes: no longer true once it is upscaled
_EXIF_SIZES = (0x0100, 0x0101, 0xA002, 0xA003, 0x1001, 0x1002)
# SubjectArea and SubjectLocation, in pixels of the picture as it is stored
_AREAS = (0x9214, 0xA214)
# pixels per length of the sensor across and down; the same of a print, which is not
# enlarged here
_FOCAL_PLANE = (0xA20E, 0xA20F)
_RESOLUTION = (0x011A, 0x011B)
_THUMBNAIL_OFFSET = 0x0201
_THUMBNAIL_LENGTH = 0x0202

HDR_LEFT_OUT = "HDR gain map left out: the result is the picture without HDR"
VIDEO_LEFT_OUT = "video of the motion photo left out"
DEPTH_LEFT_OUT = "depth map left out"
_DEWARP_LEFT_OUT = "calibration of the lens (DewarpData) left out: it is not turned"

_ORIENTATION = re.compile(
    rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([1-8])(?=\s*["'<])"""
)
_LARGEST = 2**20  # bytes of a packet that is edited
_AMPERSAND = "\ue000"
"""Stands for ``&`` in a document, so that references stay as they are written."""

_GOOGLE = "http://ns.google.com/photos/"
_ADOBE = "http://ns.adobe.com/"
_GPANO = f"{_GOOGLE}1.0/panorama/"
_CAMERA = f"{_GOOGLE}1.0/camera/"
_TIFF = f"{_ADOBE}tiff/1.0/"
_EXIF = f"{_ADOBE}exif/1.0/"
_MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
_DIMENSIONS = f"{_ADOBE}xap/1.0/sType/Dimensions#"
_AREA = f"{_ADOBE}xmp/sType/Area#"
_MICROSOFT = "http://ns.microsoft.com/photo/1.2/t/Region#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_DJI = "http://www.dji.com/drone-dji/1.0/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

_COMPANIONS = (
    (f"{_ADOBE}hdr-gain-map/1.0/", "", HDR_LEFT_OUT),
    ("http://ns.apple.com/HDRGainMap/1.0/", "", HDR_LEFT_OUT),
    (f"{_GOOGLE}(?:1.0/depthmap|dd/1.0)/", "", DEPTH_LEFT_OUT),
    (f"{_GOOGLE}1.0/image/", "", "embedded second picture left out"),
    (f"{_GOOGLE}1.0/audio/", "", "embedded sound left out"),
    (f"{_CAMERA}(?:MotionPhoto|MicroVideo)", r"(?:Photo|Video)\W+1\b", VIDEO_LEFT_OUT),
    (f"{_GOOGLE}1.0/container/", r"Semantic\W+GainMap", HDR_LEFT_OUT),
    (f"{_GOOGLE}1.0/container/", r"Semantic\W+MotionPhoto", VIDEO_LEFT_OUT),
    (f"{_GOOGLE}1.0/container/", r"Semantic\W+Depth", DEPTH_LEFT_OUT),
    (f"{_ADOBE}xmp/note/HasExtendedXMP", "", "extended XMP left out"),
    (f"{_ADOBE}xap/1.0/Thumbnails", "(?!)", ""),
)
"""Pictures and sounds beside the picture: patterns of the namespace and name of
properties that point at them, and of what these hold where something is lost, in words
for the user."""

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

    Places are measured from the upper left corner, in pixels or as parts of the
    picture's sides.
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
    def of_parts(self) -> PixelMap:
        """The same for places and sizes that are given as parts, 0 to 1, of width and height."""
        return PixelMap((1, 1), (1, 1), self.orientation)

    def size(self, values: Sequence[float]) -> list[float]:
        """Map a width and a height, or numbers of pixels per length."""
        return self.area((0, 0, *values))[2:]

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


def fit_metadata(
    metadata: Metadata, pixels: PixelMap
) -> tuple[Metadata, tuple[str, ...]]:
    """Return the metadata as they describe the new pixels, and what is lost, for the user."""
    block, packet, dpi = metadata.exif, metadata.xmp, metadata.dpi
    notes: tuple[str, ...] = ()
    if block is not None:
        try:
            block, notes = fit_exif(block, pixels)
        except ValueError:
            block, notes = None, ("damaged EXIF left out",)
    if packet is not None:
        packet, lost = fit_xmp(packet, pixels)
        notes += lost
    if dpi is not None and pixels.swaps:
        dpi = dpi[::-1]
    return replace(metadata, exif=block, xmp=packet, dpi=dpi), notes


def fit_exif(block: bytes, pixels: PixelMap) -> tuple[bytes, tuple[str, ...]]:
    """Fit an EXIF block to pixels that were turned or enlarged; tell of parts that are lost.

    Its orientation becomes 1, sizes in pixels and the thumbnail go, places and the
    resolution of the sensor follow the pixels. All else stays where it is.
    """
    old = exif.Block(block)
    if old.following > old.start:
        _blank_thumbnail(old)
    changes = _changed(old.main, pixels) | dict.fromkeys(old.damaged)
    if exif.ORIENTATION in old.main:
        changes[exif.ORIENTATION] = exif.Entry(exif.SHORT, b"\1\0")
    with suppress(ValueError, LookupError):  # sizes of the picture are repeated there
        place = int(old.parts[exif.EXIF_IFD][exif.INTEROPERABILITY].numbers[0])
        tags, _ = exif.read_directory(old.tiff, place, old.layout)
        if tags.keys() & _EXIF_SIZES:
            exif.edit_directory(old.tiff, place, dict.fromkeys(_EXIF_SIZES), old.layout)
    details = _changed(old.parts.get(exif.EXIF_IFD, {}), pixels)
    return old.edited(changes, details), (exif.DAMAGED,) * bool(old.damaged)


def _changed(tags: exif.Tags, pixels: PixelMap) -> dict[int, exif.Entry | None]:
    """Return the entries that change with the pixels, None for those that are no longer true."""
    changes: dict[int, exif.Entry | None] = dict.fromkeys(_EXIF_SIZES)
    if pixels.changes_nothing:
        return changes
    known = {
        t: one for t, one in tags.items() if one.kind not in (exif.TEXT, exif.UNDEFINED)
    }
    for tag in known.keys() & _AREAS:
        if len(place := known[tag].numbers) in (2, 3, 4):
            changes[tag] = known[tag].with_numbers(pixels.area(place))
    for pair in (_FOCAL_PLANE, *[_RESOLUTION] * pixels.swaps):
        if known.keys() >= {*pair}:
            old = [known[tag].numbers[0] for tag in pair]
            new = pixels.size(old) if pair == _FOCAL_PLANE else old[::-1]
            changes |= {
                tag: known[tag].with_numbers([n])
                for tag, n in zip(pair, new, strict=True)
            }
    return changes


def _blank_thumbnail(block: exif.Block) -> None:
    """Cut the thumbnail of a second directory off at the end of a block, or blank it."""
    tiff, directory = block.tiff, block.following
    with suppress(ValueError, LookupError):
        tags, _ = exif.read_directory(tiff, directory, block.layout)
        begin = int(tags[_THUMBNAIL_OFFSET].numbers[0])
        end = min(begin + int(tags[_THUMBNAIL_LENGTH].numbers[0]), len(tiff))
        if directory < begin < end and tiff[begin : begin + 2] == b"\xff\xd8":
            tiff[begin:end] = bytes(end - begin if end < len(tiff) - 4 else 0)


def xmp_orientation(xmp: bytes | None) -> int | None:
    """Return the orientation of the stored pixels, 1 to 8; None if the packet states none."""
    found = _ORIENTATION.search(xmp or b"")
    return int(found[2]) if found else None


def fit_xmp(xmp: bytes, pixels: PixelMap) -> tuple[bytes, tuple[str, ...]]:
    """Fit an XMP packet to pixels that were turned or enlarged.

    Its orientation becomes 1. Regions of faces, sizes of panoramas and pictures, the
    place of the subject and the resolution of the sensor follow the pixels; properties
    of gain maps, videos, depth maps and others beside the picture are dropped. A packet
    that is not well-formed keeps all that.
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
            notes += _fit_calibration(document, pixels)
        edited = _text_of(document)
    except (ExpatError, ValueError, RecursionError):
        return xmp, ()
    return (xmp if edited == before else edited.encode()), notes


def _text_of(document: minidom.Document) -> str:
    return "".join(node.toxml() for node in document.childNodes).replace(
        _AMPERSAND, "&"
    )


def _nodes(scope: Any) -> Iterator[Any]:  # noqa: ANN401 - minidom has no types for what is common
    """Yield elements and attributes that have a namespace, in the order of the document."""
    for element in (scope, *scope.getElementsByTagName("*")):
        both = (element, *(element.attributes or {}).values())
        yield from (node for node in both if node.namespaceURI)


def _drop_companions(document: minidom.Document) -> tuple[str, ...]:
    """Drop what describes pictures, videos and sounds beside the picture; return what is lost."""
    notes: list[str] = []
    for node in list(_nodes(document)):
        name = node.namespaceURI + node.localName
        matching = [row for row in _COMPANIONS if re.match(row[0], name)]
        if not matching:
            continue
        if node.nodeType == node.ATTRIBUTE_NODE:
            written = f'{node.name}="{node.value}"'
            node.ownerElement.removeAttributeNode(node)
        else:
            written = node.toxml()
            node.parentNode.removeChild(node)
        notes += [note for _, told, note in matching if re.search(told, written)]
    return tuple(dict.fromkeys(notes))


def _move(document: minidom.Document, pixels: PixelMap) -> None:
    """Let regions, places and sizes follow the pixels; numbers that are none stay as they are."""
    inside = document.getElementsByTagNameNS
    applied = [
        _texts(one, _DIMENSIONS, "wh") for one in inside(_MWG, "AppliedToDimensions")
    ]
    faces = _map_of_regions(applied, pixels)
    for sides in applied:
        _follow(sides, faces.size)
    _move_sizes(document, pixels)
    for name in ("SubjectArea", "SubjectLocation"):
        for scope in inside(_EXIF, name):
            (items,) = _texts(scope, _RDF, ("li",))
            if len(items) in (2, 3, 4):
                _follow([[item] for item in items], pixels.area)
    for scope in inside(_MWG, "Area"):
        _move_regions(_texts(scope, _AREA, ("unit", *"xywh")), faces)
    for scope in inside(_IPTC, "RegionBoundary"):
        own = _texts(scope, _IPTC, ("rbUnit", "rbX", "rbY", "rbW", "rbH", "rbRx"))
        _move_regions(own, pixels, corner=True)
    if faces.orientation == 1:
        return
    (rectangles,) = _texts(document, _MICROSOFT, ("Rectangle",))
    for text in rectangles:
        with suppress(ValueError):  # upper left corner and size as parts of the sides
            left, top, width, height = map(float, text.nodeValue.split(","))
            box = faces.of_parts.area((left, top, width, height), corner=True)
            text.nodeValue = ", ".join(map(_decimal, box))


def _move_sizes(document: minidom.Document, pixels: PixelMap) -> None:
    for uri, *names in _SIZES:
        widths, heights = _texts(document, uri, names)
        if widths and heights:
            _follow([widths, heights], pixels.size)
        elif pixels.swaps:  # which would be the other one then
            for text in (*widths, *heights):
                _drop(text)
        else:
            _follow([widths], lambda values: pixels.size((*values, 0))[:1])
            _follow([heights], lambda values: pixels.size((0, *values))[1:])


def _fit_calibration(document: minidom.Document, pixels: PixelMap) -> tuple[str, ...]:
    """Let focal length and centre of DJI's cameras, in pixels, follow; return what is lost."""
    names = (
        "CalibratedFocalLength",
        "CalibratedOpticalCenterX",
        "CalibratedOpticalCenterY",
    )
    lengths, across, down = _texts(document, _DJI, names)
    _follow([lengths], lambda values: pixels.size((*values, *values))[:1])
    _follow([across, down], pixels.area)
    (dewarping,) = _texts(document, _DJI, ("DewarpData",))
    for text in dewarping:
        # a date; focal lengths and distances from the middle in pixels, then
        # coefficients
        date, _, numbers = text.nodeValue.partition(";")
        values = numbers.split(",")
        try:
            focal = pixels.size([float(value) for value in values[:2]])
            middle = pixels.size([float(value) for value in values[2:4]])
        except (ValueError, IndexError):
            continue
        if pixels.orientation != 1:
            _drop(text)
            return (_DEWARP_LEFT_OUT,)
        values[:4] = map(_decimal, (*focal, *middle))
        text.nodeValue = f"{date};{','.join(values)}"
    return ()


def _drop(text: Any) -> None:  # noqa: ANN401 - an attribute, or the text of an element
    """Drop the property whose text stands in a node."""
    if text.nodeType == text.ATTRIBUTE_NODE:
        text.ownerElement.removeAttributeNode(text)
    else:
        element = text.parentNode
        element.parentNode.removeChild(element)


def _map_of_regions(applied: list[list[list[Any]]], pixels: PixelMap) -> PixelMap:
    """Return how regions of faces move.

    They belong to the stored picture (MWG guidelines, 5.9), unless the size that they
    state is that of the upright one.
    """
    height, width = pixels.before[::-1]
    with suppress(LookupError, ValueError):  # none is stated
        w, h = (float(side[0].nodeValue) for side in applied[0])
        if pixels.swaps and (h - w) * (height - width) > 0:
            return PixelMap((height, width), pixels.after)
    return pixels


def _move_regions(
    texts: list[list[Any]], pixels: PixelMap, *, corner: bool = False
) -> None:
    """Move a box, by its centre or its corner, a circle or a polygon; the unit comes first."""
    units, x, y, *extent = texts
    if not any(unit.nodeValue == "pixel" for unit in units):
        pixels = pixels.of_parts
    if not pixels.changes_nothing:
        columns = [x, y, *filter(None, extent)]
        _follow(
            columns,
            partial(pixels.area, corner=corner and len(columns) == 4),
            exact=True,
        )


def _texts(scope: Any, uri: str, names: Iterable[str]) -> list[list[Any]]:  # noqa: ANN401
    """Return for each property in a scope the nodes that hold its text, which may be empty."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    for node in _nodes(scope):
        if node.namespaceURI == uri and node.localName in found:
            attribute = node.nodeType == node.ATTRIBUTE_NODE
            found[node.localName].append(node if attribute else node.firstChild or node)
    return [*found.values()]


def _follow(
    columns: Iterable[Sequence[Any]],
    new: Callable[[Sequence[float]], list[float]],
    *,
    exact: bool = False,
) -> None:
    """Replace numbers, those of a row together, by what becomes of them.

    Whole and rational ones stay so unless they are to be exact.
    """
    for nodes in zip(*columns, strict=False):
        with suppress(TypeError, ValueError, ArithmeticError):
            values = new([float(Fraction(node.nodeValue)) for node in nodes])
            for node, value in zip(nodes, values, strict=True):
                if "/" in node.nodeValue:
                    ratio = Fraction(value).limit_denominator(10**6).as_integer_ratio()
                    node.nodeValue = "/".join(map(str, ratio))
                else:
                    decimal = exact or "." in node.nodeValue
                    node.nodeValue = _decimal(value) if decimal else str(round(value))


def _decimal(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")
