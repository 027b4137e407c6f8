"""Find the pixels of a raster that hold nodata, and fill them from the nearest valid ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Bools = NDArray[np.bool_]
    Places = NDArray[np.intp]

# Relative tolerance of GDAL's readers by bytes of a float, because a value is often rounded where
# it is stated as text: 4 steps of 32-bit floats, for 64 bits too.
_TOLERANCE = {2: 4e-3, 4: 5e-7, 8: 5e-7}
# Offsets of the pixels around one, the closest first.
_NEIGHBOURS = sorted(
    ((down, right) for down in range(-2, 3) for right in range(-2, 3) if down or right),
    key=lambda step: step[0] ** 2 + step[1] ** 2,
)
_FEW = 20
"""Holes are few up to one in this many pixels."""


def is_nodata(pixels: Array, nodata: float) -> Bools:
    """Mark pixels that hold a nodata value, with the tolerance of GDAL's readers.

    Args:
        pixels: Of any shape and real dtype.
        nodata: A value that the dtype holds; NaN finds NaN.

    Returns:
        bool, of the same shape.
    """
    if pixels.dtype.kind != "f":
        return np.asarray(pixels == pixels.dtype.type(int(nodata)))
    if not np.isfinite(nodata):
        return np.asarray(np.isnan(pixels) if np.isnan(nodata) else pixels == nodata)
    low, high = _nodata_range(pixels.dtype, nodata)
    return np.asarray((pixels >= low) & (pixels <= high))


def nearest_other_value(dtype: np.dtype[Any], nodata: float) -> float:
    """Return the value next to nodata that no reader takes for it, towards the dtype's middle.

    From 0 it goes up, because counts are never negative.

    Args:
        dtype: Real.
        nodata: A finite value that it holds.
    """
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        middle = (int(limits.min) + int(limits.max)) / 2
        return nodata + 1 if nodata < middle or nodata == 0 else nodata - 1
    low, high = _nodata_range(dtype, nodata)
    inner, towards = (high, np.inf) if nodata <= 0 else (low, -np.inf)
    return float(np.nextafter(dtype.type(inner), dtype.type(towards)))


def find_valid(pixels: Array, nodata: Sequence[float | None]) -> Bools | None:
    """Mark values that are neither nodata nor, in floats, NaN or infinite.

    Args:
        pixels: (H, W, C).
        nodata: Of each band.

    Returns:
        (H, W, C) bool, or None if all are valid.
    """
    valid: Bools | None = None
    if pixels.dtype.kind == "f":
        valid = np.isfinite(pixels)
    if nodata and nodata[0] is not None and len(set(nodata)) == 1:
        there = ~is_nodata(pixels, nodata[0])
        valid = there if valid is None else valid & there
    else:
        for band, value in enumerate(nodata):
            if value is not None:
                valid = np.ones(pixels.shape, np.bool_) if valid is None else valid
                valid[:, :, band] &= ~is_nodata(pixels[:, :, band], value)
    return None if valid is None or bool(valid.all()) else valid


def fill_nearest(pixels: Array, valid: Bools) -> Array:
    """Replace invalid pixels by the nearest valid ones, each band on its own.

    A band without any valid pixel copies the nearest band that has some, filled likewise; without
    any valid pixel in any band, all become 0.

    Args:
        pixels: (h, w, C), any real dtype.
        valid: (h, w, C), or (h, w, 1) for all bands.

    Returns:
        (h, w, C) of the same dtype, valid pixels unchanged; the same array if all are valid.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if pixels.ndim != 3 or valid.shape not in (pixels.shape, (*pixels.shape[:2], 1)):
        raise ValueError(
            f"expected (h, w, C) and (h, w, C or 1), got {pixels.shape}, {valid.shape}"
        )
    if valid.all():
        return pixels
    if valid.shape[2] > 1 and (valid == valid[:, :, :1]).all():
        valid = valid[:, :, :1]
    if valid.shape[2] == 1:
        return _filled(pixels, valid[:, :, 0]) if valid.any() else np.zeros_like(pixels)
    sources = [band for band in range(valid.shape[2]) if valid[:, :, band].any()]
    filled = np.zeros_like(pixels)
    for band in sources:
        filled[:, :, band] = _filled(pixels[:, :, band], valid[:, :, band])
    for band in range(valid.shape[2]) if sources else ():
        filled[:, :, band] = filled[:, :, min(sources, key=lambda one: abs(one - band))]
    return filled


def _filled(pixels: Array, valid: Bools) -> Array:
    """Fill pixels (h, w) or (h, w, C) by one mask (h, w) with at least one valid pixel."""
    rows, columns = np.nonzero(~valid)
    filled = pixels.copy()
    if len(rows) * _FEW < valid.size:
        rows, columns = _fill_from_neighbours(filled, valid, rows, columns)
    if len(rows):
        from scipy import ndimage

        places = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
        filled[rows, columns] = pixels[places[0][rows, columns], places[1][rows, columns]]
    return filled


def _fill_from_neighbours(
    filled: Array, valid: Bools, rows: Places, columns: Places
) -> tuple[Places, Places]:
    """Fill holes that have a valid pixel within 2 pixels; returns the remaining holes.

    Many pictures have single dark pixels that equal nodata all over; distances of all pixels would
    take longer than the network does on a GPU.
    """
    height, width = valid.shape
    for down, right in _NEIGHBOURS:
        there = (rows + down).clip(0, height - 1), (columns + right).clip(0, width - 1)
        # a clipped position is closer still, and has been tried before
        found = valid[there]
        filled[rows[found], columns[found]] = filled[there[0][found], there[1][found]]
        rows, columns = rows[~found], columns[~found]
        if not len(rows):
            break
    return rows, columns


def _nodata_range(dtype: np.dtype[Any], nodata: float) -> tuple[float, float]:
    tolerance = abs(nodata) * _TOLERANCE[dtype.itemsize]
    limits = np.finfo(dtype)
    return max(nodata - tolerance, float(limits.min)), min(nodata + tolerance, float(limits.max))
