"""LapSRN: a Laplacian pyramid of residuals, doubled level by level, on Y (Lai et al., 2017)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.upsampling import STEPS


class LapSRN(Network):
    """Enlarge Y / 255 by ``scale``; the defaults are the model of the authors' code.

    Each level doubles; the authors' x3 is x4 made smaller. Their weights are published for MATLAB
    alone, which is not read here.

    Args:
        scale: 2 or 4.
        channels: Channels of the features.
        depth: Convolutions of a level, before its upsampling.
        slope: Negative slope of the leaky ReLUs.
    """

    colour = "y"
    edge = 4
    bf16 = False

    def __init__(
        self, *, scale: int = 4, channels: int = 64, depth: int = 10, slope: float = 0.2
    ) -> None:
        super().__init__()
        self.scale = scale
        self.slope = slope
        self.head = nn.Conv2d(1, channels, 3, padding=1)
        self.levels = nn.ModuleList(
            PyramidLevel(channels=channels, depth=depth, slope=slope) for _ in STEPS[scale]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 1, H, W), Y / 255, to (N, 1, scale H, scale W), not clipped."""
        self.check_input(x)
        features, image = F.leaky_relu(self.head(x), self.slope), x
        for level in self.levels:
            features, image = level(features, image)
        return image


class PyramidLevel(nn.Module):
    """Convolutions and a learnt doubling of the features; their residual is added to the picture.

    Args:
        channels: Channels of the features.
        depth: Convolutions before the upsampling.
        slope: Negative slope of the leaky ReLUs.
    """

    def __init__(self, *, channels: int, depth: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        layers = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth)]
        self.layers = nn.ModuleList(layers)
        self.up = nn.ConvTranspose2d(channels, channels, 3, stride=2)
        self.residual = nn.Conv2d(channels, 1, 3, padding=1)
        for layer in (*layers, self.up, self.residual):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type] # it has one
        self.enlarge = nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1, bias=False)
        bilinear = torch.tensor([0.25, 0.75, 0.75, 0.25])
        self.enlarge.weight.data.copy_(bilinear[:, None] * bilinear)

    def forward(self, features: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Double (N, C, H, W) and (N, 1, H, W)."""
        for layer in self.layers:
            features = F.leaky_relu(layer(features), self.slope)
        # The last row and column are cut off, as in the authors' code.
        features = F.leaky_relu(self.up(features)[..., :-1, :-1], self.slope)
        return features, self.enlarge(image) + self.residual(features)
