"""Samples of a picture or a band: windows spread over it, and the range of nearly all values."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from srcli.imaging.pixels.arrays import Array
from srcli.ports import ValueRange, Window, are_units


def spread_windows(height: int, width: int, side: int, along: int) -> Iterator[Window]:
    """Yield windows of ``side`` pixels to sample a picture by, at most ``along`` on each axis.

    They are spread evenly, and cover all of a small one.
    """
    window_height = min(height, side)
    window_width = min(width, side)
    for top in _spread(height, window_height, along):
        for column in _spread(width, window_width, along):
            yield Window(top=top, left=column, height=window_height, width=window_width)


def _spread(length: int, side: int, most: int) -> list[int]:
    """Return where windows of a side begin on an axis, spread evenly."""
    starts = np.linspace(0, length - side, min(-(-length // side), most))
    return [int(start) for start in starts]


def robust_range(samples: Array) -> ValueRange:
    """Return the range of nearly all samples, a little wider; neither empty nor beyond them.

    Values outside are kept, but the network does not work on them; the margin leaves
    most of the outliers to it, at little cost in contrast.
    """
    is_float = samples.dtype.kind == "f"
    # the same numbers as integers or as floats have the same range
    is_whole = not is_float or bool((samples == np.rint(samples)).all())
    if is_float and are_units(float(samples.min()), float(samples.max())):
        return 0.0, 1.0
    most = np.finfo(np.float64).max / 4  # which keeps differences finite
    samples = samples.astype(np.float64, copy=False).clip(-most, most)
    bottom = samples.min()
    top = samples.max()
    low, high = np.percentile(samples, [0.1, 99.9])
    margin = 0.1 * (high - low)
    low = max(low - margin, bottom)
    high = min(high + margin, top)
    if not low < high:  # nearly all pixels are equal
        low = bottom
        high = top
    if not low < high:  # all are
        # narrow, so that whatever the network adds to a constant picture vanishes
        width = 1.0
        if is_float:
            width = max(abs(low), 1.0) * 1e-6
        return float(low), float(low + width)
    if is_whole:
        return float(math.floor(low)), float(math.ceil(high))
    return float(low), float(high)
