"""DRRN: one residual unit applied 25 times, on Y (Tai et al., CVPR 2017)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.resize import BicubicEnlargement


class DRRN(Network):
    """Enlarge Y / 255 by ``scale``; the defaults are DRRN_B1U25.

    As in the authors' Caffe files, the convolutions are the same in every unit, the normalisations
    are not. The weights are published for Caffe alone, which is not read here.

    Args:
        scale: 2, 3 or 4; the layers are the same for all.
        channels: Maps of every layer.
        units: How often the residual unit is applied.
    """

    colour = "y"
    edge = 4

    def __init__(self, *, scale: int = 4, channels: int = 128, units: int = 25) -> None:
        super().__init__()
        self.scale = scale
        self.enlarge = BicubicEnlargement(scale=scale)
        self.first_norm = nn.BatchNorm2d(1)
        self.head = nn.Conv2d(1, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norms1 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(units))
        self.norms2 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(units))
        self.last_norm = nn.BatchNorm2d(channels)
        self.last = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 1, H, W), Y / 255, to (N, 1, scale H, scale W), not clipped."""
        self.check_input(x)
        image: Tensor = self.enlarge(x)
        head: Tensor = self.head(F.relu(self.first_norm(image)))
        out = head
        for norm1, norm2 in zip(self.norms1, self.norms2, strict=True):
            inner = self.conv1(F.relu_(norm1(out)))
            out = self.conv2(F.relu_(norm2(inner))) + head
        deep: Tensor = self.last(F.relu_(self.last_norm(out)))
        return image + deep.float()
