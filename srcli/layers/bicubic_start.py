"""Weights by which a network that is to be trained enlarges bicubically."""

from __future__ import annotations

import torch
from torch import nn

from srcli.errors import ModelError
from srcli.layers.blocks import damp
from srcli.layers.resize import bicubic_phases

CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
"""Moves, down and right in pixels, of the copies of ``start_bicubic_by_corners``."""


@torch.no_grad()
def start_bicubic_by_corners(
    head: nn.Conv2d, up: nn.Conv2d, scale: int, *, gain: float
) -> int:
    """Set weights by which a network enlarges bicubically, in its first channels.

    Twelve channels of ``head`` become copies of R, G and B, each moved by a pixel to
    one of the four corners; through them the 3x3 kernels of ``up``, which stands before
    a sub-pixel shuffle, reach as far as the 5x5 of bicubic interpolation, whose kernels
    are added to ``gain`` times its first weights. Returns the number of these channels;
    ModelError if the network has fewer.
    """
    copies = 3 * len(CORNERS)
    if head.out_channels < copies:
        raise ModelError(
            f"a bicubic start takes {copies} channels or more, not {head.out_channels}; "
            "set start_from_bicubic=false"
        )
    assert head.bias is not None
    damp(up, gain)
    head.bias[:copies] = 0
    head.weight[:copies] = 0
    # The middle row and column are seen by two copies (the centre by four), which share
    # them.
    share = torch.tensor([1.0, 1.0, 0.5, 1.0, 1.0])
    shared = bicubic_phases(scale) * share[:, None] * share
    phases = scale * scale
    for number, (down, right) in enumerate(CORNERS):
        kernels = shared[:, 1 + down : 4 + down, 1 + right : 4 + right]
        for colour in range(3):
            channel = 3 * number + colour
            head.weight[channel, colour, 1 + down, 1 + right] = 1
            up.weight[colour * phases : (colour + 1) * phases, channel] += kernels
    return copies
