"""BT.601 limited-range colours, exactly as MATLAB's ``rgb2ycbcr``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.pixels.arrays import Array

# Rows give Y, Cb, Cr for R, G, B in 0..1 on the 8-bit scale (ITU-R BT.601, limited
# range).
RGB_TO_YCBCR = np.array(
    [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]
)
Y_BLACK = 16
Y_WHITE = 235
"""Y of black and of white, of 255."""
OFFSET = np.array([Y_BLACK, 128.0, 128.0])
GRAY_SHARES = (0.299, 0.587, 0.114)
"""Shares of R, G and B in gray, full range (BT.601)."""


def luma(image: Array) -> NDArray[np.float64]:
    """Compute Y of RGB (H, W, 3), integer or float in [0, 1], as 16..235, NOT rounded."""
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected (H, W, 3), got shape {image.shape}")
    values = image.astype(np.float64, copy=False)
    if np.issubdtype(image.dtype, np.integer):
        values = values / np.iinfo(image.dtype).max
    y: NDArray[np.float64] = values @ RGB_TO_YCBCR[0] + OFFSET[0]
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
