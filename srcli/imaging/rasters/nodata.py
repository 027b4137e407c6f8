"""Pixels without data: find them by their value, keep others off it, and fill them."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools, Limits

# Relative tolerance of GDAL's readers by bytes of a float, because a value is often
# rounded where it is stated as text: 4 steps of 32-bit floats, for 64 bits too.
_TOLERANCE = {2: 4e-3, 4: 5e-7, 8: 5e-7}
# Offsets (down, right) of the pixels around one, the closest first.
_NEIGHBOURS = sorted(
    product(range(-2, 3), repeat=2), key=lambda step: step[0] ** 2 + step[1] ** 2
)[1:]
_FEW = 20
"""Holes are few up to one in this many pixels."""


def is_nodata(pixels: Array, nodata: float) -> Bools:
    """Mark pixels of any shape and real dtype that hold a nodata value; NaN finds NaN.

    Floats match with the tolerance of GDAL's readers.
    """
    if pixels.dtype.kind != "f":
        return np.asarray(pixels == pixels.dtype.type(int(nodata)))
    if np.isnan(nodata):
        return np.asarray(np.isnan(pixels))
    if np.isinf(nodata):
        return np.asarray(pixels == nodata)
    low, high = _nodata_range(pixels.dtype, nodata)
    return np.asarray((pixels >= low) & (pixels <= high))


def is_code(pixels: Array, codes: tuple[float, ...], measured: Limits | None) -> Bools:
    """Mark finite pixels of any shape that are no measurements; see ``BandInfo.codes``."""
    marks = np.zeros(pixels.shape, np.bool_)
    for code in codes:
        marks |= is_nodata(pixels, code)
    if measured is not None:
        marks |= (pixels < measured[0]) | (pixels > measured[1])
    return marks & np.isfinite(pixels)


def nearest_other_value(dtype: np.dtype[Any], nodata: float) -> float:
    """Return the value next to finite nodata that no reader takes for it, towards the middle.

    From 0 it goes up, because counts are never negative.
    """
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        middle = (int(limits.min) + int(limits.max)) / 2
        return nodata + 1 if nodata < middle or nodata == 0 else nodata - 1
    low, high = _nodata_range(dtype, nodata)
    if nodata <= 0:
        return float(np.nextafter(dtype.type(high), dtype.type(np.inf)))
    return float(np.nextafter(dtype.type(low), dtype.type(-np.inf)))


def fit_limits(
    limits: Limits,
    dtype: str,
    nodata: float | None,
    bits: int | None = None,
) -> Limits:
    """Return limits as values of a dtype, of so many bits: not beyond them, nor no data."""
    low, high = limits
    number_type = np.dtype(dtype)
    if number_type.kind not in "iu":
        return _inside(number_type, low, 1), _inside(number_type, high, -1)
    ends = np.iinfo(number_type)
    most = ends.max >> ends.bits - (bits or ends.bits)
    low = math.ceil(max(low, ends.min))
    high = math.floor(min(high, most))
    low += low == nodata
    high -= high == nodata
    return low, high


def _inside(dtype: np.dtype[Any], end: float, step: int) -> float:
    """Return the float of a dtype closest to an end of a range, and not beyond it."""
    if not np.isfinite(end):
        return end
    with np.errstate(over="ignore"):
        nearest = dtype.type(end)
    if (float(nearest) - end) * step < 0:
        nearest = np.nextafter(nearest, dtype.type(step * np.inf))
    return float(nearest)


def _nodata_range(dtype: np.dtype[Any], nodata: float) -> Limits:
    """Return the lowest and highest float that readers take for a nodata value."""
    tolerance = abs(nodata) * _TOLERANCE[dtype.itemsize]
    limits = np.finfo(dtype)
    low = max(nodata - tolerance, float(limits.min))
    high = min(nodata + tolerance, float(limits.max))
    return low, high


def fill_nearest(pixels: Array, valid: Bools) -> Array:
    """Replace invalid pixels (h, w, C) by the nearest valid ones, each band on its own.

    A band without any valid pixel copies the nearest band that has some, filled
    likewise; one must have some.
    """
    if (valid == valid[:, :, :1]).all():
        return _filled(pixels, valid[:, :, 0])
    usable = np.flatnonzero(valid.any(axis=(0, 1)))
    planes = []
    for band in range(valid.shape[2]):
        nearest = usable[np.abs(usable - band).argmin()]
        planes.append(_filled(pixels[:, :, nearest], valid[:, :, nearest]))
    return np.stack(planes, axis=2)


def _filled(pixels: Array, valid: Bools) -> Array:
    """Fill pixels (h, w) or (h, w, C) by one mask (h, w) with at least one valid pixel.

    Many pictures have single dark pixels that equal nodata all over: few holes are
    filled from 2 pixels around first, as distances of all pixels would take longer than
    the network on a GPU.
    """
    rows, columns = np.nonzero(~valid)
    filled = pixels.copy()
    height, width = valid.shape
    if len(rows) * _FEW < valid.size:
        for down, right in _NEIGHBOURS:
            # a clipped position is closer still, and has been tried before
            from_rows = (rows + down).clip(0, height - 1)
            from_columns = (columns + right).clip(0, width - 1)
            hits = valid[from_rows, from_columns]
            colours = filled[from_rows[hits], from_columns[hits]]
            filled[rows[hits], columns[hits]] = colours
            rows = rows[~hits]
            columns = columns[~hits]
    if len(rows):
        from scipy import ndimage

        nearest_row, nearest_column = ndimage.distance_transform_edt(
            ~valid, return_distances=False, return_indices=True
        )
        filled[rows, columns] = pixels[
            nearest_row[rows, columns], nearest_column[rows, columns]
        ]
    return filled
