"""Tell measurements from special codes in the same band: snow of 0 to 100 %, and 250 for cloud."""

from __future__ import annotations

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools
from srcli.imaging.rasters.appearance import neighbours

_FEW = 16
"""Most different values of codes; measurements have more."""
_MOST_SORTED = 20_000
"""Samples that are sorted to see if there may be a gap."""
_LEAST_PIXELS = 16
"""Of each code; fewer are outliers."""
_LEAST_EQUAL = 0.5
"""Share of the neighbours of codes that hold the same code: codes cover areas."""
_LEAST_INSIDE = 0.5
"""Share of the pixels within a stated range, below which the range is that of other
units."""


def has_same_units(pixels: Array, valid: Bools, limits: tuple[float, float]) -> bool:
    """Tell if a stated range is that of the pixels, not of what scale and offset make of them.

    Then most valid pixels lie inside, or those outside have few values.
    """
    outside = values_outside(pixels, valid, limits)
    count = int(valid.sum())
    is_most = outside.size > (1 - _LEAST_INSIDE) * count
    return not is_most or len(np.unique(outside)) <= _FEW


def values_outside(pixels: Array, valid: Bools, limits: tuple[float, float]) -> Array:
    """Return the valid pixels (n,) that lie outside of limits."""
    samples = pixels[valid]
    return np.asarray(samples[(samples < limits[0]) | (samples > limits[1])])


def codes_beyond_gap(pixels: Array, valid: Bools) -> tuple[float, ...]:
    """Return the codes among valid pixels (n, h, w): few values beyond a gap, in areas.

    The gap is as wide as all other values, of which there are many.
    """
    samples = pixels[valid]
    if not samples.size or not _may_have_gap(samples):
        return ()
    values, counts = np.unique(samples, return_counts=True)
    measured = values.astype(np.float64)
    codes: list[float] = []
    while len(measured) > _FEW:
        halves = measured / 2  # whose distances no float is too small for
        gaps = np.diff(halves)
        widest = int(gaps.argmax())
        below = measured[: widest + 1]
        above = measured[widest + 1 :]
        rest, beyond = (below, above) if len(below) > len(above) else (above, below)
        if gaps[widest] < rest[-1] / 2 - rest[0] / 2 or len(beyond) > _FEW:
            break
        codes += beyond.tolist()
        measured = rest
    if not codes or len(measured) <= _FEW or len(codes) > _FEW:
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


def _may_have_gap(samples: Array) -> bool:
    """Tell by some of the samples, which cost less to sort, if such a gap is possible.

    Between fewer values gaps are as wide or wider, and the ends are among them: some
    gap is as wide as all on one side of it, with few values on the other.
    """
    thinned = samples[:: max(samples.size // _MOST_SORTED, 1)]
    values = np.unique([*thinned.tolist(), float(samples.min()), float(samples.max())])
    halves = values / 2  # whose distances no float is too small for
    gaps = np.diff(halves)
    counts_below = np.arange(1, halves.size)
    counts_above = halves.size - counts_below
    is_below_code = (counts_below <= _FEW) & (gaps >= halves[-1] - halves[1:])
    is_above_code = (counts_above <= _FEW) & (gaps >= halves[:-1] - halves[0])
    return bool((is_below_code | is_above_code).any())
