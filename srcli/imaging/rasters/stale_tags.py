"""Keep the tags of a raster true once its pixels are others: leave out or fit what tells of a grid.

Many formats repeat in their metadata what the header says: rows and columns, the size
of a pixel, corners, zoom levels, counts of pixels. Copied as it is, it would describe
the input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from xml.etree import ElementTree as ET

from srcli.imaging.pixels.arrays import Size
from srcli.ports.image import Window

STRUCTURE = frozenset({
    "image_structure", "derived_subdatasets", "subdatasets", "rpc", "geolocation",
    "tiling_scheme", "xml:gml.root-instance", "xml:tre", "xml:dimap", "xml:pds4",
    "xml:bag", "json:isis3", "json:pds", "json:vicar", "locationinfo", "cgm",
    "nitf_metadata",
})  # fmt: skip
"""Namespaces of tags, in lower case, that describe the structure of the file, or are kept
in fields of their own."""
_OUTDATED = (
    "STATISTICS_", "EXIF_PixelXDimension", "EXIF_PixelYDimension", "EXIF_SubjectArea",
    "EXIF_SubjectLocation", "EXIF_FocalPlane", "OVR_", "TIFFTAG_MINSAMPLEVALUE",
    "TIFFTAG_MAXSAMPLEVALUE", "NODATA_VALUES", "TILING_SCHEME_", "NITF_IGEOLO",
    "NITF_IMAG",
)  # fmt: skip
"""Beginnings of tags that are outdated once the pixels change."""
_OUTDATED_NAMES = frozenset({
    "zoom_level", "minzoom", "maxzoom", "bounds", "center", "geotransform",
    "actual_range", "resolution", "geospatial_lat_resolution",
    "geospatial_lon_resolution", "geospatial_x_resolution", "geospatial_y_resolution",
})  # fmt: skip
"""Names of such tags in lower case, after the variable that they are of (``x#``)."""
_EXTENT = re.compile(r"geospatial_((lat|lon|x|y)_(min|max)|bounds)(_crs)?")
"""Names of tags of the whole scene; a part of it has others."""
_BAND_NAME = re.compile(r"Band_\d+")
_KEPT_OF_ENVI = frozenset({
    "acquisition_time", "sensor_type", "cloud_cover", "sun_azimuth",
    "sun_elevation", "reflectance_scale_factor", "data_units", "security_tag",
})  # fmt: skip
"""Entries of ENVI's headers that do not describe the file."""
_GRIDS_OF_NITF = ("RPC00", "BLOCKA", "ICHIPB", "MAPLOB", "GEOLOB", "GEOPSB", "REGPTB")
"""Beginnings of the names of NITF's extensions that place pixels."""
_ROWS = re.compile(r"(num|n)_?rows|\w+_lines|lines", re.IGNORECASE)
_COLUMNS = re.compile(r"(num|n)_?col(umn)?s|\w+_samples|samples", re.IGNORECASE)
_PIXEL_SIZE = re.compile(
    r"\w*product\w*gsd|grid_cell_size\w*|(col|row)spacing|pixel_?(size|spacing)\w*",
    re.IGNORECASE,
)
_ACQUIRED_SIZE = re.compile(r"\w*gsd\w*", re.IGNORECASE)
"""Of the sensor's pixels, which readers take for those of the file."""
_CORNER = re.compile(r"(ul|ur|ll|lr|origin)(x|y)|\w*corner\w*proj\w*", re.IGNORECASE)
_PLACE = re.compile(
    r"(ul|ur|ll|lr)(lon|lat|hae)|\w*corner\w*|(corner_)?(ul|ur|ll|lr)_\w+",
    re.IGNORECASE,
)
_OF_MAXAR = ("IMAGE_", "BAND_", "MAP_PROJECTED", "version", "numRows")
"""Beginnings of keys of Maxar's products, which GDAL writes into files ``.IMD``."""
_UNKNOWN_TIME = "1970-01-01 00:00:00"
"""What GDAL makes of times that it cannot read."""
_TILE_FORMATS = frozenset({"png", "jpg", "jpeg", "webp"})
_COUNT = "1"
"""Usage of a column of pixel counts in GDAL's attribute tables (GFU_PixelCount)."""
_COUNT_NAMES = frozenset({"count", "histogram", "pixelcount", "pixel_count"})


def is_outdated(key: str) -> bool:
    """Tell if a tag is wrong for any other pixels than those of the input."""
    name = key.rpartition("#")[2].lower()
    return key.startswith(_OUTDATED) or name in _OUTDATED_NAMES


def fit_tags(
    tags: Mapping[str, Mapping[str, str]],
    whole: Size,
    window: Window,
    scale: int,
    *,
    keeps_bands: bool,
) -> dict[str, Mapping[str, str]]:
    """Return the tags of a raster, by namespace, as they are true for an enlarged window.

    ``whole`` is the (height, width) of the input; ``keeps_bands`` says that the output
    has its bands in their order.
    """
    fitted = dict(tags)
    is_part = (window.height, window.width) != whole
    plain = {}
    for key, text in tags.get("", {}).items():
        name = key.rpartition("#")[2].lower()
        is_of_bands = _BAND_NAME.fullmatch(key) and not keeps_bands
        is_of_tiles = key == "format" and text in _TILE_FORMATS
        is_of_scene = is_part and _EXTENT.fullmatch(name)
        if not (is_of_bands or is_of_tiles or is_of_scene):
            plain[key] = text
    fitted[""] = plain
    if "ENVI" in tags:
        fitted["ENVI"] = {
            key: text for key, text in tags["ENVI"].items() if key in _KEPT_OF_ENVI
        }
    if "TRE" in tags:
        fitted["TRE"] = {
            key: text
            for key, text in tags["TRE"].items()
            if not key.startswith(_GRIDS_OF_NITF)
        }
    if "IMAGERY" in tags:
        fitted["IMAGERY"] = {
            key: text for key, text in tags["IMAGERY"].items() if text != _UNKNOWN_TIME
        }
    if "IMD" in tags:
        fitted["IMD"] = _fit_product(tags["IMD"], whole, window, scale)
    return {name: items for name, items in fitted.items() if items or not name}


def _fit_product(
    items: Mapping[str, str], whole: Size, window: Window, scale: int
) -> dict[str, str]:
    """Return the description of a product of Maxar's satellites; empty for others."""
    is_part = (window.height, window.width) != whole
    fitted: dict[str, str] = {}
    if not any(key.startswith(_OF_MAXAR) for key in items):
        return fitted  # else GDAL writes Landsat's MTL into a file .IMD
    for key, text in items.items():
        name = key.rpartition(".")[2]
        if _ROWS.fullmatch(name):
            text = str(window.height * scale) if text == str(whole[0]) else ""
        elif _COLUMNS.fullmatch(name):
            text = str(window.width * scale) if text == str(whole[1]) else ""
        elif _PIXEL_SIZE.fullmatch(name):
            text = _divided(text, scale)
        else:
            of_part = is_part and _PLACE.fullmatch(name)
            if _ACQUIRED_SIZE.fullmatch(name) or _CORNER.fullmatch(name) or of_part:
                text = ""
        if text:
            fitted[key] = text
    return fitted


def _divided(text: str, scale: int) -> str:
    """Return a number in a text divided by a scale; empty for what is no number."""
    with suppress(ValueError):
        return f"{float(text) / scale:.12g}"
    return ""


def fit_attribute_table(text: str, factor: int) -> str:
    """Return an attribute table of classes whose counts of pixels are ``factor`` times as many.

    0 leaves the counts out. A table that cannot be read stays as it is.
    """
    try:
        table = ET.fromstring(text)
    except ET.ParseError:
        return text
    fields = table.findall("FieldDefn")
    counts = []
    for position, definition in enumerate(fields):
        usage = definition.findtext("Usage", "0")
        name = definition.findtext("Name", "").strip().lower()
        is_number = definition.findtext("Type", "0") in ("0", "1")
        if usage == _COUNT or (usage == "0" and is_number and name in _COUNT_NAMES):
            counts.append(position)
    for row in table.findall("Row"):
        cells = row.findall("F")
        for position in counts:
            if position >= len(cells):
                continue
            if factor:
                cells[position].text = _multiplied(cells[position].text or "", factor)
            else:
                row.remove(cells[position])
    if not factor:
        for position in counts:
            table.remove(fields[position])
        for number, definition in enumerate(table.findall("FieldDefn")):
            definition.set("index", str(number))
    return ET.tostring(table, "unicode").strip()


def _multiplied(text: str, factor: int) -> str:
    """Return a count in a text times a factor, whole where it was."""
    try:
        return str(int(text) * factor)
    except ValueError:
        with suppress(ValueError):
            return f"{float(text) * factor:.17g}"
    return text
