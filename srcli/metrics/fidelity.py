"""PSNR and SSIM on arrays, as MATLAB scripts of the SR literature compute them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def psnr(a: Array, b: Array, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels; infinite for equal pictures.

    Args:
        a: (H, W) or (H, W, C), any real dtype, in 0..peak.
        b: Same shape.
        peak: The largest possible value.
    """
    _same(a, b)
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(peak * peak / error)


def ssim(a: Array, b: Array, peak: float = 255.0) -> float:
    """Structural similarity as in Wang's ``ssim_index`` (Wang et al. 2004).

    11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, valid area only, no downsampling;
    the mean over channels.

    Args:
        a: (H, W) or (H, W, C) in 0..peak, both sides at least 11.
        b: Same shape.
        peak: The largest possible value.

    Raises:
        ValueError: If the shapes differ or a side is below 11 pixels.
    """
    _same(a, b)
    if min(a.shape[:2]) < 11:
        raise ValueError(f"SSIM needs 11x11 pixels, got {a.shape[1]}x{a.shape[0]}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_x, mean_y = _window(x), _window(y)
    var_x = _window(x * x) - mean_x**2
    var_y = _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float(np.mean(numerator / denominator))


def _window(values: NDArray[np.float64]) -> NDArray[np.float64]:
    offsets = np.arange(-5, 6)
    kernel = np.exp(-(offsets**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        length = values.shape[axis] - 10
        parts = (
            weight * np.take(values, range(i, i + length), axis=axis)
            for i, weight in enumerate(kernel)
        )
        values = np.sum(list(parts), axis=0)
    return values


def _same(a: Array, b: Array) -> None:
    if a.shape != b.shape:
        raise ValueError(f"pictures differ in shape: {a.shape} and {b.shape}")
    if a.size == 0:
        raise ValueError("empty pictures have no quality")
