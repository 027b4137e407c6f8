"""Information distillation: the blocks and the frame of IMDN, RFDN and their descendants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Concatenation(nn.Module):
    """Run modules in a row, concatenate their outputs, fuse by a 1x1 convolution (RFDN's frame).

    Args:
        modules: Each maps ``channels`` to ``channels``.
        channels: Channels in and out.
        slope: Negative slope of the leaky ReLU after the fusion.
    """

    def __init__(self, modules: Sequence[nn.Module], *, channels: int, slope: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(modules)
        self.fuse = nn.Conv2d(len(modules) * channels, channels, 1)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        outputs: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return F.leaky_relu(self.fuse(torch.cat(outputs, dim=1)), self.slope)


class FeatureDistillationBlock(nn.Module):
    """RFDB of RFDN (Liu et al. 2020), without block residual.

    Args:
        attention: Makes the attention at its end: CCA, or ESA in the form of the AIM challenge.
        channels: Channels in and out; half of them are distilled at each step.
        slope: Negative slope of the leaky ReLU.
    """

    def __init__(
        self, attention: Callable[[], nn.Module], *, channels: int, slope: float = 0.05
    ) -> None:
        super().__init__()
        distilled = channels // 2
        self.slope = slope
        self.distil = nn.ModuleList(nn.Conv2d(channels, distilled, 1) for _ in range(3))
        self.refine = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.last = nn.Conv2d(channels, distilled, 3, padding=1)
        self.fuse = nn.Conv2d(4 * distilled, channels, 1)
        self.attention = attention()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        kept: list[Tensor] = []
        for distil, refine in zip(self.distil, self.refine, strict=True):
            kept.append(F.leaky_relu(distil(x), self.slope))
            x = F.leaky_relu(refine(x) + x, self.slope)
        kept.append(F.leaky_relu(self.last(x), self.slope))
        out: Tensor = self.attention(self.fuse(torch.cat(kept, dim=1)))
        return out
