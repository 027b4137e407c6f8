"""Upsampling of features by convolutions and sub-pixel shuffles, as the EDSR family has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

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
