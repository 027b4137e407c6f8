"""Two networks as one, whose outputs are interpolated.

Weights of equal shapes are interpolated themselves (``srcli.models.loading``); this is
for networks that differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from srcli.layers.colour import as_rgb_network
from srcli.layers.network import Network, widened


class Mixture(Network):
    """Outputs of a first network, moved by ``share``, 0 to 1, towards those of a second."""

    share: Tensor
    members: Iterable[Network]

    def __init__(self, networks: Iterable[Network], share: float | Tensor) -> None:
        super().__init__()
        members = [as_rgb_network(network) for network in networks]
        self.members = nn.ModuleList(members)  # type: ignore[assignment]
        # a buffer, so that the digest of the weights tells shares apart
        self.register_buffer("share", torch.as_tensor(share))
        self.scale = members[0].scale
        self.multiple_of = math.lcm(*(member.multiple_of for member in members))
        self.minimum = max(member.minimum for member in members)
        self.edge = max(member.edge for member in members)
        self.tile_step = max(member.tile_step for member in members)
        self.pools_globally = any(member.pools_globally for member in members)
        self.tiles = all(member.tiles for member in members)
        self.fp16 = all(member.fp16 for member in members)
        self.bf16 = all(member.bf16 for member in members)

    def _enlarge(self, x: Tensor) -> Tensor:
        start, end = (widened(member(x)) for member in self.members)
        return start.lerp(end, self.share)
