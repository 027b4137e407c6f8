"""Convolutions with the sums and activations around them, as networks write them.

In a network that enlarges, ``srcli.inference.fusing`` makes ``FusedConv2d`` of its
convolutions, which compute these in one go; elsewhere they are the plain layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
    out: Tensor | None = None,
) -> Tensor:
    """Convolve maps (N, C, H, W) as if concatenated, into ``out``; see ``convolve``."""
    convolved = None
    if isinstance(layer, FusedConv2d):
        zeros = None if out is None else out.zero_()
        convolved = layer.convolve_fused(parts, zeros, slope, may_overwrite=True)
    if convolved is None:
        joined = parts[0]
        if len(parts) > 1:
            joined = torch.cat(list(parts), dim=1)
        convolved = convolve(layer, joined, slope=slope)
    if out is None or convolved is out:
        return convolved
    return out.copy_(convolved)


def activate(out: Tensor, slope: float | None) -> Tensor:
    """Apply a leaky ReLU in place, as nothing else needs what a convolution gave."""
    if slope is None:
        return out
    if slope == 0:
        return F.relu_(out)
    return F.leaky_relu_(out, slope)
