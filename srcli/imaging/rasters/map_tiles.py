"""MBTiles as outputs: map tiles of one zoom level more, or two, in one file.

Their pixels lie on the grid of a zoom level of Web Mercator (MBTiles 1.3). GDAL resamples
whatever lies elsewhere, so that such a raster is refused here.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from srcli.imaging.files.formats import FORMATS
from srcli.imaging.pixels.arrays import Size
from srcli.imaging.rasters.block_form import overview_factors

WORLD_METRES = 2 * math.pi * 6_378_137
"""Length of the equator in EPSG:3857."""
TILE_SIDE = 256
_MOST_ZOOM = 30
_CLOSE = 1e-6
"""Share of a pixel by which sizes of pixels may differ."""
_CLOSE_CORNER = 1e-2
"""Share of a pixel by which a corner may lie beside the grid."""
_OF_THE_FILE = frozenset({
    "format", "bounds", "center", "minzoom", "maxzoom", "zoom_level", "area_or_point",
})  # fmt: skip
"""Tags that GDAL derives from the tiles."""


def zoom_level_of(georeference: Mapping[str, Any]) -> int | None:
    """Return the zoom level whose pixels those of a raster are; None if they are of none.

    ``georeference`` is that of a ``RasterInfo``.
    """
    system = georeference["crs"]
    transform = georeference["transform"]
    if system is None or transform is None or system.to_epsg() != 3857:
        return None
    if transform.b or transform.d or transform.a <= 0:
        return None
    across = WORLD_METRES / TILE_SIDE / transform.a
    down = WORLD_METRES / TILE_SIDE / -transform.e
    zoom = round(math.log2(across))
    if not 0 <= zoom <= _MOST_ZOOM:
        return None
    if not all(math.isclose(size, 2**zoom, rel_tol=_CLOSE) for size in (across, down)):
        return None
    for corner in (transform.c, transform.f):
        pixels = (corner + WORLD_METRES / 2) / transform.a
        if abs(pixels - round(pixels)) > _CLOSE_CORNER:
            return None
    return zoom


def mbtiles_options(
    tags: Mapping[str, str], quality: int | None, asked: Mapping[str, str]
) -> dict[str, str]:
    """Return GDAL's creation options for MBTiles: JPEG tiles become JPEG tiles, others PNG.

    ``tags`` are those of the input.
    """
    options = {}
    is_jpeg = tags.get("format", "").lower() in ("jpg", "jpeg") or quality is not None
    options["TILE_FORMAT"] = "JPEG" if is_jpeg else "PNG"
    tile_format = asked.get("TILE_FORMAT", options["TILE_FORMAT"]).upper()
    if tile_format in ("JPEG", "WEBP"):
        options["QUALITY"] = str(quality or FORMATS["jpg"].default_quality)
    return options


def overview_factors_of_tiles(size: Size, zoom: int, lowest: str) -> tuple[int, ...]:
    """Return the factors of the lower zoom levels, down to one tile or the input's lowest level.

    ``size`` is the (height, width) of the highest level, ``lowest`` the tag ``minzoom``
    of the input, maybe empty.
    """
    steps = len(overview_factors(*size, TILE_SIDE))
    if lowest.isdecimal():
        steps = max(steps, zoom - int(lowest))
    return tuple(2**step for step in range(1, min(steps, zoom) + 1))


def store_tags(file: Path, tags: Mapping[str, str]) -> None:
    """Store tags, a name and a description among them, in the table ``metadata``.

    GDAL's driver takes these as creation options only, which rasterio 1.4 and 1.5 turn
    into capitals. Raises OSError.
    """
    rows = []
    for key, text in tags.items():
        if key.lower() not in _OF_THE_FILE:
            rows.append((key, text))
    names = [(key,) for key, _ in rows]
    try:
        with closing(sqlite3.connect(file)) as database, database:
            database.executemany("DELETE FROM metadata WHERE name = ?", names)
            database.executemany("INSERT INTO metadata VALUES (?, ?)", rows)
    except sqlite3.Error as error:
        raise OSError(f"tags of the tiles cannot be written: {error}") from error
