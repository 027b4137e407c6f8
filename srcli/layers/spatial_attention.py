"""Attention over places: the enhanced spatial attention of the RFDN family."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EnhancedSpatialAttention(nn.Module):
    """ESA (RFANet, Liu et al. 2020) in RLFN's reduced form (Kong et al. 2022).

    Every value is gated by what a strongly shrunk map sees around its place: a strided
    convolution, a 7x7 maximum with stride 3 and a 3x3 convolution, resized bilinearly.

    Args:
        channels: Channels in and out.
        width: Channels inside.
    """

    MINIMUM = 15
    """Shortest side of an input: below it the maximum has nothing to take."""

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
        around = F.interpolate(around, size=x.shape[2:], mode="bilinear", align_corners=False)
        gate = torch.sigmoid(self.expand(around + self.direct(narrow)))
        return x * gate
