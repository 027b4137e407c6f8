"""The residual block of EDSR and its descendants."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a ReLU between them; the input is added.

    Args:
        channels: Channels in and out.
        scale: Factor on what is added to the input.
    """

    def __init__(self, *, channels: int, scale: float = 1.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.conv2(F.relu_(self.conv1(x)))
        return torch.add(x, out, alpha=self.scale)
