"""MemNet: memory blocks of recursions behind gates, on Y (Tai et al., ICCV 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.resize import BicubicEnlargement

if TYPE_CHECKING:
    from collections.abc import Sequence


class MemNet(Network):
    """Enlarge Y / 255 by ``scale``; the defaults are MemNet_M6R6_80C64.

    Its weights are published for Caffe alone, which is not read here.

    Args:
        scale: 2, 3 or 4; the layers are the same for all.
        channels: Maps of every layer.
        num_blocks: Memory blocks; each is reconstructed, and the network gives a learnt sum.
        recursions: How often a block applies its residual unit.
    """

    colour = "y"
    edge = 4

    def __init__(
        self, *, scale: int = 4, channels: int = 64, num_blocks: int = 6, recursions: int = 6
    ) -> None:
        super().__init__()
        self.scale = scale
        self.enlarge = BicubicEnlargement(scale=scale)
        self.first_norm = nn.BatchNorm2d(1)
        self.head = nn.Conv2d(1, channels, 3, padding=1)
        self.body = nn.ModuleList(
            MemoryBlock(channels=channels, recursions=recursions, before=number + 1)
            for number in range(num_blocks)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(num_blocks))
        self.last = nn.Conv2d(channels, 1, 3, padding=1)
        self.shares = nn.Parameter(torch.full((num_blocks,), 1.0 / num_blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 1, H, W), Y / 255, to (N, 1, scale H, scale W), not clipped."""
        self.check_input(x)
        image: Tensor = self.enlarge(x)
        memories: list[Tensor] = [self.head(F.relu(self.first_norm(image)))]
        total = torch.zeros_like(image)
        for block, norm, share in zip(self.body, self.norms, self.shares, strict=True):
            memories.append(block(memories))
            deep: Tensor = self.last(F.relu_(norm(memories[-1])))
            total = total + share * (image + deep.float())
        return total


class MemoryBlock(nn.Module):
    """One residual unit applied several times, and a 1x1 gate over its results and all memories.

    The convolutions are the same in every recursion, the normalisations are not.

    Args:
        channels: Channels in and out.
        recursions: How often the unit is applied.
        before: Memories that the gate sees, the block's input among them.
    """

    def __init__(self, *, channels: int, recursions: int, before: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norms1 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(recursions))
        self.norms2 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(recursions))
        self.norm = nn.BatchNorm2d((before + recursions) * channels)
        self.gate = nn.Conv2d((before + recursions) * channels, channels, 1)

    def forward(self, memories: Sequence[Tensor]) -> Tensor:
        """Map memories (N, C, H, W), the last of them the input, to the next one."""
        kept = list(memories)
        for norm1, norm2 in zip(self.norms1, self.norms2, strict=True):
            inner = self.conv1(F.relu_(norm1(kept[-1])))
            kept.append(kept[-1] + self.conv2(F.relu_(norm2(inner))))
        out: Tensor = self.gate(F.relu_(self.norm(torch.cat(kept, dim=1))))
        return out
