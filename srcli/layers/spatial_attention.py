"""Attention over places: the enhanced spatial attention of the RFDN family."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.placement import given_placement, stretch_part


class EnhancedSpatialAttention(nn.Module):
    """ESA (RFANet, Liu et al. 2020) in RLFN's reduced form (Kong et al. 2022).

    Every value is gated by what a strongly shrunk map sees around its place: a strided
    convolution, a 7x7 maximum with stride 3 and a 3x3 convolution, resized bilinearly. Tiles that
    are told where they lie (``srcli.layers.placement``) are resized as parts of their pictures.

    Args:
        channels: Channels in and out.
        width: Channels inside.
    """

    MINIMUM = 15
    """Shortest side of an input: below it the maximum has nothing to take."""
    STEP = 6
    """Pixels from one value of the shrunk map to the next."""

    def __init__(self, *, channels: int, width: int = 16) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, width, 1)
        self.stride = nn.Conv2d(width, width, 3, stride=2)
        self.pooled = nn.Conv2d(width, width, 3, padding=1)
        self.direct = nn.Conv2d(width, width, 1)
        self.expand = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Gate (N, C, H, W), both sides at least ``MINIMUM``."""
        narrow: Tensor = self.squeeze(x)
        around = self.pooled(F.max_pool2d(self.stride(narrow), kernel_size=7, stride=3))
        size, placement = (x.shape[2], x.shape[3]), given_placement()
        if placement is None:
            around = F.interpolate(around, size=size, mode="bilinear", align_corners=False)
        else:
            around = stretch_part(around, size, placement, step=self.STEP, count=self._count)
        gate = torch.sigmoid(self.expand(self.direct(narrow) + around))
        return x * gate

    def _count(self, sides: Tensor) -> Tensor:
        """Values of the shrunk map along sides of so many pixels."""
        return (sides.clamp(min=self.MINIMUM) - self.MINIMUM) // self.STEP + 1
