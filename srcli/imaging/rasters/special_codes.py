"""Find codes among measurements, such as 250 for cloud: functions of arrays alone.

They lie outside of a range that the file states, are named by its flags, lie beyond a
gap, or at the top of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools, Limits
from srcli.imaging.rasters.measures import FEW, neighbours

_LEAST_PIXELS = 16
"""Of each code; fewer are outliers."""
_LEAST_EQUAL = 0.5
"""Share of the neighbours of codes that hold the same code: codes cover areas."""
_LEAST_INSIDE = 0.5
"""Share of the pixels within a stated range, below which the range is that of other
units."""
_TOPS = range(251, 256)
"""Values of bytes that products keep for what is no measurement, light the last of them ..."""
_LOWEST_TOP = 241
"""... and the lowest that may be one beside them."""
_LEAST_LINE = 0.25
"""Share of the neighbours of such a code that hold it: a third along a coast of one pixel."""
_MOST_STEPS = 90
"""Percentile of the steps between measurements above which most of its borders are."""
_THINNED = 5
"""Of so many steps one is looked at."""
_MOST_BRIGHT = 75
"""Percentile of the measurements up to which most are that lie beside it; beside what is
overexposed they are brighter."""
_MOST_SCATTERED = 0.01
"""Pixels of 251 to 254 that form no areas, over those of codes; shades are many."""


def has_same_units(pixels: Array, valid: Bools, limits: Limits) -> bool:
    """Tell if a stated range is that of the pixels, not of what scale and offset make of them.

    Then most valid pixels lie inside, or those outside have few values.
    """
    outside = values_outside(pixels, valid, limits)
    count = int(valid.sum())
    is_most = outside.size > (1 - _LEAST_INSIDE) * count
    return not is_most or len(np.unique(outside)) <= FEW


def values_outside(pixels: Array, valid: Bools, limits: Limits) -> Array:
    """Return the valid pixels (n,) that lie outside of limits."""
    samples = pixels[valid]
    return np.asarray(samples[(samples < limits[0]) | (samples > limits[1])])


def codes_beyond_gap(pixels: Array, valid: Bools) -> tuple[float, ...]:
    """Return the codes among valid pixels (n, h, w): few values beyond a gap, in areas.

    The gap is as wide as all other values, of which there are many.
    """
    samples = pixels[valid]
    values, counts = np.unique(samples, return_counts=True)
    measured = values.astype(np.float64)
    codes: list[float] = []
    while len(measured) > FEW:
        halves = measured / 2  # whose distances no float is too small for
        gaps = np.diff(halves)
        widest = int(gaps.argmax())
        below = measured[: widest + 1]
        above = measured[widest + 1 :]
        rest, beyond = (below, above) if len(below) > len(above) else (above, below)
        if gaps[widest] < rest[-1] / 2 - rest[0] / 2 or len(beyond) > FEW:
            break
        codes += beyond.tolist()
        measured = rest
    if not codes or len(measured) <= FEW or len(codes) > FEW:
        return ()
    are_codes = np.isin(values, codes)
    if counts[are_codes].min() < _LEAST_PIXELS:
        return ()
    before, after = neighbours(pixels, valid)
    touch = np.isin(before, values[are_codes]) | np.isin(after, values[are_codes])
    equal = (before == after)[touch]
    if not equal.size or equal.mean() < _LEAST_EQUAL:
        return ()
    return tuple(sorted(codes))


def codes_of_flags(
    pixels: Array,
    valid: Bools,
    flags: list[float],
    limits: Limits | None,
) -> tuple[float, ...]:
    """Return which of a band's flags (CF conventions) are codes beside measurements.

    All flags of classes, which name the values there are. Those outside of the stated
    range ``limits``, and those of a band with many other values, name what is no
    measurement: cloud, land, ice.
    """
    # flags of unsigned bytes are written as signed ones, too: -5 is 251
    named = np.array(flags).astype(np.int64 if pixels.dtype.kind in "iu" else float)
    named = named.astype(pixels.dtype)
    unnamed = len(np.setdiff1d(pixels[valid], named))
    are_beside = False
    if limits is not None:
        are_outside = (named < limits[0]) | (named > limits[1])
        are_beside = unnamed > 0 and bool(are_outside.all())
        named = named[are_outside]
    return tuple(named.tolist()) if are_beside or unnamed > FEW else ()


def range_beside(pixels: Array, valid: Bools, codes: Sequence[float]) -> Limits:
    """Return the lowest and highest measurement beside codes among valid pixels."""
    measured = np.setdiff1d(pixels[valid], codes)
    return float(measured[0]), float(measured[-1])


def codes_at_top(
    pixels: Array, valid: Bools, *, may_be_light: bool
) -> tuple[float, ...]:
    """Return the codes at the top of bytes among valid pixels (n, h, w).

    Products of land and sea ice keep 251 to 254 for sea, cloud and the like above
    measurements of 0 to 250 at most. They form areas whose borders are higher than most
    steps between measurements. What is overexposed ends in its own shades: it has 251
    to 254 all over, and 255 alone is no code where it ``may_be_light``.
    """
    samples = pixels[valid]
    if not samples.size or samples.max() not in _TOPS or samples.min() < 0:
        return ()
    values, counts = np.unique(samples, return_counts=True)
    before, after = neighbours(pixels, valid)
    lower = np.minimum(before, after)
    higher = np.maximum(before, after)
    are_high = higher >= _LOWEST_TOP
    usual = (higher - lower)[~are_high][::_THINNED]
    lower = lower[are_high]
    higher = higher[are_high]
    areas = []
    for value, count in zip(values, counts, strict=True):
        if value < _LOWEST_TOP or count < _LEAST_PIXELS:
            continue
        touch = (lower == value) | (higher == value)
        if touch.any() and (lower == higher)[touch].mean() >= _LEAST_LINE:
            areas.append(value)  # of its dtype, of which numpy has a table
    # beside an area of 250, 100 % of a product, a code of 251 is no step
    is_border = np.isin(higher, areas) & ~np.isin(lower, areas)
    others = samples[samples < _LOWEST_TOP]
    codes = []
    if usual.size:
        cliff = np.percentile(usual, _MOST_STEPS)
        bright = np.percentile(others[::_THINNED], _MOST_BRIGHT)
        for code in areas:
            beside = lower[is_border & (higher == code)]
            middle = np.median(beside) if beside.size else code
            if code - middle > cliff and middle <= bright:
                codes.append(code)
    tops = _TOPS[:-1] if may_be_light else _TOPS
    are_tops = np.isin(values, tops)
    known = counts[are_tops & np.isin(values, codes)].sum()
    scattered = counts[are_tops & ~np.isin(values, areas)].sum()
    are_classes = len(values) - len(areas) <= FEW
    if are_classes or scattered >= _MOST_SCATTERED * known or (values % 1).any():
        return ()
    # one that lies in the midst of another has no border of its own
    return tuple(float(code) for code in areas if code in codes or code >= _TOPS[0])
