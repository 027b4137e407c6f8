"""Values that stand for "nothing here": which pixels hold one, and what is next to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Bools = NDArray[np.bool_]

# How far GDAL's readers look to either side of a float, as a part of the value, because it is often
# rounded where it is stated as text: 4 steps of 32-bit floats, for 64 bits too.
_REACH = {2: 4e-3, 4: 5e-7, 8: 5e-7}


def is_nodata(pixels: Array, nodata: float) -> Bools:
    """Where pixels hold a nodata value, as GDAL's readers see it.

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
    low, high = _around(pixels.dtype, nodata)
    return np.asarray((pixels >= low) & (pixels <= high))


def nearest_other_value(dtype: np.dtype[Any], nodata: float) -> float:
    """The value next to nodata that no reader takes for it, towards the middle of the dtype.

    From 0 it goes up: values that count something are never below.

    Args:
        dtype: Real.
        nodata: A finite value that it holds.
    """
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        middle = (int(limits.min) + int(limits.max)) / 2
        return nodata + 1 if nodata < middle or nodata == 0 else nodata - 1
    low, high = _around(dtype, nodata)
    inner, towards = (high, np.inf) if nodata <= 0 else (low, -np.inf)
    return float(np.nextafter(dtype.type(inner), dtype.type(towards)))


def find_valid(pixels: Array, nodata: Sequence[float | None]) -> Bools | None:
    """Which values are there at all: neither nodata nor, of floats, NaN or infinite.

    Args:
        pixels: (H, W, C).
        nodata: Of each band.

    Returns:
        (H, W, C) bool, or None if all are.
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


def _around(dtype: np.dtype[Any], nodata: float) -> tuple[float, float]:
    reach = abs(nodata) * _REACH[dtype.itemsize]
    limits = np.finfo(dtype)
    low = max(nodata - reach, float(limits.min))
    return low, min(nodata + reach, float(limits.max))
