"""MATLAB-compatible bicubic resizing of tensors, the twin of ``srcli.imaging.resize``."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

from srcli.imaging.resize import cubic, taps


def bicubic_resize(x: Tensor, scale: float | Fraction, *, antialias: bool = True) -> Tensor:
    """Resize as MATLAB's ``imresize`` does with floats: no rounding, no clipping.

    Args:
        x: (N, C, H, W) of a floating dtype; computed in fp32 at least.
        scale: Output pixels per input pixel. Give a ``Fraction`` for 1/3.
        antialias: Widen the kernel when shrinking.

    Returns:
        (N, C, ceil(scale H), ceil(scale W)) in the dtype of ``x``.
    """
    if x.ndim != 4:
        raise ValueError(f"expected (N, C, H, W), got {tuple(x.shape)}")
    exact = Fraction(scale).limit_denominator(10_000)
    out = x if x.dtype in (torch.float32, torch.float64) else x.float()
    for axis in (2, 3):
        out = _resize_axis(out, axis, exact, antialias)
    return out.to(x.dtype)


def _resize_axis(x: Tensor, axis: int, scale: Fraction, antialias: bool) -> Tensor:
    length = x.shape[axis]
    indices, weights = taps(length, math.ceil(length * scale), scale, antialias)
    shape = [1] * x.ndim
    shape[axis] = -1
    out: Tensor | None = None
    for k in range(indices.shape[1]):
        index = torch.from_numpy(indices[:, k].copy()).to(x.device)
        weight = torch.from_numpy(weights[:, k].copy()).to(x.device, x.dtype).view(shape)
        term = x.index_select(axis, index) * weight
        out = term if out is None else out.add_(term)
    assert out is not None
    return out


def bicubic_phases(scale: int) -> Tensor:
    """Kernels of enlarging by an integer factor, one for every sub-pixel position.

    Args:
        scale: 2, 3 or 4.

    Returns:
        (scale * scale, 5, 5): kernel r * scale + c gives output pixel (s*i + r, s*j + c) as a
        correlation of the 5x5 neighbourhood of input pixel (i, j), away from the borders.
    """
    import numpy as np

    axis = np.zeros((scale, 5))
    for phase in range(scale):
        offset = (phase + 0.5) / scale - 0.5
        axis[phase] = cubic(offset - np.arange(-2, 3))
    kernels = np.einsum("ri,cj->rcij", axis, axis).reshape(scale * scale, 5, 5)
    return torch.from_numpy(kernels).float()
