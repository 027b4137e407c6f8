"""Footprints of rasters on the globe, as GeoJSON (RFC 7946) has them: cut at 180 degrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.files.gdal_errors import gdal_errors
from srcli.imaging.pixels.arrays import Array

if TYPE_CHECKING:
    from affine import Affine

    from srcli.imaging.pixels.arrays import Size

_STEPS = 64
"""Points on each edge, by which longitudes are followed around a raster."""
_DIGITS = 9
_ALL_AROUND = 360 - 1e-6


@dataclass(frozen=True)
class Footprint:
    """Area of a raster, in degrees of WGS 84."""

    geometry: dict[str, Any]
    """A Polygon, or a MultiPolygon of the parts on both sides of 180 degrees."""
    box: list[float]
    """West, south, east, north; west is larger than east across 180 degrees."""


def find_footprint(crs: Any, transform: Affine, shape: Size) -> Footprint | None:  # noqa: ANN401
    """Return the footprint of a raster on the globe.

    None where it lies outside of its system's domain, and for systems that have no place
    on the globe: of a building site, or of another planet.
    """
    from rasterio.warp import transform as transform_points

    height, width = shape
    corners = np.array([(0, height), (width, height), (width, 0), (0, 0), (0, height)])
    shares = np.arange(_STEPS)[:, None] / _STEPS
    places = corners[:-1, None] + shares * np.diff(corners, axis=0)[:, None]
    column, row = places.reshape(-1, 2).T
    x = transform.a * column + transform.b * row + transform.c
    y = transform.d * column + transform.e * row + transform.f
    try:
        longitudes, latitudes = transform_points(crs, "OGC:CRS84", x, y)[:2]
    except gdal_errors():
        return None
    ring = np.stack([np.array(longitudes), np.array(latitudes)], axis=1)
    is_known = np.isfinite(ring).all(axis=1)
    is_corner = np.arange(len(ring)) % _STEPS == 0
    if is_known.sum() < 3:
        return None
    if not is_known[is_corner].all():
        is_corner = is_known
    ring = ring[is_known]
    is_corner = is_corner[is_known]
    ring[:, 1] = ring[:, 1].clip(-90, 90)
    ring[:, 0], turn = _unwrapped(ring[:, 0])
    if turn:
        return _around_a_pole(ring)
    west = ring[:, 0].min()
    ring[:, 0] -= 360 * np.floor((west + 180) / 360)
    return _cut(ring, ring[is_corner])


def _unwrapped(longitudes: Array) -> tuple[Array, bool]:
    """Return longitudes without steps of 360 degrees, and whether the ring goes all around."""
    steps = np.diff(longitudes, append=longitudes[:1])
    steps -= 360 * np.rint(steps / 360)
    unwrapped = longitudes[0] + np.concatenate([[0], np.cumsum(steps[:-1])])
    return unwrapped, bool(abs(steps.sum()) > 180)


def _cut(ring: Array, corners: Array) -> Footprint:
    """Return the footprint of a ring that begins in the west; longitudes may exceed 180."""
    west, south = (float(end) for end in ring.min(axis=0))
    east, north = (float(end) for end in ring.max(axis=0))
    if east - west >= _ALL_AROUND:
        west = -180.0
        east = 180.0
        sides = [(west, south), (east, south), (east, north), (west, north)]
        corners = np.array(sides)
    if east <= 180 + 1e-9:
        return Footprint(_polygon(corners), [west, south, east, north])
    pieces = []
    for side, shift in ((1, 0), (-1, 360)):
        piece = _clipped(corners, side)
        piece[:, 0] -= shift
        pieces.append(_polygon(piece)["coordinates"])
    geometry = {"type": "MultiPolygon", "coordinates": pieces}
    return Footprint(geometry, [west, south, east - 360, north])


def _clipped(ring: Array, side: int) -> Array:
    """Return the part of a ring below a longitude of 180 (``side`` 1), or above it (-1)."""
    points = []
    for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        is_inside = (180 - start[0]) * side >= 0
        if is_inside:
            points.append(start)
        if is_inside != ((180 - end[0]) * side >= 0):
            share = (180 - start[0]) / (end[0] - start[0])
            points.append(start + share * (end - start))
    return np.array(points)


def _around_a_pole(ring: Array) -> Footprint:
    """Return the footprint of a raster that holds a pole: all from its edge to the pole."""
    pole = 90.0 if ring[:, 1].mean() > 0 else -90.0
    edge = ring.copy()
    edge[:, 0] = (edge[:, 0] + 180) % 360 - 180
    edge = edge[edge[:, 0].argsort()]
    latitude = np.interp(180, edge[:, 0], edge[:, 1], period=360)
    points = [
        (-180.0, latitude),
        *edge,
        (180.0, latitude),
        (180.0, pole),
        (-180.0, pole),
    ]
    corners = np.array(points)
    if pole < 0:  # counterclockwise, too
        corners = corners[::-1]
    south, north = sorted([float(np.abs(ring[:, 1]).min()) * np.sign(pole), pole])
    return Footprint(_polygon(corners), [-180.0, south, 180.0, north])


def _polygon(corners: Array) -> dict[str, Any]:
    """Return a GeoJSON polygon of a ring that is not closed."""
    ring = [[float(x), float(y)] for x, y in np.round(corners, _DIGITS)]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
