"""Compared networks of ESRGAN and Real-ESRGAN: RRDBNet and SRVGGNetCompact."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.blocks import Residual, conv, convs, repeat
from srcli.layers.network import (
    Network,
    SkiplessNetwork,
    in_autocast_type,
    run_without_bf16,
    widened,
)

SLOPE = 0.2
"""Negative slope of RRDBNet's leaky ReLUs, and the factor on every residual."""


class RRDBNet(SkiplessNetwork):
    """Dense blocks within residual blocks (Wang et al., ECCV workshops 2018).

    The defaults are the published model, x4. Real-ESRGAN's models for x2 and x1 are the
    same network behind a pixel-unshuffle.

    In bf16 the first and the last convolution and all sums of residuals stay in fp32:
    the picture goes through them.

    Args:
        scale: 1, 2, 4 or 8.
        num_blocks: Residual-in-residual dense blocks (23; 6 in the model for anime).
        growth: Channels that each convolution of a dense block adds.
        unshuffle: Side of the blocks of pixels that become channels at first; 0 takes
            Real-ESRGAN's, 4 / ``scale``.
        picture_channels: 3, or 1 for gray pictures.
    """

    bf16 = True

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        num_blocks: int = 23,
        growth: int = 32,
        unshuffle: int = 0,
        picture_channels: int = 3,
    ) -> None:
        super().__init__(scale)
        self.colour = "gray" if picture_channels == 1 else "rgb"
        self.unshuffle = unshuffle or max(4 // scale, 1)
        self.multiple_of = self.unshuffle
        self.head = conv(picture_channels * self.unshuffle**2, channels)

        def dense() -> nn.Module:
            return DenselyConnected(channels, growth)

        self.body = repeat(lambda: Residual(SLOPE, blocks=repeat(dense, 3)), num_blocks)
        self.tail = conv(channels, channels)
        doublings = round(math.log2(scale * self.unshuffle))
        self.up = convs([(channels, channels)] * doublings)
        self.full = conv(channels, channels)
        self.last = conv(channels, picture_channels)

    def _enlarge(self, x: Tensor) -> Tensor:
        head = run_without_bf16(self.head, F.pixel_unshuffle(x, self.unshuffle))
        out: Tensor = head + self.tail(self.body(head))
        for layer in self.up:
            out = F.leaky_relu_(layer(F.interpolate(out, scale_factor=2.0)), SLOPE)
        out = F.leaky_relu_(self.full(out), SLOPE)
        return run_without_bf16(self.last, out)


class DenselyConnected(nn.Module):
    """Five 3x3 convolutions that each see all that came before; the input is added.

    Each but the last adds ``growth`` channels.
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        widths = [(channels + number * growth, growth) for number in range(4)]
        self.layers = convs([*widths, (channels + 4 * growth, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        joined = in_autocast_type(x)
        for layer in self.layers[:-1]:
            joined = torch.cat([joined, F.leaky_relu_(layer(joined), SLOPE)], dim=1)
        return torch.add(x, self.layers[-1](joined), alpha=SLOPE)


class SRVGGNetCompact(Network):
    """Real-ESRGAN's compact network: convolutions that correct nearest neighbours (2021).

    The defaults are realesr-animevideov3's; ``depth`` counts the convolutions between
    the first and the last, 32 in realesr-general-x4v3; ``picture_channels`` are 3, or 1
    for gray pictures.
    """

    edge = 4

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        depth: int = 16,
        picture_channels: int = 3,
    ) -> None:
        super().__init__(scale)
        self.colour = "gray" if picture_channels == 1 else "rgb"
        self.body = nn.Sequential()
        for width in (picture_channels, *[channels] * depth):
            self.body.append(conv(width, channels))
            self.body.append(nn.PReLU(channels))
        self.body.append(conv(channels, picture_channels * scale * scale))

    def _enlarge(self, x: Tensor) -> Tensor:
        out = F.pixel_shuffle(self.body(x), self.scale)
        return widened(out) + F.interpolate(widened(x), scale_factor=float(self.scale))
