"""Affine transforms between pixels and the map, without the operators that affine has changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from srcli.ports import Window

if TYPE_CHECKING:
    from affine import Affine

SLACK = 1e-4
"""Pixels by which bounds may miss a pixel's edge, because coordinates are rounded."""
_WORLD_METRES = 2 * math.pi * 6_378_137
"""Length of the equator in EPSG:3857."""
_TILE_SIDE = 256
_MOST_ZOOM = 30
_CLOSE_CORNER = 1e-2
"""Share of a pixel by which a corner may lie beside the grid of a zoom level."""


class Extent(NamedTuple):
    """The reach of something along both axes, in pixels or in coordinates of a map."""

    least_x: float
    least_y: float
    most_x: float
    most_y: float

    def enclosing_window(self) -> Window:
        """Return the window of all pixels that a box in pixels touches."""
        left = math.floor(self.least_x + SLACK)
        top = math.floor(self.least_y + SLACK)
        right = max(math.ceil(self.most_x - SLACK), left + 1)
        bottom = max(math.ceil(self.most_y - SLACK), top + 1)
        return Window(top=top, left=left, height=bottom - top, width=right - left)


def coordinates(transform: Affine, column: float, row: float) -> tuple[float, float]:
    """Return the coordinates (x, y) of a position in pixels."""
    return (
        transform.a * column + transform.b * row + transform.c,
        transform.d * column + transform.e * row + transform.f,
    )


def enlarge_transform(transform: Affine, window: Window, scale: int) -> Affine:
    """Return the transform of an enlarged window by its upper left corner, which stays."""
    x, y = coordinates(transform, window.left, window.top)
    a, b, _, d, e, _ = transform[:6]
    return type(transform)(a / scale, b / scale, x, d / scale, e / scale, y)


def bounding_box(transform: Affine, edges: Sequence[float]) -> Extent:
    """Return the least and largest coordinates that a box given by its edges is mapped to."""
    corners = product(edges[::2], edges[1::2])
    x_values, y_values = zip(
        *(coordinates(transform, column, row) for column, row in corners), strict=True
    )
    return Extent(min(x_values), min(y_values), max(x_values), max(y_values))


def zoom_level(transform: Affine) -> int | None:
    """Return the zoom level of Web Mercator (EPSG:3857) whose pixels are those of a raster.

    None for pixels of no level, as MBTiles 1.3 has them: of 256x256 in a tile.
    """
    if transform.b or transform.d or transform.a <= 0:
        return None
    zoom = round(math.log2(_WORLD_METRES / _TILE_SIDE / transform.a))
    side = _WORLD_METRES / _TILE_SIDE / 2**zoom
    sides = (transform.a, -transform.e)
    if not all(math.isclose(length, side, rel_tol=1e-6) for length in sides):
        return None
    if not 0 <= zoom <= _MOST_ZOOM:
        return None
    for corner in (transform.c, transform.f):
        pixels = (corner + _WORLD_METRES / 2) / transform.a
        if abs(pixels - round(pixels)) > _CLOSE_CORNER:
            return None
    return zoom
