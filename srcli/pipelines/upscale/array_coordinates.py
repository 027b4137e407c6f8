"""Coordinates of an enlarged DataArray of xarray: of its grid, and others along its axes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.pixels.arrays import Array
from srcli.imaging.rasters.stale_tags import is_outdated
from srcli.imaging.rasters.transforms import bounding_box

if TYPE_CHECKING:
    from affine import Affine

_OUTDATED = frozenset({
    "transform", "shape", "res", "resolution", "actual_range", "bounds", "multiscales",
    "tile_matrix_set", "tile_matrix_limits",
})  # fmt: skip
"""Names of attributes, also of coordinates, that are wrong for the enlarged pixels."""
_CONVENTIONS = ("spatial:", "proj:")
"""Prefixes of attributes of a grid: GeoZarr, and STAC or EOPF."""
_OF_GRIDS = frozenset(
    prefix + name for prefix in _CONVENTIONS for name in ("transform", "shape", "bbox")
)
"""Attributes of a grid: that of the array, or within others that of whatever they describe."""
_GEO_TRANSFORM = "GeoTransform"
"""GDAL's text of a transform, among the attributes of a grid mapping."""
_OF_ITEMS = frozenset({"proj:shape", "proj:transform"})
"""Coordinates without dimensions by which stackstac tells the grid of an input's file."""
_SLACK = 0.1
"""Share of a pixel by which coordinates may differ from evenly spaced ones."""
_HALF_TURN = 180
"""Degrees; neighbours whose longitudes differ by more lie on both sides of a border."""


def enlarge_coordinates(
    data: Any,  # noqa: ANN401
    transform: Affine,
    scale: int,
) -> dict[Hashable, Any]:
    """Return the coordinates of an enlarged DataArray, whose transform is given.

    Those of x and y are the centres of its pixels, or for a rotated grid numbers of
    pixels as before. Others along both or one of them are interpolated if they are
    floats, such as latitudes and longitudes of a swath, and repeated otherwise.
    """
    x_dim = data.rio.x_dim
    y_dim = data.rio.y_dim
    has_grid = x_dim in data.coords and y_dim in data.coords
    shape = (data.shape[-2] * scale, data.shape[-1] * scale)
    coordinates: dict[Hashable, Any] = {}
    for name, coordinate in data.coords.items():
        dims = coordinate.dims
        if name in _OF_ITEMS:
            continue
        if {x_dim, y_dim}.isdisjoint(dims):
            attributes = coordinate.attrs
            if not dims:  # such as a grid mapping
                attributes = fit_attributes(attributes, transform, shape)
            coordinates[name] = coordinate.copy()
            coordinates[name].attrs = attributes
        elif name in (x_dim, y_dim):
            if has_grid:
                step = (transform.a, transform.e)[name == y_dim]
                start = (transform.c, transform.f)[name == y_dim]
                values = _along_axis(coordinate.values, scale, start, step)
                if not transform.is_rectilinear:
                    values = _of_rotated_grid(coordinate.values, scale)
                coordinates[name] = (dims, values, lasting(coordinate.attrs))
        else:
            axes = [dims.index(dim) for dim in (y_dim, x_dim) if dim in dims]
            values = _enlarge(coordinate, axes, scale)
            coordinates[name] = (dims, values, lasting(coordinate.attrs))
    return coordinates


def are_even(values: Array, start: float, step: float) -> bool:
    """Tell if coordinates are ``start`` and further steps, up to a tenth of a step each."""
    even = start + step * np.arange(len(values))
    is_beside = np.abs(values - even).max() > _SLACK * abs(step)
    return not is_beside


def transform_of_corners(data: Any) -> Affine | None:  # noqa: ANN401
    """Return the transform of a DataArray whose x and y are upper left corners of pixels.

    stackstac gives them, where others give centres, and among the attributes the
    transform of the array before it was cut. None for centres, or if nothing is stated.
    """
    from affine import Affine

    try:
        stated = Affine(*tuple(data.attrs["transform"])[:6])
    except (KeyError, TypeError, ValueError):
        return None
    axes = (
        (data.rio.x_dim, stated.c, stated.a),
        (data.rio.y_dim, stated.f, stated.e),
    )
    starts = []
    for name, origin, step in axes:
        if name not in data.coords or not stated.is_rectilinear:
            return None
        values = data.coords[name].values
        start = origin + step * round((values[0] - origin) / step)
        if not are_even(values, start, step):
            return None
        starts.append(start)
    return Affine(stated.a, 0, starts[0], 0, stated.e, starts[1])


