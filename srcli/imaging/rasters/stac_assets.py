"""Find the rasters of items of SpatioTemporal Asset Catalogs (STAC 1.0 and 1.1)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from srcli.errors import PictureError
from srcli.files import parse_text, read_input
from srcli.imaging.rasters.dataset_names import DatasetName, as_input, is_remote

_RASTER_TYPES = ("image/tiff", "image/jp2", "application/x-", "application/vnd.sqlite3")
_RASTER_ENDINGS = frozenset({".tif", ".tiff", ".jp2", ".nc", ".h5", ".hdf"})
_PREVIEWS = frozenset({"thumbnail", "overview", "preview", "metadata"})
"""Roles of assets, and often their keys, that are not data."""


@dataclass(frozen=True)
class StacAsset:
    """An asset of an item, and the raster that it leads to."""

    raster: Path
    item: Path
    """The file of the item."""
    key: str
    """Name of the asset in the item."""
    is_only: bool
    """No other raster of the item is upscaled."""
    document: dict[str, Any] = field(compare=False, repr=False)
    """What the item says."""


def find_assets(path: Path) -> list[StacAsset]:
    """Return the rasters of a STAC item: its assets with the role ``data``.

    Roles are optional: where no asset has one, rasters are told by their media types.
    Empty for what is no item; PictureError for an item without such assets.
    """
    if isinstance(path, DatasetName):
        return []
    item = _read_json(path)
    is_item = isinstance(item, dict) and item.get("type") == "Feature"
    if not is_item or "stac_version" not in item or "asset_templates" in item:
        return []
    assets = {}
    if isinstance(item.get("assets"), dict):
        for key, asset in item["assets"].items():
            if isinstance(asset, dict) and isinstance(asset.get("href"), str):
                assets[key] = asset
    keys = _data_keys(assets)
    if not keys:
        raise PictureError(f"{path}: is a STAC item without rasters of the role data")
    rasters = []
    for key in keys:
        link = assets[key]["href"].removeprefix("file://")
        raster = as_input(link if is_remote(link) else path.parent / link)
        is_only = len(keys) == 1
        rasters.append(StacAsset(raster, path, key, is_only, item))
    return rasters


def remote_link(path: Path) -> str:
    """Return a link of a collection of items that leads to the network; empty without one."""
    file = path.container if isinstance(path, DatasetName) else path
    collection = None if file is None else _read_json(file)
    if not isinstance(collection, dict):
        return ""
    for item in collection.get("features") or ():
        for asset in (item.get("assets") or {}).values():
            link = str(asset.get("href"))
            if is_remote(link):
                return link
    return ""


def _read_json(path: Path) -> Any:  # noqa: ANN401
    """Return what a file of JSON holds; None for others, and for one that cannot be read."""
    if path.suffix.lower() in (".json", ".geojson"):
        with suppress(OSError, ValueError):
            return parse_text(read_input(path).decode("utf-8-sig"))
    return None


def _data_keys(assets: dict[str, dict[str, Any]]) -> list[str]:
    """Return the names of the assets that are rasters of data."""
    have_roles = any(asset.get("roles") for asset in assets.values())
    keys = []
    for key, asset in assets.items():
        media_type = str(asset.get("type") or "")
        is_raster = media_type.startswith(_RASTER_TYPES)
        if have_roles:
            may_be = not media_type or media_type.startswith("image/")
            is_data = "data" in (asset.get("roles") or ()) and (is_raster or may_be)
        else:
            ending = PurePosixPath(asset["href"].partition("?")[0]).suffix.lower()
            has_ending = not media_type and ending in _RASTER_ENDINGS
            is_data = (is_raster or has_ending) and key.lower() not in _PREVIEWS
        if is_data:
            keys.append(key)
    return keys
