"""Fit metadata to pixels that were turned upright or enlarged; drop what points at lost pictures.

XMP packets are edited as text, so that all else stays as it is: RDF writes a property as an
attribute or as an element, and parsers that write it again change prefixes, spaces and references.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING
from xml.parsers import expat

from srcli.imaging import exif

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from srcli.imaging.photograph import Metadata

# ImageWidth, ImageLength, PixelXDimension, PixelYDimension: no longer true once it is upscaled
_EXIF_SIZES = frozenset({0x0100, 0x0101, 0xA002, 0xA003})
# SubjectArea and SubjectLocation, in pixels of the picture as it is stored
_AREAS = (0x9214, 0xA214)
# pixels per length of the sensor across and down; the same of a print, which is not enlarged here
_FOCAL_PLANE, _RESOLUTION = (0xA20E, 0xA20F), (0x011A, 0x011B)
_CHANGING = frozenset({*_AREAS, *_FOCAL_PLANE, *_RESOLUTION})
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202

_Number = tuple[re.Match[str], float]
"""Where a number stands, as the first group, and its value."""

HDR_LEFT_OUT = "HDR gain map left out: the result is the picture without HDR"
VIDEO_LEFT_OUT = "video of the motion photo left out"
DEPTH_LEFT_OUT = "depth map left out"

_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([1-8])(?=\s*["'<])""")
_NAMESPACE = re.compile(r"""xmlns:([\w.-]+)\s*=\s*["']([^"']+)["']""")
# comments, entities and others that may hide what looks like the end of a tag or a property
_UNUSUAL = re.compile(rb"""<!|<\?(?!(?:xpacket|xml|adobe)[^<>]*\?>)|=\s*(?:"[^"<>]*>|'[^'<>]*>)""")
_LARGEST = 2**22  # bytes of a packet that is edited

_GOOGLE, _ADOBE = "http://ns.google.com/photos/", "http://ns.adobe.com/"
_GPANO, _CAMERA = f"{_GOOGLE}1.0/panorama/", f"{_GOOGLE}1.0/camera/"
_TIFF, _EXIF = f"{_ADOBE}tiff/1.0/", f"{_ADOBE}exif/1.0/"
_MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
_DIMENSIONS, _AREA = f"{_ADOBE}xap/1.0/sType/Dimensions#", f"{_ADOBE}xmp/sType/Area#"
_MICROSOFT = "http://ns.microsoft.com/photo/1.2/t/Region#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"

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
and what is gone if the text that is dropped has a pattern."""

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

    def part(self, x: float, y: float) -> tuple[float, float]:
        """Map a place that is given as parts, 0 to 1, of width and height."""
        if self.swaps:
            x, y = y, x
        if self.orientation in (3, 4, 7, 8):
            y = 1 - y
        if self.orientation in (2, 3, 6, 7):
            x = 1 - x
        return x, y

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Map a place in pixels."""
        height, width = self.before
        x, y = self.part(x / width, y / height)
        return x * self.after[1], y * self.after[0]

    def size(self, across: float, down: float) -> tuple[float, float]:
        """Map a width and a height in pixels, or numbers of pixels per length."""
        if self.swaps:
            across, down = down, across
        height, width = self.turned
        return across * self.after[1] / width, down * self.after[0] / height

    def area(self, values: Sequence[float]) -> list[float]:
        """Map an area of EXIF: a centre (x, y), and nothing, a diameter, or width and height."""
        x, y, *extent = values
        if len(extent) == 1:
            return [*self.point(x, y), self.size(extent[0], extent[0])[0]]
        return [*self.point(x, y), *self.size(*extent)] if extent else [*self.point(x, y)]


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
        changes[exif.ORIENTATION] = exif.Entry(
            exif.ORIENTATION, exif.SHORT, struct.pack(layout.order + "H", 1)
        )
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
    depth maps and others beside the picture are dropped. A packet that is not well-formed, or
    has comments or entities, keeps all that.
    """
    xmp = _ORIENTATION.sub(rb"\g<1>1", xmp)
    if len(xmp) > _LARGEST or not _is_sound(xmp):
        return xmp, ()
    text = xmp.decode()
    prefixes = {uri: prefix for prefix, uri in _NAMESPACE.findall(text)}
    text, notes = _drop_companions(text, prefixes)
    if not pixels.changes_nothing:
        text = _move(text, prefixes, pixels)
    edited = text.encode()
    return (edited, notes) if _is_sound(edited) else (xmp, ())


def _is_sound(xmp: bytes) -> bool:
    """Return True if a packet is well-formed, in UTF-8, and has nothing but elements and text."""
    if _UNUSUAL.search(xmp):
        return False
    try:
        expat.ParserCreate("utf-8").Parse(xmp.strip(b"\0"), True)
    except expat.ExpatError:
        return False
    return True


def _element(name: str) -> str:
    """Return a pattern of the elements of a name (a pattern), with what is in them."""
    return rf"<({name})(?:\s[^<>]*)?(?:(?<=/)>|(?<!/)>(?s:.)*?</\1\s*>)"


def _drop_companions(text: str, prefixes: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    """Drop what describes pictures, videos and sounds beside the picture; say what is lost."""
    patterns: list[str] = []
    notes: list[str] = []
    for start, name, told, note in _COMPANIONS:
        # of all properties of a namespace, those of the ones that begin with it as well
        uris = [uri for uri in prefixes if uri == start or (not name and uri.startswith(start))]
        if uris:
            full = rf"(?:{'|'.join(re.escape(prefixes[uri]) for uri in uris)}):{name}[\w.-]*"
            both = _element(full), rf"""\s{full}\s*=\s*(?:"[^"]*"|'[^']*')"""
            patterns += both
            dropped = (found[0] for pattern in both for found in re.finditer(pattern, text))
            notes += [note] * any(re.search(told, part) for part in dropped)
    for pattern in patterns:
        text = re.sub(pattern, "", text)
    return text, tuple(dict.fromkeys(notes))


