"""Fit XMP packets to pixels that were turned or enlarged, and drop what points at lost pictures.

The packet is edited as a tree: RDF writes a property as an attribute or as an element. minidom
keeps prefixes and processing instructions, which ElementTree does not.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING
from xml.dom import minidom
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.imaging.pixel_map import PixelMap

_Property = minidom.Attr | minidom.Element

HDR_LEFT_OUT = "HDR gain map left out: the result is the picture without HDR"
VIDEO_LEFT_OUT = "video of the motion photo left out"
DEPTH_LEFT_OUT = "depth map left out"

_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([1-8])(?=\s*["'<])""")
# what occurs in every packet that is to be changed beyond its orientation
_CONCERNED = re.compile(
    rb"hdr-gain-map|HDRGainMap|photos/1\.0/|photos/dd/1\.0/|HasExtendedXMP|Thumbnails|AppliedTo"
    rb"|sType/Area|photo/1\.2/t/Region|RegionBoundary|[XY]Dimension|ImageWidth|FocalPlane|SubjectA"
    rb"|SubjectL"
)
_LARGEST, _DEEPEST = 50_000, 200  # elements of a packet that is edited
_REFERENCE, _MARK = re.compile(r"&(#\w+;)"), "\ue000"

_GOOGLE = "http://ns.google.com/photos/1.0/"
_GPANO, _CAMERA = f"{_GOOGLE}panorama/", f"{_GOOGLE}camera/"
_CONTAINER, _ITEM = f"{_GOOGLE}container/", f"{_GOOGLE}container/item/"
_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_XMP, _NOTE = "http://ns.adobe.com/xap/1.0/", "http://ns.adobe.com/xmp/note/"
_DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
_AREA = "http://ns.adobe.com/xmp/sType/Area#"
_MICROSOFT = "http://ns.microsoft.com/photo/1.2/t/Region#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"

# Namespaces of pictures and sounds beside the picture, and what is gone with them.
_COMPANIONS = {
    "http://ns.adobe.com/hdr-gain-map/1.0/": HDR_LEFT_OUT,
    "http://ns.apple.com/HDRGainMap/1.0/": HDR_LEFT_OUT,
    f"{_GOOGLE}depthmap/": DEPTH_LEFT_OUT,
    f"{_GOOGLE}image/": "embedded second picture left out",
    f"{_GOOGLE}audio/": "embedded sound left out",
}
_DYNAMIC_DEPTH = "http://ns.google.com/photos/dd/1.0/"
_VIDEO = re.compile(r"MotionPhoto|MicroVideo")
_SEMANTICS = {"GainMap": HDR_LEFT_OUT, "MotionPhoto": VIDEO_LEFT_OUT, "Depth": DEPTH_LEFT_OUT}
# Properties that state a width and a height in pixels, or pixels per length, in two parts.
_PAIRS = [
    (_GPANO, f"{part}{across}{end}", f"{part}{down}{end}")
    for part, across, down, end in (
        ("FullPano", "Width", "Height", "Pixels"),
        ("CroppedAreaImage", "Width", "Height", "Pixels"),
        ("CroppedArea", "Left", "Top", "Pixels"),
        ("LargestValidInteriorRect", "Width", "Height", ""),
        ("LargestValidInteriorRect", "Left", "Top", ""),
    )
] + [
    (_EXIF, "PixelXDimension", "PixelYDimension"),
    (_EXIF, "FocalPlaneXResolution", "FocalPlaneYResolution"),
    (_TIFF, "ImageWidth", "ImageLength"),
]


def orientation(xmp: bytes | None) -> int | None:
    """Return the orientation of the stored pixels, 1 to 8; None if the packet states none."""
    found = _ORIENTATION.search(xmp or b"")
    return int(found[2]) if found else None


def fit(xmp: bytes, pixels: PixelMap) -> tuple[bytes, tuple[str, ...]]:
    """Fit an XMP packet to pixels that were turned or enlarged.

    Its orientation becomes 1. Regions of faces, sizes of panoramas and pictures, the place of the
    subject and the resolution of the sensor follow the pixels; properties of gain maps, videos,
    depth maps and others beside the picture are dropped. A packet that is not well-formed, or
    uses entities, keeps all that.

    Args:
        xmp: XMP packet.
        pixels: What was done to the pixels.

    Returns:
        The packet, and what is lost, in words for the user.
    """
    xmp = _ORIENTATION.sub(rb"\g<1>1", xmp)
    document = _parse(xmp) if _CONCERNED.search(xmp) else None
    if document is None:
        return xmp, ()
    elements = document.getElementsByTagName("*")
    dropped, notes = _drop_companions(elements)
    if not pixels.changes_nothing:
        _move(document.getElementsByTagName("*"), pixels)
    elif not dropped:
        return xmp, ()
    text = "\n".join(node.toxml() for node in document.childNodes)
    return text.replace(f"{_MARK}#", "&#").encode(), tuple(dict.fromkeys(notes))


