"""Values of pixels: samples and the range of nearly all, Y and gray.

Colours are BT.601 of limited range, exactly as MATLAB's ``rgb2ycbcr``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.pixels.arrays import Array
from srcli.ports import ValueRange, Window, are_units

_LEAST_AT_END = 16
_SHARE_AT_END = 0.001
"""Values, and share of all, that lie exactly on the lowest or highest where that is a
bound."""


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


def are_at(values: Array, end: float) -> bool:
    """Tell if so many values lie exactly on their lowest or highest that it is a bound."""
    count = int((values == end).sum())
    return count >= max(_LEAST_AT_END, _SHARE_AT_END * values.size)


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


# Rows give Y, Cb, Cr for R, G, B in 0..1 on the 8-bit scale (ITU-R BT.601, limited
# range).
RGB_TO_YCBCR = np.array(
    [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]
)
Y_BLACK = 16
Y_WHITE = 235
"""Y of black and of white, of 255."""
YCBCR_OFFSET = np.array([Y_BLACK, 128.0, 128.0])
GRAY_SHARES = (0.299, 0.587, 0.114)
"""Shares of R, G and B in gray, full range (BT.601)."""


def luma(image: Array) -> NDArray[np.float64]:
    """Compute Y of RGB (H, W, 3), integer or float in [0, 1], as 16..235, NOT rounded."""
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected (H, W, 3), got shape {image.shape}")
    values = image.astype(np.float64, copy=False)
    if np.issubdtype(image.dtype, np.integer):
        values = values / np.iinfo(image.dtype).max
    y: NDArray[np.float64] = values @ RGB_TO_YCBCR[0] + YCBCR_OFFSET[0]
    return y


def are_gray(pixels: Array) -> bool:
    """Return True if the channels of (H, W, C) are equal everywhere."""
    # few: a picture in colours is left at once, and little memory is taken
    rows_at_once = 256
    for top in range(0, len(pixels), rows_at_once):
        rows = pixels[top : top + rows_at_once]
        if not (rows == rows[:, :, :1]).all():
            return False
    return True
