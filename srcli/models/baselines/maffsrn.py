"""MAFFSRN: features fused in groups, gated by a shrunk map (Muqeet et al., ECCV workshops 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.placement import StretchedMap

MINIMUM, STEP = 13, 6
"""Shortest side of an input, and pixels from one value of the shrunk maps to the next."""


class MAFFSRN(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are MAFFSRN, 8 groups are MAFFSRN-L.

    The authors train with weight normalisation, which is another form of the same network, and
    publish no weights.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body, a multiple of 4.
        num_groups: Feature fusion groups of four blocks each.
        slope: Negative slope of the leaky ReLUs.
    """

    edge = 4
    minimum = MINIMUM
    tile_step = STEP

    def __init__(
        self, *, scale: int = 4, channels: int = 32, num_groups: int = 4, slope: float = 0.05
    ) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(
            *(FeatureFusionGroup(channels=channels, slope=slope) for _ in range(num_groups))
        )
        self.tails = nn.ModuleList(
            nn.Conv2d(channels, 3 * scale * scale, kernel, padding=kernel // 2) for kernel in (3, 5)
        )
        self.gains = nn.Parameter(torch.full((2,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        features = self.body(self.head(x))
        small, large = self.tails
        out = self.gains[0] * small(features) + self.gains[1] * large(features)
        image = F.interpolate(x.float(), scale_factor=float(self.scale), mode="bicubic")
        return F.pixel_shuffle(out, self.scale).float() + image


class FeatureFusionGroup(nn.Module):
    """FFG: four blocks, whose outputs are fused one after the other, and the input.

    Args:
        channels: Channels in and out.
        slope: Negative slope of the leaky ReLUs.
    """

    def __init__(self, *, channels: int, slope: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            MultiAttentionBlock(channels=channels, slope=slope) for _ in range(4)
        )
        self.fuse = nn.ModuleList(nn.Conv2d(2 * channels, channels, 1) for _ in range(3))
        self.gains = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        first, second, third, fourth = self.blocks
        outputs: list[Tensor] = [first(x)]
        outputs += [second(outputs[-1]) + outputs[-1]]
        outputs += [third(outputs[-1]) + outputs[-1]]
        outputs += [fourth(outputs[-1])]
        fused = outputs[0]
        for fuse, output in zip(self.fuse, outputs[1:], strict=True):
            fused = fuse(torch.stack((fused, output), dim=2).flatten(1, 2))  # channels alternate
        return self.gains[0] * fused + self.gains[1] * x


class MultiAttentionBlock(nn.Module):
    """MAB: two convolutions, gated by a strongly shrunk map and by each pixel's surroundings.

    Args:
        channels: Channels in and out.
        slope: Negative slope of the leaky ReLUs.
    """

    def __init__(self, *, channels: int, slope: float) -> None:
        super().__init__()
        narrow = channels // 4
        self.slope = slope
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.squeeze = nn.Conv2d(channels, narrow, 1)
        self.stride = nn.Conv2d(narrow, narrow, 3, stride=2, padding=1)
        self.plain = nn.Conv2d(narrow, narrow, 3, padding=1)
        self.dilated = nn.Conv2d(narrow, narrow, 3, padding=2, dilation=2)
        self.stretch = StretchedMap(step=STEP, minimum=MINIMUM, mode="nearest")
        self.expand = nn.Conv2d(narrow, channels, 1)
        self.point = nn.Conv2d(channels, channels, 1)
        self.spread = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape, both sides at least 13."""
        x = self.conv2(F.leaky_relu(self.conv1(x), self.slope))
        narrow: Tensor = self.squeeze(x)
        pooled = F.max_pool2d(self.stride(narrow), kernel_size=7, stride=3)
        around = F.leaky_relu(self.dilated(pooled), self.slope)
        around = around + F.leaky_relu(self.plain(pooled), self.slope)
        around = self.stretch(around, (x.shape[2], x.shape[3])) + narrow
        by_map = torch.sigmoid(F.relu(self.expand(around)))
        return by_map * x * torch.sigmoid(self.spread(self.point(x)))