def _parse(xmp: bytes) -> minidom.Document | None:
    """Return the tree of a packet; None if it is not well-formed, of great size or hostile."""
    number = depth = 0

    def refuse(*_: object) -> None:
        raise ValueError("entities and document types do not belong into XMP")

    def start(_name: str, attributes: dict[str, str]) -> None:
        nonlocal number, depth
        number, depth = number + 1 + len(attributes), depth + 1
        if number > _LARGEST or depth > _DEEPEST:
            refuse()

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        text = xmp.strip(b"\0").decode()
        parser.Parse(text, True)
        if _MARK in text:
            return None
        # references to characters are kept as they are: minidom would turn lines into spaces
        return minidom.parseString(_REFERENCE.sub(_MARK + r"\1", text))
    except (expat.ExpatError, ValueError, LookupError):
        return None


def _properties(element: minidom.Element) -> Iterator[_Property]:
    """Iterate over the properties of a node of RDF, attributes and elements."""
    yield from list(element.attributes.values())
    for child in list(element.childNodes):
        if isinstance(child, minidom.Element):
            yield child


def _fields(element: minidom.Element, namespace: str) -> dict[str, _Property]:
    """Return the properties of a node that belong to a namespace, by name."""
    return {p.localName: p for p in _properties(element) if p.namespaceURI == namespace}


def _text(prop: _Property) -> str:
    """Return the value of a property; empty for structures."""
    if isinstance(prop, minidom.Attr):
        return prop.value.strip()
    return "".join(getattr(node, "data", "") for node in prop.childNodes).strip()


def _set(prop: _Property, text: str) -> None:
    if isinstance(prop, minidom.Attr):
        prop.value = text
        return
    while prop.firstChild is not None:
        prop.removeChild(prop.firstChild)
    node = minidom.Text()
    node.data = text
    prop.appendChild(node)


def _drop_companions(elements: Sequence[minidom.Element]) -> tuple[bool, list[str]]:
    """Drop what describes pictures, videos and sounds beside the picture.

    Returns:
        True if there was something, and what is lost, in words for the user.
    """
    notes, dropped = [], False
    for element in elements:
        for prop in _properties(element):
            told = _loss(prop)
            if told is None:
                continue
            notes += [told] * bool(told)
            if prop.namespaceURI == _ITEM:
                continue  # it goes with its directory
            dropped = True
            if isinstance(prop, minidom.Attr):
                element.removeAttributeNode(prop)
            else:
                element.removeChild(prop)
    return dropped, notes


def _loss(prop: _Property) -> str | None:
    """Return what is lost with a property, empty if nothing is; None if it is to be kept."""
    space, name = prop.namespaceURI or "", prop.localName or ""
    if space in _COMPANIONS:
        return _COMPANIONS[space]
    if space.startswith(_DYNAMIC_DEPTH):
        return DEPTH_LEFT_OUT
    if space == _CAMERA and _VIDEO.match(name):
        return VIDEO_LEFT_OUT if _VIDEO.fullmatch(name) and _text(prop) == "1" else ""
    if space == _ITEM and name == "Semantic":
        return _SEMANTICS.get(_text(prop), "")
    if (space, name) == (_NOTE, "HasExtendedXMP"):
        return "extended XMP left out"
    return "" if space == _CONTAINER or (space, name) == (_XMP, "Thumbnails") else None


def _move(elements: Sequence[minidom.Element], pixels: PixelMap) -> None:
    """Let regions, places and sizes follow the pixels; numbers that are none stay as they are."""
    of_regions = _map_of_regions(elements, pixels)
    for element in elements:
        for move, own in (
            (_move_sizes, pixels),
            (_move_subject, pixels),
            (_move_boundary, pixels),
            (_move_face, of_regions),
        ):
            with suppress(ValueError, ArithmeticError):
                move(element, own)


def _map_of_regions(elements: Sequence[minidom.Element], pixels: PixelMap) -> PixelMap:
    """Return how regions of faces move.

    They belong to the stored picture (MWG guidelines, 5.9), unless the size that they state is that
    of the upright one.
    """
    height, width = pixels.turned
    for element in elements if pixels.swaps else ():
        size = _applied(element)
        with suppress(ValueError, ArithmeticError):
            if size and (_number(size["h"]) - _number(size["w"])) * (height - width) > 0:
                return replace(pixels, before=pixels.turned, orientation=1)
    return pixels


