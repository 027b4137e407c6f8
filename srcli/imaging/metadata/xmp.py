"""Fit XMP to pixels that were turned upright or enlarged; drop what points at lost pictures.

RDF writes a property as an attribute or as an element: both are nodes of a document
here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from srcli.imaging.metadata.exif import XMP_ORIENTATION
from srcli.imaging.metadata.left_out import (
    CREDENTIALS_LEFT_OUT,
    HDR_LEFT_OUT,
    VIDEO_LEFT_OUT,
)
from srcli.imaging.pixels.geometry import PixelMap

DEPTH_LEFT_OUT = "depth map left out"

LARGEST_EDITED = 2**20
"""Bytes of a packet that is edited; longer ones stay as they are."""
_AMPERSAND = "\ue000"
"""Stands for ``&`` in a document, so that references stay as they are written."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
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
_ACDSEE = "http://ns.acdsee.com/"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"

_Rows = tuple[tuple[str, str, str], ...]
_COMPANIONS: _Rows = (
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
    (r"http://purl\.org/dc/terms/provenance", "", CREDENTIALS_LEFT_OUT),
)
"""Pictures and sounds beside the picture: patterns of the namespace and name of
properties that point at them, and of what these hold where something is lost, in words
for the user."""
_LENS_LEFT_OUT = "calibration of the lens left out: it does not hold for other pixels"
_OF_OLD_PIXELS: _Rows = (
    (
        r"http://www\.dji\.com/drone-dji/1\.0/"
        r"(?:Calibrated(?:Focal|Optical|HMatrix)|RelativeOptical|Dewarp|Vignetting)",
        "",
        _LENS_LEFT_OUT,
    ),
    (
        r"http://pix4d\.com/camera/1\.0/?"
        r"(?:PerspectiveFocal|PrincipalPoint|VignettingCenter|VignettingPolynomial$|FisheyeAffine)",
        "",
        _LENS_LEFT_OUT,
    ),
)
"""What cameras of drones say of their lens in pixels, by DJI and by Pix4D's names (Parrot,
MicaSense, Sentera): dropped where pixels change."""

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


def fit_xmp(xmp: bytes, pixel_map: PixelMap) -> tuple[bytes, tuple[str, ...]]:
    """Fit an XMP packet to pixels that were turned or enlarged.

    Its orientation becomes 1. Regions of faces, sizes of panoramas and pictures, the
    position of the subject and the resolution of the sensor follow the pixels; properties
    of gain maps, videos, depth maps and others beside the picture are dropped. A packet
    that is not well-formed keeps all that.
    """
    xmp = XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    try:
        text = xmp.strip(b"\0").decode()
        if len(xmp) > LARGEST_EDITED or _AMPERSAND in text or "<!DOCTYPE" in text:
            return xmp, ()
        document = minidom.parseString(text.replace("&", _AMPERSAND))
        before = _serialise(document)
        dropped = _COMPANIONS
        if not pixel_map.changes_nothing:
            _move_geometry(document, pixel_map)
            dropped += _OF_OLD_PIXELS
        notes = _drop_properties(document, dropped)
        edited = _serialise(document)
    except (ExpatError, ValueError, RecursionError):
        return xmp, ()
    if edited == before:
        return xmp, notes
    return edited.encode(), notes


def _serialise(document: minidom.Document) -> str:
    text = "".join(node.toxml() for node in document.childNodes)
    return text.replace(_AMPERSAND, "&")


def _drop_properties(document: minidom.Document, dropped: _Rows) -> tuple[str, ...]:
    """Drop properties by rows as ``_COMPANIONS`` has them; return what is lost."""
    notes = []
    for node in list(_namespaced_nodes(document)):
        name = node.namespaceURI + node.localName
        rows = [row for row in dropped if re.match(row[0], name)]
        if not rows:
            continue
        if node.nodeType == node.ATTRIBUTE_NODE:
            written = f'{node.name}="{node.value}"'
            node.ownerElement.removeAttributeNode(node)
        else:
            written = node.toxml()
            node.parentNode.removeChild(node)
        for _, content, note in rows:
            if re.search(content, written):
                notes.append(note)
    return tuple(dict.fromkeys(notes))


