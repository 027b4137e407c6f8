"""Downscale HR to LR by the named kernels of the literature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.imaging.resize import resize, to_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class ResizeKernel:
    """One method of downscaling."""

    name: str
    description: str
    shrink: Callable[[Array, int], Array]
    """Takes (H, W, C) uint8, both sides multiples of the scale, and the scale."""


def _matlab(picture: Array, scale: int) -> Array:
    return resize(picture, Fraction(1, scale))


def _pillow(filter_: Image.Resampling) -> Callable[[Array, int], Array]:
    def shrink(picture: Array, scale: int) -> Array:
        height, width = picture.shape[:2]
        size = (width // scale, height // scale)
        planes = [
            np.asarray(Image.fromarray(np.ascontiguousarray(picture[..., c])).resize(size, filter_))
            for c in range(picture.shape[2])
        ]
        return np.stack(planes, axis=2)

    return shrink


def _mean(picture: Array, scale: int) -> Array:
    """Average blocks, rounded once (Pillow's box filter rounds after each axis)."""
    height, width, channels = picture.shape
    blocks = picture.reshape(height // scale, scale, width // scale, scale, channels)
    return to_dtype(blocks.mean(axis=(1, 3)), picture.dtype)


def _blur_down(picture: Array, scale: int) -> Array:
    """Blur with a 7x7 Gaussian of sigma 1.6, edges repeated, then take every scale-th pixel.

    The pixel taken is the one that MATLAB's ``imresize(..., 'nearest')`` takes: ``scale // 2``.
    """
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(
        picture.astype(np.float64), 1.6, radius=3, mode="nearest", axes=(0, 1)
    )
    return to_dtype(blurred[scale // 2 :: scale, scale // 2 :: scale], picture.dtype)


_ALL = (
    ResizeKernel(
        name="bicubic",
        description="MATLAB-compatible bicubic (a = -0.5, antialiased)",
        shrink=_matlab,
    ),
    ResizeKernel(
        name="bicubic-pillow",
        description="Pillow's bicubic (a = -0.5, antialiased, other borders and rounding)",
        shrink=_pillow(Image.Resampling.BICUBIC),
    ),
    ResizeKernel(
        name="lanczos", description="Pillow's Lanczos", shrink=_pillow(Image.Resampling.LANCZOS)
    ),
    ResizeKernel(name="box", description="mean of scale x scale pixels", shrink=_mean),
    ResizeKernel(
        name="blur-down",
        description="7x7 Gaussian blur of sigma 1.6, then every scale-th pixel (BD)",
        shrink=_blur_down,
    ),
)
KERNELS: dict[str, ResizeKernel] = {kernel.name: kernel for kernel in _ALL}
"""By name; nearly every published table uses ``bicubic``."""
