"""DRCN: one convolution applied 16 times, on Y (Kim et al., CVPR 2016)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.resize import BicubicEnlargement


class DRCN(Network):
    """Enlarge Y / 255 by ``scale``; the defaults are the published model.

    Args:
        scale: 2, 3 or 4; the layers are the same for all.
        channels: Maps of every layer.
        recursions: How often the middle convolution is applied; each result is reconstructed, and
            the network gives their learnt average.
    """

    colour = "y"
    edge = 4

    def __init__(self, *, scale: int = 4, channels: int = 256, recursions: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.enlarge = BicubicEnlargement(scale=scale)

        def conv(taken: int, given: int) -> nn.Conv2d:
            return nn.Conv2d(taken, given, 3, padding=1)

        self.embed = nn.ModuleList([conv(1, channels), conv(channels, channels)])
        self.recur = conv(channels, channels)
        self.rebuild = nn.ModuleList([conv(channels, channels), conv(channels, 1)])
        self.shares = nn.Parameter(torch.full((recursions,), 1.0 / recursions))

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 1, H, W), Y / 255, to (N, 1, scale H, scale W), not clipped."""
        self.check_input(x)
        image: Tensor = self.enlarge(x)
        features = image
        for conv in self.embed:
            features = F.relu_(conv(features))
        total = torch.zeros_like(image)
        first, last = self.rebuild
        for share in self.shares / self.shares.sum():
            features = F.relu(self.recur(features))
            total = total + share * last(F.relu_(first(features))).float()
        return image + total  # every reconstruction adds to the same picture
