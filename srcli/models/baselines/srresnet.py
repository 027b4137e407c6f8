"""SRResNet, the generator of SRGAN (Ledig et al., CVPR 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.upsampling import ShuffleUpsampling


class SRResNet(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the published model.

    The authors published neither code nor weights; activation and slopes follow the paper.

    Args:
        scale: 2, 3 or 4 (4 in the paper).
        channels: Channels of the body.
        num_blocks: Residual blocks, with batch normalisation.
    """

    edge = 4
    bf16 = False

    def __init__(self, *, scale: int = 4, channels: int = 64, num_blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(*(NormalisedBlock(channels=channels) for _ in range(num_blocks)))
        self.tail = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        )
        self.up = ShuffleUpsampling(channels=channels, scale=scale, activation=nn.PReLU)
        self.last = nn.Conv2d(channels, 3, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        head: Tensor = self.head(x)
        out: Tensor = self.last(self.up(head + self.tail(self.body(head))))
        return out


class NormalisedBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, a PReLU between them; the input is added.

    Args:
        channels: Channels in and out.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.layers(x)
        return out + x
