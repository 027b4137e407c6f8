"""IDN: information distillation network, on Y (Hui et al., CVPR 2018)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.resize import BicubicSkip


class IDN(Network):
    """Enlarge Y / 255 by ``scale``; the defaults are the published model.

    Its weights are published for Caffe alone, which is not read here.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body, the paper's D_3; a multiple of 16.
        num_blocks: Distillation blocks.
        slope: Negative slope of the leaky ReLUs.
    """

    colour = "y"
    edge = 4

    def __init__(
        self, *, scale: int = 4, channels: int = 64, num_blocks: int = 4, slope: float = 0.05
    ) -> None:
        super().__init__()
        self.scale = scale
        self.slope = slope
        self.head = nn.ModuleList(
            nn.Conv2d(taken, channels, 3, padding=1) for taken in (1, channels)
        )
        self.body = nn.Sequential(
            *(EnhancementBlock(channels=channels, slope=slope) for _ in range(num_blocks))
        )
        self.up = nn.ConvTranspose2d(
            channels, 1, 17, stride=scale, padding=8, output_padding=scale - 1
        )
        self.skip = BicubicSkip(scale=scale)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 1, H, W), Y / 255, to (N, 1, scale H, scale W), not clipped."""
        self.check_input(x)
        features = x
        for conv in self.head:
            features = F.leaky_relu(conv(features), self.slope)
        out: Tensor = self.skip(self.up(self.body(features)), x)
        return out


class EnhancementBlock(nn.Module):
    """DBlock: an enhancement unit, of which a quarter is kept beside the input, and a 1x1.

    Args:
        channels: Channels in and out.
        slope: Negative slope of the leaky ReLUs.
    """

    def __init__(self, *, channels: int, slope: float) -> None:
        super().__init__()
        self.kept = kept = channels // 4
        self.slope = slope
        first = ((channels, 3 * kept, 1), (3 * kept, 2 * kept, 4), (2 * kept, channels, 1))
        second = ((3 * kept, channels, 1), (channels, 3 * kept, 4), (3 * kept, channels + kept, 1))
        self.first, self.second = (
            nn.ModuleList(
                nn.Conv2d(taken, given, 3, padding=1, groups=groups)
                for taken, given, groups in widths
            )
            for widths in (first, second)
        )
        self.fuse = nn.Conv2d(channels + kept, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out = x
        for conv in self.first:
            out = F.leaky_relu(conv(out), self.slope)
        beside = torch.cat([x, out[:, : self.kept]], dim=1)
        out = out[:, self.kept :]
        for conv in self.second:
            out = F.leaky_relu(conv(out), self.slope)
        return F.leaky_relu(self.fuse(out + beside), self.slope)
