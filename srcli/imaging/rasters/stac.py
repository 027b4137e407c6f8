"""Write items of SpatioTemporal Asset Catalogs (STAC).

Item specification 1.0.0, with the extensions projection 2.0.0, raster 1.1.0 and, where
bands have names, eo 1.1.0. Footprints are as GeoJSON (RFC 7946) has them: cut at 180
degrees. The time at which a raster was taken is that of its STAC item, its tags, its name,
or its file.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError
from srcli.files import read_input, shipped_text, write_whole
from srcli.imaging.files.gdal import gdal_errors
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.rasters.dataset_names import file_on_disk
from srcli.imaging.rasters.gdal_access import open_quietly
from srcli.imaging.rasters.transforms import coordinates

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.io import DatasetReader

    from srcli.imaging.pixels.arrays import Size
    from srcli.imaging.rasters.stac_assets import StacAsset

_TABLE = tomllib.loads(shipped_text("stac.toml", "srcli.imaging.rasters"))
_TAGS: list[tuple[str, str]] = _TABLE["tags"]
"""Namespaces and names of tags that tell it, the surest first."""
_TIMES = re.compile(
    r"(\d{4})[-:/]?(\d\d)[-:/]?(\d\d)"
    r"(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d)(?:\.\d+)?)?)? *(Z|UTC|[+-]\d\d:?\d\d)?"
)
_IN_TEXTS = (
    ('DATE_ACQUIRED = "?([^"\n]+)', 'SCENE_CENTER_TIME = "?([^"\n]+)'),  # Landsat's MTL
    ("<IMAGING_DATE>(.*?)<", "<IMAGING_TIME>(.*?)<"),  # DIMAP of Pleiades and SPOT
)
"""Expressions for date and time in the descriptions of scenes."""
_LANDSAT = re.compile(r"L[COTEM]\d\d_\w{4}_\d{6}_(\d{8})_\d{8}_\d\d_[A-Z0-9]{2}")
"""Names of scenes, which begin those of all their files."""
_SENTINEL = re.compile(r"(?:S[123][ABCD]_\w+?_|T\d\d[A-Z]{3}_)(\d{8}T\d{6})(?!\d)")
"""Names of products and of files in them, with the time at which sensing began."""
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
"""What GDAL makes of times that it cannot read."""
_SINCE = re.compile(r"(day|hour|minute|second)s? since (.+)", re.IGNORECASE)
"""Units of time of the CF conventions."""


def acquisition_time(
    dataset: DatasetReader, source: Path, asset: StacAsset | None
) -> str:
    """Return when a raster was taken, as RFC 3339 has it.

    A file that nothing tells it of has its time on disk; PictureError for one on the
    network.
    """
    if asset is not None and (time := _time_of_item(asset)):
        return time
    for text in _texts_that_tell(dataset, source):
        if time := _parse_time(text):
            return time
    with suppress(OSError):
        seconds = file_on_disk(source).stat().st_mtime
        return _formatted(datetime.fromtimestamp(seconds, UTC))
    raise PictureError(
        f"{source}: nothing tells when it was taken, which a STAC item must say; drop --stac, or "
        "download it"
    )


def _time_of_item(asset: StacAsset) -> str:
    """Return the time of an item, or the beginning of its span."""
    properties = asset.document.get("properties")
    if isinstance(properties, dict):
        for name in ("datetime", "start_datetime"):
            time = properties.get(name)
            if isinstance(time, str) and _parse_time(time):
                return time
    return ""


def _texts_that_tell(dataset: DatasetReader, source: Path) -> Iterator[str]:
    """Yield the texts that may tell the time, the surest first."""
    for namespace, name in _TAGS:
        yield dataset.tags(ns=namespace or None).get(name, "")
    # GDAL reads the date of some versions of Landsat's MTL only
    lines = [f"{key} = {text}" for key, text in dataset.tags(ns="IMD").items()]
    yield _time_in("\n".join(lines))
    yield _time_of_first_band(dataset)
    if dataset.driver == "DIMAP":
        yield _time_in_file(file_on_disk(source))
    name = str(source)
    if match := _LANDSAT.search(name):
        # GDAL does not find the MTL of Landsat's products of level 2
        yield _time_in_file(source.with_name(f"{match[0]}_MTL.txt")) or match[1]
    elif match := _SENTINEL.search(name):
        yield match[1]


def _time_in_file(file: Path) -> str:
    with suppress(OSError):
        return _time_in(read_input(file).decode("utf-8", "replace"))
    return ""


def _time_in(text: str) -> str:
    """Return date and time in the description of a scene; empty without one."""
    for expressions in _IN_TEXTS:
        matches = [re.search(expression, text) for expression in expressions]
        words = [match[1].strip() for match in matches if match]
        if words:
            return " ".join(words)
    return ""


def _time_of_first_band(dataset: DatasetReader) -> str:
    """Return the time for which a weather or climate model gives its first band."""
    tags = dataset.tags(1)
    with suppress(ValueError, OverflowError):
        if "GRIB_VALID_TIME" in tags:
            seconds = float(tags["GRIB_VALID_TIME"].split()[0])
            return _formatted(datetime.fromtimestamp(seconds, UTC))
        units = _SINCE.match(dataset.tags().get("time#units", ""))
        if units is not None and "NETCDF_DIM_time" in tags:
            start = datetime.fromisoformat(_parse_time(units[2]))
            step = {f"{units[1].lower()}s": float(tags["NETCDF_DIM_time"])}
            return _formatted(start + timedelta(**step))
    return ""


def _parse_time(text: str) -> str:
    """Return a time in one of the forms of tags as RFC 3339 has it; empty for no time.

    Without a zone it is that of UTC.
    """
    match = _TIMES.match(text.strip())
    if match is None:
        return ""
    date = "-".join(match.group(1, 2, 3))
    clock = ":".join(number or "00" for number in match.group(4, 5, 6))
    zone = (match[7] or "Z").replace("UTC", "Z")
    with suppress(ValueError):
        time = datetime.fromisoformat(f"{date}T{clock}{zone}").astimezone(UTC)
        if time != _UNKNOWN:
            return _formatted(time)
    return ""


def _formatted(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


_STEPS = 64
"""Points on each edge, by which longitudes are followed around a raster."""
_DIGITS = 9
_ALL_AROUND = 360 - 1e-6


def find_footprint(crs: Any, transform: Affine, shape: Size) -> dict[str, Any]:  # noqa: ANN401
    """Return the area of a raster in degrees of WGS 84, as fields of an item.

    They are ``geometry``: a Polygon, or a MultiPolygon of the parts on both sides of 180
    degrees; and ``bbox``: west, south, east, north, where west is larger than east across
    180 degrees. There is no geometry, and no box, outside of a system's domain, and for
    systems that have no place on the globe: of a building site, or of another planet.
    """
    from rasterio.warp import transform as transform_points

    height, width = shape
    ends = np.array([(0, height), (width, height), (width, 0), (0, 0), (0, height)])
    places = np.linspace(ends[:-1], ends[1:], _STEPS, endpoint=False, axis=1)
    x, y = coordinates(transform, *places.reshape(-1, 2).T)
    nothing = {"geometry": None}
    try:
        ring = np.transpose(transform_points(crs, "OGC:CRS84", x, y)[:2])
    except gdal_errors():
        return nothing
    is_known = np.isfinite(ring).all(axis=1)
    is_corner = np.arange(len(ring)) % _STEPS == 0
    if is_known.sum() < 3:
        return nothing
    if not is_known[is_corner].all():
        is_corner = is_known
    ring = ring[is_known]
    ring[:, 1] = ring[:, 1].clip(-90, 90)
    longitudes = np.unwrap([*ring[:, 0], ring[0, 0]], period=360)
    if abs(longitudes[-1] - longitudes[0]) > 180:
        return _around_a_pole(ring)
    ring[:, 0] = longitudes[:-1] - 360 * np.floor((longitudes.min() + 180) / 360)
    return _cut(ring, ring[is_corner[is_known]])


def _cut(ring: Array, corners: Array) -> dict[str, Any]:
    """Return the footprint of a ring that begins in the west; longitudes may exceed 180."""
    west, south = ring.min(axis=0).tolist()
    east, north = ring.max(axis=0).tolist()
    if east - west >= _ALL_AROUND:
        west = -180.0
        east = 180.0
        sides = [(west, south), (east, south), (east, north), (west, north)]
        corners = np.array(sides)
    if east <= 180 + 1e-9:
        return {"geometry": _polygon(corners), "bbox": [west, south, east, north]}
    points = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        points.append(start)
        share = (180 - start[0]) / ((end - start)[0] or np.inf)
        if 0 < share < 1:
            points.append(np.array([180, start[1] + share * (end - start)[1]]))
    outline = np.array(points)
    parts = [outline[outline[:, 0] <= 180], outline[outline[:, 0] >= 180] - (360, 0)]
    pieces = [_polygon(part)["coordinates"] for part in parts]
    geometry = {"type": "MultiPolygon", "coordinates": pieces}
    return {"geometry": geometry, "bbox": [west, south, east - 360, north]}


def _around_a_pole(ring: Array) -> dict[str, Any]:
    """Return the footprint of a raster that holds a pole: all from its edge to the pole."""
    pole = 90.0 if ring[:, 1].mean() > 0 else -90.0
    ring[:, 0] = (ring[:, 0] + 180) % 360 - 180
    ring = ring[ring[:, 0].argsort()]
    latitude = np.interp(180, ring[:, 0], ring[:, 1], period=360)
    points = [
        (-180.0, latitude),
        *ring,
        (180.0, latitude),
        (180.0, pole),
        (-180.0, pole),
    ]
    corners = np.array(points)
    if pole < 0:  # counterclockwise, too
        corners = corners[::-1]
    south, north = sorted([float(np.abs(ring[:, 1]).min()) * np.sign(pole), pole])
    return {"geometry": _polygon(corners), "bbox": [-180.0, south, 180.0, north]}


def _polygon(corners: Array) -> dict[str, Any]:
    """Return a GeoJSON polygon of a ring that is not closed."""
    ring = [[float(x), float(y)] for x, y in np.round(corners, _DIGITS)]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


_EXTENSIONS = _TABLE["extensions"]
_EO_EXTENSION = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"
_EO_FIELDS: dict[str, str] = _TABLE["eo_fields"]
"""Fields of a band of STAC 1.1, and what they are called in ``eo:bands``."""

_MEDIA_TYPES = _TABLE["media_types"]
_OF_THE_INPUT = ("proj:", "raster:", "created", "updated", "published", "datetime")
"""Beginnings of properties that an output has of its own, or that tell of the old item."""


def write_item(
    raster: Path,
    time: str,
    asset: StacAsset | None = None,
    bands: Sequence[int] | None = None,
) -> Path:
    """Write the item of a raster beside it, as ``NAME.stac.json``, and return its path.

    ``time`` is when it was taken. Of a raster that an item has led to, its ``asset``,
    the id and the properties of that item are kept, and what it says of ``bands``, the
    numbers of those that were upscaled, from 1 (None: all).
    """
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": raster.stem,
        "geometry": None,
        "properties": {"datetime": time},
        "links": [],
    }
    described: dict[str, Any] = {}
    named: list[dict[str, Any]] = []
    if asset is not None:
        described_before = _take_over(item, asset)
        named = _read_named_bands(described_before, bands)
        if "title" in described_before:
            described["title"] = described_before["title"]
    with open_quietly(raster) as file:
        if len(named) != file.count:
            named = _name_bands(file)
        if named:
            described["eo:bands"] = named
            _declare_eo(item["stac_extensions"])
        item["properties"]["proj:shape"] = list(file.shape)
        if file.crs is not None:
            _add_place(item, file)
        described |= {
            "href": f"./{raster.name}",
            "type": _MEDIA_TYPES[file.driver],
            "roles": ["data"],
            "raster:bands": _describe_bands(file),
        }
    item["assets"] = {"data": described}
    path = raster.with_name(f"{raster.stem}.stac.json")
    write_whole(path, json.dumps(item, indent=2).encode())
    return path


def _take_over(item: dict[str, Any], asset: StacAsset) -> dict[str, Any]:
    """Put id, properties and extensions of an asset's item into a new one.

    Returned is the asset as the item has it. What is of another type than STAC says is
    passed over.
    """
    source = asset.document
    name = source.get("id")
    if not name or not isinstance(name, str | int):
        name = asset.item.stem
    item["id"] = str(name) if asset.is_only else f"{name}_{asset.key}"
    properties = source.get("properties")
    if isinstance(properties, dict):
        for key, value in properties.items():
            if not key.startswith(_OF_THE_INPUT):
                item["properties"][key] = value
    extensions = source.get("stac_extensions")
    if isinstance(extensions, list):
        for extension in extensions:
            if not isinstance(extension, str):
                continue
            if not {"projection", "raster"} & set(extension.split("/")):
                item["stac_extensions"].append(extension)
    item["geometry"] = source.get("geometry")
    if source.get("bbox"):
        item["bbox"] = source["bbox"]
    link = {"rel": "derived_from", "href": str(asset.item.absolute())}
    item["links"].append({**link, "type": "application/geo+json"})
    described: dict[str, Any] = source["assets"].get(asset.key, {})
    return described


def _read_named_bands(
    asset: dict[str, Any], numbers: Sequence[int] | None
) -> list[dict[str, Any]]:
    """Return what an asset says of the bands of these numbers, as ``eo:bands``.

    ``bands`` of STAC 1.1 are turned into it. Empty where the asset does not tell of all.
    """
    bands = asset.get("eo:bands")
    if bands is None and isinstance(asset.get("bands"), list):
        bands = []
        for band in asset["bands"]:
            fields = _EO_FIELDS.items() if isinstance(band, dict) else ()
            bands.append({new: band[old] for old, new in fields if old in band})
    if not isinstance(bands, list) or not all(bands):
        return []
    if numbers is None:
        return bands
    if max(numbers) > len(bands):
        return []
    return [bands[number - 1] for number in numbers]


def _name_bands(file: DatasetReader) -> list[dict[str, Any]]:
    """Return the names of a raster's bands as ``eo:bands``, if each has one of its own."""
    names = [name for name in file.descriptions if name]
    if len(set(names)) != file.count:
        return []
    return [{"name": name} for name in names]