def _move(text: str, prefixes: dict[str, str], pixels: PixelMap) -> str:
    """Let regions, places and sizes follow the pixels; numbers that are none stay as they are."""

    def names(namespace: str, *local: str) -> list[str]:
        """Return names as they are written in this packet; no name has a question mark."""
        return [re.escape(f"{prefixes.get(namespace, '?')}:{one}") for one in local]

    def edit(text: str, scope: list[str], change: Callable[..., str], *how: object) -> str:
        """Edit the elements of some names, each with what is in it."""
        return re.sub(_element("|".join(scope)), lambda found: change(found[0], *how), text)

    applied, sides = names(_MWG, "AppliedToDimensions"), names(_DIMENSIONS, *"wh")
    faces = _map_of_regions(text, applied[0], sides, pixels)
    text = edit(text, applied, _move_size, sides, faces)
    for namespace, *across_and_down in _SIZES:
        text = _move_size(text, names(namespace, *across_and_down), pixels)
    text = edit(text, names(_EXIF, "SubjectArea", "SubjectLocation"), _move_subject, pixels)
    text = edit(text, names(_MWG, "Area"), _move_region, names(_AREA, *"xywh"), faces)
    corners = names(_IPTC, "rbX", "rbY", "rbW", "rbH", "rbRx")
    text = edit(text, names(_IPTC, "RegionBoundary"), _move_region, corners, pixels)
    rectangle = rf"""({names(_MICROSOFT, "Rectangle")[0]}\s*(?:=\s*["']|>))([^"'<]*)"""
    return re.sub(rectangle, lambda found: found[1] + _move_rectangle(found[2], faces), text)


def _numbers(text: str, name: str) -> list[_Number]:
    """Return the numbers of the properties of a name; none if one of them cannot be read."""
    number = r"[-+]?\d[\d.]*(?:/\d+)?"
    number = rf"""(?<=[\s<]){name}\s*(?:=\s*["']|>)\s*({number})(?=\s*["'<])"""
    try:
        return [(found, float(Fraction(found[1]))) for found in re.finditer(number, text)]
    except (ValueError, ArithmeticError):
        return []


