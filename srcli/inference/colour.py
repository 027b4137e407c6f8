"""Run networks on Y for RGB: Y by the network, Cb and Cr by bicubic interpolation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from srcli.layers.colour import rgb_to_ycbcr, ycbcr_to_rgb
from srcli.layers.network import Network
from srcli.layers.precision import full_precision
from srcli.layers.resize import bicubic_resize

if TYPE_CHECKING:
    from torch import Tensor


class _LumaNetwork(Network):
    """A network on RGB around one on Y, for pictures of the same sizes."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.scale = network.scale
        self.multiple_of = network.multiple_of
        self.minimum = network.minimum


class LumaOnRgb(_LumaNetwork):
    """Enlarge RGB by a network that takes and gives Y.

    Y is not rounded on the way. Cb and Cr are enlarged by MATLAB-compatible bicubic interpolation
    of floats. A gray picture comes as R = G = B and stays so (its Cb and Cr are constant): the
    network then sees it in the range 16..235 of 255 that it was trained on, and gray files come
    out as their RGB copies do.

    Args:
        network: Takes and gives (N, 1, H, W), Y / 255; has ``scale``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W) in fp32, not clipped."""
        # Only the network itself may run in half precision: colours keep their 8-bit steps.
        with full_precision(x.device):
            ycbcr = rgb_to_ycbcr(x.float())
            chroma = bicubic_resize(ycbcr[:, 1:], self.scale)
        y: Tensor = self.network(ycbcr[:, :1])
        with full_precision(x.device):
            return ycbcr_to_rgb(torch.cat([y.float(), chroma], dim=1))


class LumaOnGray(_LumaNetwork):
    """Enlarge pictures that hold Y in each of their channels by a network that takes and gives Y.

    Args:
        network: See ``LumaOnRgb``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W), all channels alike, to (N, 3, scale H, scale W), not clipped."""
        y: Tensor = self.network(x[:, :1])
        return y.expand(-1, 3, -1, -1)


def as_rgb_network(network: Network) -> Network:
    """Return a network that takes and gives RGB: itself, or wrapped where its ``colour`` is y."""
    return LumaOnRgb(network) if network.colour == "y" else network


def as_gray_network(network: Network) -> Network:
    """Return a network for pictures that hold Y in each channel: itself, or wrapped as above."""
    return LumaOnGray(network) if network.colour == "y" else network
