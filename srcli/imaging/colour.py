"""BT.601 limited-range colour conversions, exactly as MATLAB's ``rgb2ycbcr`` and ``ycbcr2rgb``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.resize import to_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

# Rows give Y, Cb, Cr for R, G, B in 0..1 on the 8-bit scale (ITU-R BT.601, limited range).
RGB_TO_YCBCR = np.array(
    [
        [65.481, 128.553, 24.966],
        [-37.797, -74.203, 112.0],
        [112.0, -93.786, -18.214],
    ]
)
Y_BLACK, Y_WHITE = 16, 235
"""Y of black and of white, of 255."""
OFFSET = np.array([Y_BLACK, 128.0, 128.0])
GRAY_SHARES = (0.299, 0.587, 0.114)
"""Shares of R, G and B in gray, full range (BT.601)."""


def luma(image: Array) -> NDArray[np.float64]:
    """Compute Y of an RGB picture on the 8-bit scale 16..235, NOT rounded.

    Args:
        image: (H, W, 3) uint8, uint16, or float in [0, 1].
    """
    y: NDArray[np.float64] = _unit(image) @ RGB_TO_YCBCR[0] + OFFSET[0]
    return y


def rgb_to_ycbcr(image: Array) -> Array:
    """Convert RGB to Y, Cb, Cr as MATLAB's ``rgb2ycbcr``.

    Args:
        image: (H, W, 3) uint8 or uint16 (rounded to the same dtype), or float in [0, 1].

    Returns:
        (H, W, 3) of the same dtype; Y spans 16..235 of 255, Cb and Cr 16..240 of 255.
    """
    return _scaled(_unit(image) @ RGB_TO_YCBCR.T + OFFSET, image.dtype)


def ycbcr_to_rgb(image: Array) -> Array:
    """Convert Y, Cb, Cr to RGB as MATLAB's ``ycbcr2rgb``; floats are not clipped.

    Args:
        image: (H, W, 3) uint8 or uint16 (rounded to the same dtype), or float in [0, 1].
    """
    rgb = (_unit(image) * 255.0 - OFFSET) @ np.linalg.inv(RGB_TO_YCBCR).T
    return _scaled(rgb * 255.0, image.dtype)


def _unit(image: Array) -> NDArray[np.float64]:
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected (H, W, 3), got shape {image.shape}")
    values = image.astype(np.float64, copy=False)
    return values / np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else values


def _scaled(values: NDArray[np.float64], dtype: np.dtype[Any]) -> Array:
    if np.issubdtype(dtype, np.integer):
        return to_dtype(values * (np.iinfo(dtype).max / 255.0), dtype)
    return to_dtype(values / 255.0, dtype)
