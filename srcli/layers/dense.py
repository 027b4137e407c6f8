"""Residual blocks of plain 3x3 convolutions, densely connected or in a row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualDenseBlock(nn.Module):
    """RDB of RDN (Zhang et al. 2018): each convolution sees all before it; no normalisation.

    Args:
        channels: Channels in and out.
        growth: Channels that each convolution adds.
        depth: Number of 3x3 convolutions; a 1x1 fuses what they give.
    """

    def __init__(self, *, channels: int, growth: int = 32, depth: int = 4) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels + i * growth, growth, 3, padding=1) for i in range(depth)
        )
        self.fuse = nn.Conv2d(channels + depth * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        seen = x
        for convolution in self.convolutions:
            seen = torch.cat([seen, F.relu(convolution(seen))], dim=1)
        out: Tensor = self.fuse(seen)
        return out + x


class ResidualPlainBlock(nn.Module):
    """Convolutions 3x3 + ReLU in a row, and the input added: an RDB without its dense wiring.

    Args:
        channels: Channels in, out and between.
        depth: Number of convolutions.
    """

    def __init__(self, *, channels: int, depth: int = 4) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out = x
        for convolution in self.convolutions:
            out = F.relu(convolution(out))
        return out + x