def fit_attributes(
    attributes: Mapping[str, Any], transform: Affine, shape: tuple[int, int]
) -> dict[str, Any]:
    """Return the attributes of a DataArray or grid mapping for enlarged pixels.

    Those that hold no longer are left out, those of the grid are made right: by its
    transform and shape (rows, columns). One without a place on the map has none.
    """
    kept = lasting(attributes)
    edges = bounding_box(transform, (0, 0, *shape[::-1]))
    grid = {
        "transform": list(transform),
        "shape": list(shape),
        "bbox": list(edges),
    }
    if transform.is_identity:
        grid = {"shape": list(shape)}
    for prefix in _CONVENTIONS:
        for name, right in grid.items():
            stated = attributes.get(prefix + name)
            if stated is not None:
                kept[prefix + name] = right[: len(stated)]
    # transforms of pixels' centres
    if kept.get("spatial:registration") == "node":
        kept.pop("spatial:transform", None)
    if _GEO_TRANSFORM in attributes and not transform.is_identity:
        kept[_GEO_TRANSFORM] = " ".join(map(str, transform.to_gdal()))
    return kept


def lasting(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a DataArray or coordinate that hold for enlarged pixels."""
    kept = {}
    for name, value in attributes.items():
        is_statistic = str(name).startswith("STATISTICS_")
        is_grid = hasattr(value, "resolutions_xy")  # RasterSpec of stackstac
        is_wrong = is_statistic or is_grid or name in _OUTDATED | _OF_GRIDS
        if is_wrong or is_outdated(str(name)):
            continue
        kept[name] = lasting(value) if isinstance(value, Mapping) else value
    return kept


def _along_axis(values: Array, scale: int, start: float, step: float) -> Array:
    """Return the centres of pixels along an axis of a grid."""
    return np.asarray(start + step * (np.arange(len(values) * scale) + 0.5))


def _of_rotated_grid(values: Array, scale: int) -> Array:
    """Return numbers of pixels, as odc-geo gives rotated grids, or what else stands there."""
    count = len(values)
    if np.array_equal(values, np.arange(count) + 0.5):
        return np.asarray(np.arange(count * scale) + 0.5)
    return _interpolate(values.astype(np.float64), 0, scale)


def _enlarge(coordinate: Any, axes: Sequence[int], scale: int) -> Array:  # noqa: ANN401
    """Return the values of a coordinate at the pixels of the enlarged array."""
    values: Array = coordinate.values
    if values.dtype.kind != "f":
        for axis in axes:
            values = values.repeat(scale, axis=axis)
        return values
    exact = values.astype(np.float64)
    is_turning = _crosses_border(exact, axes, coordinate)
    if is_turning:
        for axis in axes:
            exact = np.unwrap(exact, axis=axis, period=2 * _HALF_TURN)
    for axis in axes:
        exact = _interpolate(exact, axis, scale)
    if is_turning:
        lowest = 0 if np.nanmax(values) > _HALF_TURN else -_HALF_TURN
        exact = (exact - lowest) % (2 * _HALF_TURN) + lowest
    return exact.astype(values.dtype)


def _crosses_border(values: Array, axes: Sequence[int], coordinate: Any) -> bool:  # noqa: ANN401
    """Tell if longitudes jump by 360 degrees between pixels beside each other."""
    words = f"{coordinate.name} {coordinate.attrs.get('units', '')}".lower()
    if "lon" not in words and "degree" not in words:
        return False
    for axis in axes:
        steps = np.abs(np.diff(values, axis=axis))
        if steps.size and np.nanmax(steps) > _HALF_TURN:
            return True
    return False


def _interpolate(values: Array, axis: int, scale: int) -> Array:
    """Interpolate along an axis between the centres of pixels, and beyond the outermost."""
    count = values.shape[axis]
    if count == 1:
        return values.repeat(scale, axis=axis)
    positions = (np.arange(count * scale) + 0.5) / scale - 0.5
    before = np.floor(positions).astype(int).clip(0, count - 2)
    share = (positions - before).reshape(
        [-1 if n == axis else 1 for n in range(values.ndim)]
    )
    low = values.take(before, axis=axis)
    high = values.take(before + 1, axis=axis)
    return np.asarray(low + share * (high - low))
