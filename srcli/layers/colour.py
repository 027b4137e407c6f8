"""Colours of tensors: BT.601 limited-range Y, Cb and Cr, and networks on Y run on RGB by them.

The numbers are those of ``srcli.imaging.pixels.values``; all tensors are of fp32 at least.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.values import GRAY_SHARES, RGB_TO_YCBCR, YCBCR_OFFSET
from srcli.layers.network import Network, full_precision
from srcli.layers.resize import bicubic_resize

_SHIFT = YCBCR_OFFSET / 255.0
_TO_YCBCR = RGB_TO_YCBCR / 255.0
_TO_RGB = np.linalg.inv(_TO_YCBCR)


def luma(x: Tensor) -> Tensor:
    """Return Y, (N, 1, H, W) in 16/255..235/255, of RGB (N, 3, H, W) in [0, 1]."""
    return _mix(x, _TO_YCBCR[:1]) + float(_SHIFT[0])


def rgb_to_ycbcr(x: Tensor) -> Tensor:
    """Return Y, Cb and Cr (in 16/255..240/255) of RGB, not rounded; see ``luma``."""
    return _shifted(_mix(x, _TO_YCBCR), _SHIFT)


def ycbcr_to_rgb(x: Tensor) -> Tensor:
    """Return RGB of Y, Cb and Cr, not clipped: the inverse of ``rgb_to_ycbcr``."""
    return _mix(_shifted(x, -_SHIFT), _TO_RGB)


def _mix(x: Tensor, rows: Array) -> Tensor:
    # Sums of planes, not a matrix product: that would run in TF32 on a GPU and lose
    # 8-bit steps.
    first, second, third = x.unbind(1)
    planes = [first * a + second * b + third * c for a, b, c in rows.tolist()]
    return torch.stack(planes, dim=1)


def _shifted(x: Tensor, offsets: Array) -> Tensor:
    # Numbers of Python, not a tensor: copying one to a GPU would wait for the GPU.
    planes = [x[:, i] + offset for i, offset in enumerate(offsets.tolist())]
    return torch.stack(planes, dim=1)


class LumaOnRgb(Network):
    """Enlarge RGB by a network that takes and gives Y.

    Y is not rounded on the way. Cb and Cr are enlarged by MATLAB-compatible bicubic
    interpolation of floats. A gray picture comes as R = G = B and stays so (its Cb and
    Cr are constant): the network then sees it in the range 16..235 of 255 that it was
    trained on, and gray files come out as their RGB copies do.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.scale = network.scale
        self.multiple_of = network.multiple_of
        self.minimum = network.minimum

    def _enlarge(self, x: Tensor) -> Tensor:
        # Only the network itself may run in half precision: colours keep their 8-bit
        # steps.
        with full_precision(x.device):
            ycbcr = rgb_to_ycbcr(x.float())
            chroma = bicubic_resize(ycbcr[:, 1:], self.scale)
        y: Tensor = self.network(ycbcr[:, :1])
        with full_precision(x.device):
            return ycbcr_to_rgb(torch.cat([y.float(), chroma], dim=1))


class LumaOnGray(LumaOnRgb):
    """Enlarge pictures that hold Y in each channel by a network that takes and gives Y."""

    def _enlarge(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(x[:, :1])
        return y.expand(-1, 3, -1, -1)


class GrayOnRgb(LumaOnRgb):
    """Enlarge RGB by a network that takes and gives gray values.

    Gray of full range goes through the network; what colours differ from it by is
    enlarged by MATLAB-compatible bicubic interpolation. A gray picture comes as R = G = B
    and gets what the network makes of it, in all three.
    """

    def _enlarge(self, x: Tensor) -> Tensor:
        with full_precision(x.device):
            gray = gray_of(x.float())
            differences = bicubic_resize(x.float() - gray, self.scale)
        enlarged: Tensor = self.network(gray)
        with full_precision(x.device):
            return enlarged.float() + differences


def gray_of(x: Tensor) -> Tensor:
    """Return gray (N, 1, H, W) in [0, 1] of RGB (N, 3, H, W): luma of full range.

    It is red's value where all three are equal.
    """
    red, green, blue = torch.split(x, 1, dim=1)
    _, green_share, blue_share = GRAY_SHARES
    return red + green_share * (green - red) + blue_share * (blue - red)


def as_rgb_network(network: Network) -> Network:
    """Return a network on RGB: itself, or wrapped where its ``colour`` is another."""
    if network.colour == "gray":
        return GrayOnRgb(network)
    return LumaOnRgb(network) if network.colour == "y" else network


def as_gray_network(network: Network) -> Network:
    """Return a network for pictures with Y in each channel: itself, or wrapped."""
    return network if network.colour == "rgb" else LumaOnGray(network)
