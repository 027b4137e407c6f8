"""Read and write items of SpatioTemporal Asset Catalogs (STAC).

Item specification 1.0.0, with the extensions projection 2.0.0 and raster 1.1.0.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from srcli.errors import PictureError
from srcli.files import parse_text, read_input, write_whole
from srcli.imaging.rasters.dataset_names import DatasetName, as_input, is_remote
from srcli.imaging.rasters.opening import open_quietly
from srcli.imaging.rasters.transforms import coordinates

_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
)
_MEDIA_TYPES = {
    "GTiff": "image/tiff; application=geotiff",
    "PNG": "image/png",
    "JPEG": "image/jpeg",
}
_TIFF_TIME = "%Y:%m:%d %H:%M:%S"


def find_assets(path: Path) -> list[Path]:
    """Return the rasters of a STAC item: its assets with the role ``data``.

    Empty for what is no item; PictureError for an item without such assets.
    """
    if isinstance(path, DatasetName) or path.suffix.lower() not in (
        ".json",
        ".geojson",
    ):
        return []
    try:
        item = parse_text(read_input(path).decode("utf-8-sig"))
        if item["type"] != "Feature" or "stac_version" not in item:
            return []
        assets = [
            asset for asset in item["assets"].values() if "data" in asset["roles"]
        ]
        links = [asset["href"] for asset in assets if _is_raster(asset)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []
    if not links:
        raise PictureError(f"{path}: is a STAC item without rasters of the role data")
    rasters = []
    for link in links:
        link = link.removeprefix("file://")
        rasters.append(as_input(link if is_remote(link) else path.parent / link))
    return rasters


def _is_raster(asset: dict[str, Any]) -> bool:
    """Tell if the media type of an asset, where it has one, is that of a raster."""
    return str(asset.get("type", "image/")).startswith(("image/", "application/x-"))


def write_item(raster: Path, source: Path) -> Path:
    """Write the item of a raster beside it, as ``NAME.stac.json``, and return its path.

    Its time is that in the tags of the raster, else that of the file it was made from.
    """
    from rasterio.warp import transform_geom

    with open_quietly(raster) as file:
        bands = []
        for dtype, nodata in zip(file.dtypes, file.nodatavals, strict=True):
            band = {"data_type": dtype}
            if file.crs is not None and file.crs.is_projected:
                metres = file.crs.linear_units_factor[1]
                band["spatial_resolution"] = file.res[0] * metres
            if nodata is not None:
                band["nodata"] = "nan" if nodata != nodata else nodata
            bands.append(band)
        properties: dict[str, Any] = {
            "datetime": _time_of(file.tags().get("TIFFTAG_DATETIME"), source),
            "proj:shape": list(file.shape),
        }
        geometry = None
        if file.crs is not None:
            height, width = file.shape
            places = ((0, height), (width, height), (width, 0), (0, 0))
            corners = [coordinates(file.transform, *place) for place in places]
            ring = {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}
            geometry = transform_geom(file.crs, "OGC:CRS84", ring)
            code = file.crs.to_epsg()
            properties["proj:code"] = f"EPSG:{code}" if code else None
            properties["proj:wkt2"] = file.crs.to_wkt(version="WKT2_2019")
            properties["proj:transform"] = list(file.transform)
        media_type = _MEDIA_TYPES[file.driver]
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": _EXTENSIONS,
        "id": raster.stem,
        "geometry": geometry,
        "properties": properties,
        "links": [],
        "assets": {
            "data": {
                "href": f"./{raster.name}",
                "type": media_type,
                "roles": ["data"],
                "raster:bands": bands,
            }
        },
    }
    if geometry:
        x, y = zip(*geometry["coordinates"][0], strict=True)
        item["bbox"] = [min(x), min(y), max(x), max(y)]
    path = raster.with_name(f"{raster.stem}.stac.json")
    write_whole(path, json.dumps(item, indent=2).encode())
    return path


def _time_of(stated: str | None, source: Path) -> str:
    """Return a time of TIFF, else that of a file, as RFC 3339 has it."""
    try:
        time = datetime.strptime(stated or "", _TIFF_TIME).replace(tzinfo=UTC)
    except ValueError:
        seconds = source.stat().st_mtime if source.exists() else 0
        time = datetime.fromtimestamp(seconds, UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
