"""Find values that stand for no data though their file does not say so: -9999, -3.4e38 ...

Interpolated, such a value would reach into the data beside it, and would stretch the
range of values until nothing is left of the data.
"""

from __future__ import annotations

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools
from srcli.imaging.rasters.appearance import NEIGHBOURS
from srcli.imaging.rasters.nodata import is_nodata

_LOW_FILL_VALUES = (
    -999,
    -9999,
    -9992,  # which GDAL writes into half floats for -9999, and others the next
    -10000,
    -99999,
    -999999,
    -3000,
    -28672,
    -32767,
    -32768,
    -(2**31) + 1,
    -(2**31),
    -(10**10),
)
"""Values below those of most measurements, which many programs write for no data."""
_HIGH_FILL_VALUES = (9999, 99999, 999999, 32767, 65535, 2**31 - 1, 2**32 - 1, 10**10)
_HUGE = 1e19
"""Least size of floats that may be fills whatever their digits are, such as -3.4e38."""
_FEW = 16
"""Most different values of a mask or of classes, among which a high one is no fill."""
_LEAST_AREA = 16
"""Pixels of a fill in the midst of other values."""
_CLIFF = 4
"""Step at the border of such a fill, over the largest usual step between neighbours."""


def fill_values_of(pixels: Array, valid: Bools) -> list[float]:
    """Return the fills among valid pixels (n, h, w), the most extreme first.

    A known fill counts if it lies further from all other values than these from each
    other; or, below zero, if it covers areas whose borders are cliffs such as the data
    have nowhere else. A value of -9999 among others near it is a value.
    """
    fill_values = []
    while valid.any():
        fill_value = _find_fill_value(pixels, valid)
        if fill_value is None:
            break
        fill_values.append(fill_value)
        valid = valid & ~is_nodata(pixels, fill_value)
    return fill_values


def _find_fill_value(pixels: Array, valid: Bools) -> float | None:
    """Return one fill among valid pixels (n, h, w); None if there is none."""
    values = pixels[valid]
    for end in (float(values.min()), float(values.max())):
        if _is_apart(values, end):
            return end
    for low in _LOW_FILL_VALUES:
        if _has_cliffs(pixels, valid, low):
            return low
    return None


def _is_apart(values: Array, end: float) -> bool:
    """Tell if the lowest or highest of the values is a known fill, far from all others."""
    is_huge = values.dtype.kind == "f" and abs(end) >= _HUGE
    if not (is_huge or end in _LOW_FILL_VALUES or end in _HIGH_FILL_VALUES):
        return False
    data = values[~is_nodata(values, end)]
    if not data.size:
        return False
    low = float(data.min())
    high = float(data.max())
    if min(abs(end - low), abs(end - high)) <= high - low:
        return False
    if is_huge or end < 0:
        return True
    thinned = data[:: max(data.size // 10_000, 1)]
    return len(np.unique(thinned)) > _FEW


def _has_cliffs(pixels: Array, valid: Bools, value: float) -> bool:
    """Tell if a value covers areas that end in steps as there are nowhere else."""
    is_float = pixels.dtype.kind == "f"
    limits = np.finfo(pixels.dtype) if is_float else np.iinfo(pixels.dtype)
    if value < float(limits.min):
        return False
    filled = valid & is_nodata(pixels, value)
    if filled.sum() < _LEAST_AREA:
        return False
    inside = 0
    border = []
    usual = []
    for before, after in NEIGHBOURS:
        are_valid = valid[before] & valid[after]
        steps = np.abs(pixels[before].astype(np.float64) - pixels[after])
        inside += int((are_valid & filled[before] & filled[after]).sum())
        is_border = are_valid & (filled[before] != filled[after])
        is_usual = are_valid & ~filled[before] & ~filled[after]
        border.append(steps[is_border])
        usual.append(steps[is_usual])
    cliffs = np.concatenate(border)
    slopes = np.concatenate(usual)
    if not (cliffs.size and slopes.size) or inside < cliffs.size:
        return False
    return bool(np.percentile(cliffs, 25) > _CLIFF * np.percentile(slopes, 99))