def _rewrite(
    text: str, changes: Iterable[tuple[Sequence[_Number], Iterable[float]]], *, exact: bool = False
) -> str:
    """Replace numbers, each group by others; whole ones stay whole unless they are to be exact."""
    new = [
        (found, _decimal(value) if exact else _alike(found[1], value))
        for group, values in changes
        for (found, _), value in zip(group, values, strict=False)
    ]
    parts, end = [], 0
    for found, written in sorted(new, key=lambda one: one[0].start()):
        parts += [text[end : found.start(1)], written]
        end = found.end(1)
    return "".join([*parts, text[end:]])


def _alike(old: str, value: float) -> str:
    """Return a number in the way that the old one is written: whole, rational or decimal."""
    if "/" in old:
        ratio = Fraction(value).limit_denominator(10**6)
        return f"{ratio.numerator}/{ratio.denominator}"
    return _decimal(value) if "." in old else str(round(value))


def _decimal(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")


def _move_size(text: str, names: Sequence[str], pixels: PixelMap) -> str:
    pairs = zip(*(_numbers(text, name) for name in names), strict=False)
    return _rewrite(text, ((pair, pixels.size(pair[0][1], pair[1][1])) for pair in pairs))


def _move_subject(text: str, pixels: PixelMap) -> str:
    """Move exif:SubjectArea and exif:SubjectLocation, lists of whole numbers."""
    items = _numbers(text, "rdf:li")
    if len(items) not in (2, 3, 4):
        return text
    return _rewrite(text, [(items, pixels.area([value for _, value in items]))])


def _map_of_regions(text: str, applied: str, sides: Sequence[str], pixels: PixelMap) -> PixelMap:
    """Return how regions of faces move.

    They belong to the stored picture (MWG guidelines, 5.9), unless the size that they state is that
    of the upright one.
    """
    height, width = pixels.turned
    found = re.search(_element(applied), text)
    with suppress(LookupError):  # none is stated
        w, h = (_numbers(found[0] if found else "", side)[0][1] for side in sides)
        if pixels.swaps and (h - w) * (height - width) > 0:
            return replace(pixels, before=pixels.turned, orientation=1)
    return pixels


def _move_region(text: str, names: Sequence[str], pixels: PixelMap) -> str:
    """Move a region of MWG (its centre and size) or of IPTC (a rectangle, circle or polygon)."""
    in_pixels = re.search(r"[uU]nit\W+pixel\b", text) is not None
    if not in_pixels and pixels.orientation == 1:
        return text
    x, y, w, h, *radius = (_numbers(text, name) for name in names)
    middle = 0 if radius else 0.5
    new: list[tuple[Sequence[_Number], Iterable[float]]] = []
    for sides in zip(x, y, *((w, h) if w and h else ()), strict=False):
        left, top, width, height = [*(value for _, value in sides), 0.0, 0.0][:4]
        box = (left - middle * width, top - middle * height, width, height)
        left, top, width, height = _moved_box(box, pixels, in_pixels)
        new.append((sides, (left + middle * width, top + middle * height, width, height)))
    if radius and in_pixels:
        new += [([one], pixels.size(one[1], one[1])[:1]) for one in radius[0]]
    return _rewrite(text, new, exact=True)


def _move_rectangle(text: str, pixels: PixelMap) -> str:
    """Move a region of Microsoft: upper left corner and size as parts of the sides."""
    with suppress(ValueError):
        left, top, width, height = map(float, text.split(","))
        if pixels.orientation == 1:
            return text
        box = _moved_box((left, top, width, height), pixels, in_pixels=False)
        return ", ".join(map(_decimal, box))
    return text


def _moved_box(
    box: tuple[float, float, float, float], pixels: PixelMap, in_pixels: bool
) -> tuple[float, float, float, float]:
    """Map (left, top, width, height)."""
    left, top, width, height = box
    move = pixels.point if in_pixels else pixels.part
    (a, b), (c, d) = move(left, top), move(left + width, top + height)
    return min(a, c), min(b, d), abs(a - c), abs(b - d)