def _move_geometry(document: minidom.Document, pixel_map: PixelMap) -> None:
    """Let regions, positions and sizes follow the pixels; texts that are no numbers stay."""
    elements = document.getElementsByTagNameNS
    dimensions = [
        _text_nodes(scope, uri, "wh")
        for regions, uri in (
            (_MWG, _DIMENSIONS),
            (f"{_ACDSEE}regions/", f"{_ACDSEE}sType/Dimensions#"),
        )
        for scope in elements(regions, "AppliedToDimensions")
    ]
    faces = _region_map(dimensions, pixel_map)
    for sides in dimensions:
        _replace_numbers(sides, faces.size)
    _move_sizes(document, pixel_map)
    for name in ("SubjectArea", "SubjectLocation"):
        for scope in elements(_EXIF, name):
            (items,) = _text_nodes(scope, _RDF, ("li",))
            if len(items) in (2, 3, 4):
                _replace_numbers([[item] for item in items], pixel_map.area)
    for scope in elements(_MWG, "Area"):
        _move_regions(_text_nodes(scope, _AREA, ("unit", *"xywh")), faces)
    for name in ("DLYArea", "ALGArea"):  # drawn by hand, and found by the program
        for scope in elements(f"{_ACDSEE}regions/", name):
            area = f"{_ACDSEE}sType/Area#"
            _move_regions(_text_nodes(scope, area, ("unit", *"xywh")), faces)
    for scope in elements(_IPTC, "RegionBoundary"):
        texts = _text_nodes(
            scope, _IPTC, ("rbUnit", "rbX", "rbY", "rbW", "rbH", "rbRx")
        )
        _move_regions(texts, pixel_map, corner=True)
    if faces.orientation == 1:
        return
    (rectangles,) = _text_nodes(document, _MICROSOFT, ("Rectangle",))
    for text in rectangles:
        with suppress(ValueError):  # upper left corner and size as shares of the sides
            x, y, width, height = map(float, text.nodeValue.split(","))
            box = faces.for_shares.area((x, y, width, height), corner=True)
            text.nodeValue = ", ".join(map(_decimal, box))


def _move_sizes(document: minidom.Document, pixel_map: PixelMap) -> None:
    """Let sizes in pixels follow; one without the other is dropped where they change places."""
    for uri, *names in _SIZES:
        widths, heights = _text_nodes(document, uri, names)
        if widths and heights:
            _replace_numbers([widths, heights], pixel_map.size)
        elif pixel_map.swaps_sides:  # which would be the other one then
            for text in (*widths, *heights):
                _drop_property(text)
        else:
            _replace_numbers([widths], lambda values: pixel_map.size((*values, 0))[:1])
            _replace_numbers([heights], lambda values: pixel_map.size((0, *values))[1:])


def _region_map(dimensions: list[list[list[Any]]], pixel_map: PixelMap) -> PixelMap:
    """Return how regions of faces move.

    They belong to the stored picture (MWG guidelines, 5.9), unless the size that they
    state is that of the upright one.
    """
    height, width = pixel_map.before[::-1]
    with suppress(LookupError, ValueError):  # none is stated
        widths, heights = dimensions[0]
        stated_width = float(widths[0].nodeValue)
        stated_height = float(heights[0].nodeValue)
        if (
            pixel_map.swaps_sides
            and (stated_height - stated_width) * (height - width) > 0
        ):
            return PixelMap((height, width), pixel_map.after)
    return pixel_map


def _move_regions(
    texts: list[list[Any]], pixel_map: PixelMap, *, corner: bool = False
) -> None:
    """Move a box, by its centre or its corner, a circle or a polygon; the unit comes first."""
    units, x, y, *extent = texts
    if not any(unit.nodeValue == "pixel" for unit in units):
        pixel_map = pixel_map.for_shares
    if not pixel_map.changes_nothing:
        columns = [x, y, *filter(None, extent)]
        move = partial(pixel_map.area, corner=corner and len(columns) == 4)
        _replace_numbers(columns, move, exact=True)


def _namespaced_nodes(scope: Any) -> Iterator[Any]:  # noqa: ANN401 - minidom has no types for what is common
    """Yield elements and attributes that have a namespace, in the order of the document."""
    for element in (scope, *scope.getElementsByTagName("*")):
        for node in (element, *(element.attributes or {}).values()):
            if node.namespaceURI:
                yield node


def _text_nodes(scope: Any, uri: str, names: Iterable[str]) -> list[list[Any]]:  # noqa: ANN401
    """Return for each property in a scope the nodes that hold its text, which may be empty."""
    texts: dict[str, list[Any]] = {name: [] for name in names}
    for node in _namespaced_nodes(scope):
        if node.namespaceURI == uri and node.localName in texts:
            text = node
            if node.nodeType != node.ATTRIBUTE_NODE:
                text = node.firstChild or node
            texts[node.localName].append(text)
    return list(texts.values())


def _replace_numbers(
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
                elif exact or "." in node.nodeValue:
                    node.nodeValue = _decimal(value)
                else:
                    node.nodeValue = str(round(value))


def _decimal(value: float) -> str:
    """Write a number with up to nine digits behind the point."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def _drop_property(text: Any) -> None:  # noqa: ANN401 - an attribute, or the text of an element
    """Drop the property whose text stands in a node."""
    if text.nodeType == text.ATTRIBUTE_NODE:
        text.ownerElement.removeAttributeNode(text)
    else:
        element = text.parentNode
        element.parentNode.removeChild(element)
