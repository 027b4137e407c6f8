"""Operations as networks write them: convolutions with what stands around them, activations.

In a network that enlarges, ``srcli.inference.fusing`` makes ``FusedConv2d`` of its
convolutions, which compute sums and activations in one go; elsewhere they are the plain
layers.

Activations give a picture the same bits in every batch and on any number of threads.
PyTorch computes a sigmoid, a SiLU and a GELU with vector instructions, and what is left
over at the end of each thread's share with scalar ones, which round differently. Its
``exp`` and ``erf`` are one function for all values, and a sum, a product or a quotient
is rounded in one way only: on a processor the three are built from these. Some other
operations order their sums by the number of pictures; they take one at a time. Wherever
gradients are recorded, on GPUs and in exported networks everything is PyTorch's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import is_processor_inference, widened


class FusedConv2d(nn.Conv2d):
    """A convolution that may compute what stands around it; None where it does not."""

    def convolve_fused(
        self,
        parts: Sequence[Tensor],
        plus: Tensor | None,
        slope: float | None,
        *,
        may_overwrite: bool,
    ) -> Tensor | None:
        """Do what ``convolve`` and ``convolve_joined`` do."""
        raise NotImplementedError


def convolve(
    layer: nn.Module,
    x: Tensor,
    *,
    plus: Tensor | None = None,
    may_overwrite: bool = False,
    slope: float | None = None,
) -> Tensor:
    """Convolve (N, C, H, W), add ``plus``, and apply a leaky ReLU; 0 is a ReLU.

    ``may_overwrite`` says that nothing else needs ``plus``, so that the result may take
    its memory.
    """
    if isinstance(layer, FusedConv2d):
        fused = layer.convolve_fused((x,), plus, slope, may_overwrite=may_overwrite)
        if fused is not None:
            return fused
    out: Tensor = layer(x)
    if plus is not None:
        out = out + plus
    return activate(out, slope)


def convolve_joined(
    layer: nn.Module,
    parts: Sequence[Tensor],
    *,
    slope: float | None = None,
) -> Tensor:
    """Convolve maps (N, C, H, W) as if concatenated; see ``convolve``."""
    if isinstance(layer, FusedConv2d):
        fused = layer.convolve_fused(parts, None, slope, may_overwrite=False)
        if fused is not None:
            return fused
    joined = parts[0]
    if len(parts) > 1:
        joined = torch.cat(list(parts), dim=1)
    return convolve(layer, joined, slope=slope)


def activate(out: Tensor, slope: float | None) -> Tensor:
    """Apply a leaky ReLU in place, as nothing else needs what a convolution gave."""
    if slope is None:
        return out
    if slope == 0:
        return F.relu_(out)
    return F.leaky_relu_(out, slope)


def sigmoid(x: Tensor) -> Tensor:
    """Compute the logistic function 1 / (1 + exp(-x)), in the input's dtype."""
    if not is_processor_inference(x):
        return torch.sigmoid(x)
    return _denominator(x).reciprocal_().to(x.dtype)


def silu(x: Tensor) -> Tensor:
    """Compute SiLU or swish, x / (1 + exp(-x)), in the input's dtype."""
    if not is_processor_inference(x):
        return F.silu(x)
    return torch.div(x, _denominator(x)).to(x.dtype)


def gelu(x: Tensor) -> Tensor:
    """Compute GELU, x times the normal distribution's share below x (2016)."""
    if not is_processor_inference(x):
        return F.gelu(x)
    doubled_share = (widened(x) * math.sqrt(0.5)).erf_().add_(1)
    return doubled_share.mul_(x).mul_(0.5).to(x.dtype)


def apply_to_each(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a layer to one picture after another of a batch (N, ...), joined again."""
    if len(x) == 1 or not is_processor_inference(x):
        return layer(x)
    return torch.cat([layer(picture) for picture in torch.split(x, 1)])


class Sigmoid(nn.Sigmoid):
    """``sigmoid`` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the logistic function to every value."""
        return sigmoid(x)


class GELU(nn.GELU):
    """``gelu`` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply GELU to every value."""
        return gelu(x)


def _denominator(x: Tensor) -> Tensor:
    """Return 1 + exp(-x) in a tensor of its own, at least in fp32."""
    return widened(x).neg().exp_().add_(1)
