"""Upsampling of features by convolutions and sub-pixel shuffles, as the EDSR family has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

STEPS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
"""Factors, one after the other, by scale."""


class ShuffleUpsampling(nn.Sequential):
    """Convolution and sub-pixel shuffle (Shi et al. 2016), once for each factor of the scale.

    Args:
        channels: Channels in and out.
        scale: A key of ``STEPS``.
        activation: Makes what follows each shuffle; None for nothing.
        groups: Groups of the convolutions.
    """

    def __init__(
        self,
        *,
        channels: int,
        scale: int,
        activation: Callable[[], nn.Module] | None = None,
        groups: int = 1,
    ) -> None:
        super().__init__()
        for factor in STEPS[scale]:
            out = channels * factor**2
            self.append(nn.Conv2d(channels, out, 3, padding=1, groups=groups))
            self.append(nn.PixelShuffle(factor))
            if activation is not None:
                self.append(activation())


@torch.no_grad()
def merge_convolutions(layers: nn.Module, *, channels: int, scale: int = 1) -> nn.Conv2d:
    """Return the one 5x5 convolution that layers are which have no activations between them.

    Equal to rounding but for the outermost input pixel, where maps between the layers are padded.

    Args:
        layers: Two 3x3 convolutions, or three with pixel shuffles between them by ``scale`` in all;
            each output pixel depends on 5x5 input pixels around its place.
        channels: That go in.
        scale: Output pixels per input pixel; above 1 a pixel shuffle is to follow.
    """
    side = 5
    impulses = torch.zeros(channels + 1, channels, side, side)  # and the last is of none
    impulses[range(channels), range(channels), side // 2, side // 2] = 1
    out: Tensor = layers(impulses)
    found = out.view(channels + 1, -1, side, scale, side, scale)
    constant = found[-1]
    kernels = (found[:-1] - constant).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
    merged = nn.Conv2d(channels, out.shape[1] * scale**2, side, padding=side // 2)
    merged.weight.copy_(kernels.reshape(merged.weight.shape))
    assert merged.bias is not None
    merged.bias.copy_(constant[:, side // 2, :, side // 2].flatten())
    return merged.eval()
