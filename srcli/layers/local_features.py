"""The residual local feature block of RLFN and RRLFN."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import EnhancedSpatialAttention

if TYPE_CHECKING:
    from collections.abc import Sequence


class ResidualLocalFeatureBlock(nn.Module):
    """RLFB of RLFN (Kong et al. 2022) and RRLFN: three 3x3 units, a 1x1 convolution, attention.

    The input is added behind the units.

    Args:
        units: Map ``channels`` to ``channels``; each is followed by the activation.
        channels: Channels in and out.
        esa_channels: Channels inside the attention.
        slope: Negative slope of the activation; 0 for ReLU.
    """

    def __init__(
        self, units: Sequence[nn.Module], *, channels: int, esa_channels: int, slope: float
    ) -> None:
        super().__init__()
        self.refine = nn.ModuleList(units)
        self.fuse = nn.Conv2d(channels, channels, 1)
        self.attention = EnhancedSpatialAttention(channels=channels, width=esa_channels)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        step = x
        for unit in self.refine:
            step = self._activated(unit(step))
        out: Tensor = self.attention(self.fuse(x + step))
        return out

    def _activated(self, x: Tensor) -> Tensor:
        # In place: nothing else needs what a convolution or a sum of branches gave.
        return F.leaky_relu_(x, self.slope) if self.slope else F.relu_(x)