def _declare_eo(extensions: list[str]) -> None:
    """Name the extension of ``eo:bands`` in a list, instead of a version without them."""
    for extension in list(extensions):
        parts = extension.split("/")
        if "eo" in parts:
            if any(word.startswith("v1.") for word in parts):
                return
            extensions.remove(extension)
    extensions.append(_EO_EXTENSION)


def _add_place(item: dict[str, Any], file: DatasetReader) -> None:
    """Add footprint and projection of a raster to its item."""
    code = file.crs.to_epsg()
    item["properties"] |= {
        "proj:code": f"EPSG:{code}" if code else None,
        "proj:wkt2": file.crs.to_wkt(version="WKT2_2019"),
        "proj:transform": list(file.transform),
    }
    item.pop("bbox", None)
    item |= find_footprint(file.crs, file.transform, file.shape)


def _describe_bands(file: DatasetReader) -> list[dict[str, Any]]:
    """Return the ``raster:bands`` of a raster."""
    bands = []
    for number, dtype in enumerate(file.dtypes):
        band: dict[str, Any] = {"data_type": dtype}
        if file.crs is not None and file.crs.is_projected:
            metres = file.crs.linear_units_factor[1]
            band["spatial_resolution"] = file.res[0] * metres
        nodata = file.nodatavals[number]
        if nodata is not None:
            band["nodata"] = "nan" if nodata != nodata else nodata
        packing = (file.scales[number], file.offsets[number])
        if packing != (1.0, 0.0):
            band["scale"], band["offset"] = packing
        if file.units[number]:
            band["unit"] = file.units[number]
        bands.append(band)
    return bands