def _applied(element: minidom.Element) -> dict[str, _Property]:
    """Return width and height of the picture that regions belong to, where they are given here."""
    names = (element.localName, getattr(element.parentNode, "localName", None))
    fields = _fields(element, _DIMENSIONS) if "AppliedToDimensions" in names else {}
    return fields if {"w", "h"} <= fields.keys() else {}


def _move_sizes(element: minidom.Element, pixels: PixelMap) -> None:
    for namespace, across, down in _PAIRS:
        fields = _fields(element, namespace)
        if across in fields and down in fields:
            _move_size(fields[across], fields[down], pixels)


def _move_size(across: _Property, down: _Property, pixels: PixelMap) -> None:
    new = pixels.size(_number(across), _number(down))
    for prop, value in zip((across, down), new, strict=True):
        _set_number(prop, value)


def _move_subject(element: minidom.Element, pixels: PixelMap) -> None:
    """Move exif:SubjectArea and exif:SubjectLocation, lists of whole numbers."""
    if element.namespaceURI != _EXIF or element.localName not in ("SubjectArea", "SubjectLocation"):
        return
    items = [node for node in element.getElementsByTagName("*") if node.localName == "li"]
    if len(items) in (2, 3, 4):
        for item, value in zip(items, pixels.area([_number(i) for i in items]), strict=True):
            _set_number(item, value)


def _move_face(element: minidom.Element, pixels: PixelMap) -> None:
    """Move a region of MWG (its centre and size) or of Microsoft (upper left corner and size)."""
    if size := _applied(element):
        _move_size(size["w"], size["h"], pixels)
    fields = _fields(element, _AREA)
    if "x" in fields and "y" in fields:
        in_pixels = "unit" in fields and _text(fields["unit"]) == "pixel"
        _move_region([fields.get(name) for name in "xywh"], pixels, in_pixels, centred=True)
    rectangle = _fields(element, _MICROSOFT).get("Rectangle")
    if rectangle is not None and pixels.orientation != 1:
        left, top, width, height = map(float, _text(rectangle).split(","))
        box = _moved_box((left, top, width, height), pixels, in_pixels=False)
        _set(rectangle, ", ".join(_decimal(value) for value in box))


def _move_boundary(element: minidom.Element, pixels: PixelMap) -> None:
    """Move a region of IPTC: a rectangle, a circle, or a corner of a polygon."""
    fields = _fields(element, _IPTC)
    if "rbX" not in fields or "rbY" not in fields:
        return
    unit = fields.get("rbUnit")
    node = element.parentNode
    while unit is None and isinstance(node, minidom.Element):  # corners: it is that of the polygon
        unit = _fields(node, _IPTC).get("rbUnit")
        node = node.parentNode
    in_pixels = unit is not None and _text(unit) == "pixel"
    if in_pixels and "rbRx" in fields:
        radius = _number(fields["rbRx"])
        _set_number(fields["rbRx"], pixels.size(radius, radius)[0])
    _move_region([fields.get(f"rb{name}") for name in "XYWH"], pixels, in_pixels)


def _move_region(
    props: Sequence[_Property | None], pixels: PixelMap, in_pixels: bool, *, centred: bool = False
) -> None:
    """Move a region that is given by x, y, width and height, in pixels or as parts of the sides."""
    if not in_pixels and pixels.orientation == 1:
        return
    x, y, width, height = (0.0 if prop is None else _number(prop) for prop in props)
    if centred:
        x, y = x - width / 2, y - height / 2
    x, y, width, height = _moved_box((x, y, width, height), pixels, in_pixels=in_pixels)
    if centred:
        x, y = x + width / 2, y + height / 2
    for prop, value in zip(props, (x, y, width, height), strict=True):
        if prop is not None:
            _set(prop, _decimal(value))


def _moved_box(
    box: tuple[float, float, float, float], pixels: PixelMap, *, in_pixels: bool
) -> tuple[float, float, float, float]:
    """Map (left, top, width, height)."""
    left, top, width, height = box
    move = pixels.point if in_pixels else pixels.part
    (a, b), (c, d) = move(left, top), move(left + width, top + height)
    return min(a, c), min(b, d), abs(a - c), abs(b - d)


def _number(prop: _Property) -> float:
    """Return a whole, decimal or rational number.

    Raises:
        ValueError: If it is none; ZeroDivisionError as well.
    """
    above, _, below = _text(prop).partition("/")
    value = float(above) / float(below or 1)
    if not math.isfinite(value):
        raise ValueError("no number")
    return value


def _set_number(prop: _Property, value: float) -> None:
    """Set a number in the way it is written: whole, rational or decimal."""
    old = _text(prop)
    if "/" in old:
        ratio = Fraction(value).limit_denominator(10**6)
        _set(prop, f"{ratio.numerator}/{ratio.denominator}")
    else:
        _set(prop, _decimal(value) if "." in old else str(round(value)))


def _decimal(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")
