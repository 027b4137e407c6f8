"""Residual wiring: dense shortcuts between modules and the blocks of the distillation networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import ContrastChannelAttention
from srcli.layers.reparameterised import ReparameterisedConv

if TYPE_CHECKING:
    from collections.abc import Sequence


class DenseShortcut(nn.Module):
    """Run modules in a row; learnt shares of earlier inputs join each output (DSNet 2021).

    ``x_j = M_j(x_{j-1}) + sum of w_i^j * x_{i-1}`` over i < j; ``include_self`` adds i = j.

    Args:
        modules: M_1 .. M_n, all of equal input and output shape.
        initial: Start value of every w.
        include_self: Add the weighted input of module j to its own output.
    """

    def __init__(
        self, modules: Sequence[nn.Module], *, initial: float = 0.1, include_self: bool = False
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(modules)
        self.include_self = include_self
        n = len(modules)
        count = n * (n + 1) // 2 if include_self else n * (n - 1) // 2
        self.weights = nn.Parameter(torch.full((count,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        inputs: list[Tensor] = []
        taken = 0
        for block in self.blocks:
            inputs.append(x)
            shared = inputs if self.include_self else inputs[:-1]
            x = block(x)
            for source in shared:
                x = torch.addcmul(x, source, self.weights[taken].to(x.dtype))
                taken += 1
        return x


class GroupDistillationBlock(nn.Module):
    """G-IDB of G-IDRN: three pointwise + grouped residual steps, fused, gated, added (2024).

    Args:
        channels: Channels in and out.
        group_width: Channels in a group of the 3x3 convolutions.
        slope: Negative slope of the leaky ReLU.
        edge_branches: Train the 3x3 convolutions with branches for edges, which fold into them.
    """

    def __init__(
        self,
        *,
        channels: int,
        group_width: int = 8,
        slope: float = 0.05,
        edge_branches: bool = False,
    ) -> None:
        super().__init__()
        groups = channels // group_width
        self.slope = slope
        self.pointwise = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(3))

        def grouped() -> nn.Module:
            if edge_branches:
                return ReparameterisedConv(channels=channels, groups=groups, edges=True)
            return nn.Conv2d(channels, channels, 3, padding=1, groups=groups)

        self.grouped = nn.ModuleList(grouped() for _ in range(4))
        self.fuse = nn.Conv2d(4 * channels, channels, 1)
        self.attention = ContrastChannelAttention(channels=channels, reduction=4)
        self.share = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        kept: list[Tensor] = []
        step = x
        for pointwise, grouped in zip(self.pointwise, self.grouped, strict=False):
            kept.append(pointwise(step))
            step = F.leaky_relu(grouped(kept[-1]) + step, self.slope)
        kept.append(self.grouped[3](step))
        fused: Tensor = self.fuse(torch.cat(kept, dim=1))
        # The share joins the small gate, not the large map: one pass over the features fewer.
        gate = self.attention.gate(fused) * self.share.to(fused.dtype)
        return torch.addcmul(x, fused, gate.to(fused.dtype))


class FeatureDistillationBlock(nn.Module):
    """RFDB of RFDN (Liu et al. 2020) with CCA, without ESA and block residual.

    Args:
        channels: Channels in and out; half of them are distilled at each step.
        slope: Negative slope of the leaky ReLU.
    """

    def __init__(self, *, channels: int, slope: float = 0.05) -> None:
        super().__init__()
        distilled = channels // 2
        self.slope = slope
        self.distil = nn.ModuleList(nn.Conv2d(channels, distilled, 1) for _ in range(3))
        self.refine = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.last = nn.Conv2d(channels, distilled, 3, padding=1)
        self.fuse = nn.Conv2d(4 * distilled, channels, 1)
        self.attention = ContrastChannelAttention(channels=channels, reduction=4)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        kept: list[Tensor] = []
        for distil, refine in zip(self.distil, self.refine, strict=True):
            kept.append(F.leaky_relu(distil(x), self.slope))
            x = F.leaky_relu(refine(x) + x, self.slope)
        kept.append(F.leaky_relu(self.last(x), self.slope))
        out: Tensor = self.attention(self.fuse(torch.cat(kept, dim=1)))
        return out
