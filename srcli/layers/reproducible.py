"""Operations that give a picture the same bits in every batch and on any number of threads.

PyTorch computes a sigmoid, a SiLU and a GELU with vector instructions, and what is left
over at the end of each thread's share with scalar ones, which round differently. Its
``exp`` and ``erf`` are one function for all values, and a sum, a product or a quotient
is rounded in one way only: on a processor the three are built from these. Some other
operations order their sums by the number of pictures; they take one at a time. Wherever
gradients are recorded, on GPUs and in exported networks everything is PyTorch's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import is_processor_inference, widened


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
