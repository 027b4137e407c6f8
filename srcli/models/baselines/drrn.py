"""DRRN: one residual unit applied 25 times, on Y (Tai et al., CVPR 2017)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.resize import BicubicEnlargement


class DRRN(Network):
    """Enlarge Y / 255 by ``scale``; the defaults are DRRN_B1U25.

    The normalisations of the authors' Caffe network are left out, as re-implementations do; its
    weights are published for Caffe alone, which is not read here.

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
        self.units = units
        self.enlarge = BicubicEnlargement(scale=scale)

        def conv(taken: int, given: int) -> nn.Conv2d:
            return nn.Conv2d(taken, given, 3, padding=1, bias=False)

        self.head = conv(1, channels)
        self.conv1, self.conv2 = conv(channels, channels), conv(channels, channels)
        self.last = conv(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 1, H, W), Y / 255, to (N, 1, scale H, scale W), not clipped."""
        self.check_input(x)
        image: Tensor = self.enlarge(x)
        head: Tensor = self.head(F.relu(image))
        out = head
        for _ in range(self.units):
            out = self.conv2(F.relu_(self.conv1(F.relu(out)))) + head
        deep: Tensor = self.last(F.relu_(out))
        return image + deep.float()
