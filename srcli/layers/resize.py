"""MATLAB-compatible bicubic resizing of tensors, the twin of ``srcli.imaging.pixels.resize``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srcli.imaging.pixels.resize import cubic, taps
from srcli.layers.network import is_processor_inference, widened

_WEIGHT_STEPS = {2: 128, 4: 1024}
"""Scales at which all weights of the kernel are multiples of one over such a number."""
_MOST_EXACT = 2**24
"""Whole numbers up to this are exact in fp32."""


def bicubic_resize(
    x: Tensor, scale: float | Fraction, *, levels: int | None = None
) -> Tensor:
    """Resize as MATLAB's ``imresize`` does.

    Gives (N, C, ceil(scale H), ceil(scale W)) in the dtype of ``x``, computed in fp32
    at least.

    Args:
        x: (N, C, H, W) of a floating dtype.
        scale: Output pixels per input pixel. Give a ``Fraction`` for 1/3.
        levels: For pictures in [0, 1] that stand for integers 0..levels: round and clip
            to these after each of the two passes, as MATLAB does with integer pictures.
            None for floats, which are neither rounded nor clipped.
    """
    if x.ndim != 4:
        raise ValueError(f"expected (N, C, H, W), got {tuple(x.shape)}")
    exact = Fraction(scale).limit_denominator(10_000)
    out = widened(x)
    if levels is None:
        for axis in (2, 3):
            out = _resize_floats(out, axis, exact)
        return out.to(x.dtype)
    out = out.mul(levels).round_()
    # Ties between two levels must fall as they do in MATLAB: in float64, where there is
    # one, unless all sums are exact in fp32. Weights add up to less than 2.
    resize_axis = _resize_axis
    is_exact = False
    if exact in _WEIGHT_STEPS:
        resize_axis = _resize_floats
        is_exact = 2 * levels * _WEIGHT_STEPS[int(exact)] < _MOST_EXACT
    if not is_exact and x.device.type != "mps":
        out = out.double()
    for axis in (2, 3):
        out = resize_axis(out, axis, exact)
        out = out.add_(0.5).floor_().clamp_(0, levels)
    return out.div_(levels).to(x.dtype)


def _resize_floats(x: Tensor, axis: int, scale: Fraction) -> Tensor:
    """Resize an axis by kernels where these repeat, else by gathered pixels."""
    if scale in (2, 3, 4):
        return _phased_axis(x, axis, _phase_taps(int(scale)).tolist())
    shrink = scale.denominator
    reach = 3 * shrink // 2  # beyond the pixels that become one
    length = x.shape[axis]
    if scale.numerator != 1 or length % shrink or (shrink > 1 and length < reach):
        return _resize_axis(x, axis, scale)
    weights = cubic((np.arange(-reach, shrink + reach) - (shrink - 1) / 2) / shrink)
    return _phased_axis(x, axis, [(weights / weights.sum()).tolist()], shrink)


def _resize_axis(x: Tensor, axis: int, scale: Fraction) -> Tensor:
    """Resize an axis by any scale: gather one pixel of each kernel after the other."""
    if axis == 3:  # whole rows are gathered faster than pixels of each
        return _resize_axis(x.mT.contiguous(), 2, scale).mT.contiguous()
    length = x.shape[axis]
    indices, weights = taps(length, math.ceil(length * scale), scale)
    shape = [1] * x.ndim
    shape[axis] = -1
    out: Tensor | None = None
    for k in range(indices.shape[1]):
        index = torch.from_numpy(indices[:, k].copy()).to(x.device)
        weight = torch.from_numpy(weights[:, k].copy()).to(x.device, x.dtype)
        term = x.index_select(axis, index) * weight.view(shape)
        out = term if out is None else out.add_(term)
    assert out is not None
    return out


def _phased_axis(
    x: Tensor, axis: int, phases: Sequence[Sequence[float]], shrink: int = 1
) -> Tensor:
    """Resize an axis by kernels that repeat: one per sub-pixel, or one with a stride.

    ``phases`` are these kernels; ``shrink`` is the stride. Each weight is applied to
    whole rows at once.
    """
    length = x.shape[axis]
    beyond = (len(phases[0]) - shrink) // 2
    reach = min(beyond, length)  # a single pixel stands for all beyond it
    # by operations that converters of exported networks know
    before_axis = (slice(None),) * axis
    before = x[(*before_axis, slice(reach))].flip(axis)
    after = x[(*before_axis, slice(length - reach, length))].flip(axis)
    ends = beyond // reach
    padded = torch.cat([before] * ends + [x] + [after] * ends, dim=axis)
    padded = padded.transpose(axis, 0)
    outputs = []
    for weights in phases:
        out: Tensor | None = None
        for start, weight in enumerate(weights):
            pixels = padded[start : start + length : shrink]
            if not weight:
                continue
            out = pixels * weight if out is None else out.add_(pixels, alpha=weight)
        assert out is not None
        outputs.append(out.transpose(axis, 0))
    return _interleave(outputs, axis).flatten(axis, axis + 1)


def _interleave(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Stack tensors behind an axis, so that pixels of one part lie between the others'."""
    if not is_processor_inference(parts[0]):
        return torch.stack(tuple(parts), dim=axis + 1)
    # the same four times as fast, by whole rows of one part
    shape = [*parts[0].shape]
    shape.insert(axis + 1, len(parts))
    out = parts[0].new_empty(shape)
    for number, part in enumerate(parts):
        out.select(axis + 1, number).copy_(part)
    return out


def bicubic_phases(scale: int) -> Tensor:
    """Return kernels (scale * scale, 5, 5) of enlarging by 2, 3 or 4, one per sub-pixel.

    Kernel r * scale + c gives output pixel (s*i + r, s*j + c) as a correlation of the
    5x5 neighbourhood of input pixel (i, j), away from the borders.
    """
    axis = _phase_taps(scale)
    kernels = np.einsum("ri,cj->rcij", axis, axis).reshape(scale * scale, 5, 5)
    return torch.from_numpy(kernels).float()


def _phase_taps(scale: int) -> NDArray[np.float64]:
    """Return weights (scale, 5): of the five input pixels around each sub-pixel."""
    offsets = (np.arange(scale) + 0.5) / scale - 0.5
    return cubic(offsets[:, None] - np.arange(-2.0, 3.0))


class BicubicEnlargement(nn.Module):
    """``bicubic_resize`` by an integer factor, with no weights to copy to a GPU."""

    def __init__(self, *, scale: int) -> None:
        super().__init__()
        self.phases: list[list[float]] = _phase_taps(scale).tolist()

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, C, H, W) to (N, C, scale H, scale W), in fp32 at least."""
        rows = _phased_axis(widened(x), 2, self.phases)
        return _phased_axis(rows, 3, self.phases)
