"""LatticeNet: residual blocks crossed as in a lattice filter (Luo et al., ECCV 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.pooling import GlobalPool
from srcli.layers.published import (
    Names,
    Published,
    count_blocks,
    fold_shifts,
    from_zero,
    rename,
    shuffle_scale,
)
from srcli.layers.value_range import DIV2K_MEAN, ValueRange

if TYPE_CHECKING:
    from collections.abc import Mapping


class LatticeNet(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the published model.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body.
        inner: Channels between the convolutions of a block.
        num_blocks: Lattice blocks.
        reduction: How many times narrower the bottlenecks of the attention are.
        slope: Negative slope of the leaky ReLUs.
    """

    edge = 4
    pools_globally = True
    bf16 = False

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        inner: int = 48,
        num_blocks: int = 4,
        reduction: int = 16,
        slope: float = 0.05,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.range = ValueRange(mean=DIV2K_MEAN)
        self.head = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        )
        self.body = nn.ModuleList(
            LatticeBlock(channels=channels, inner=inner, reduction=reduction, slope=slope)
            for _ in range(num_blocks)
        )
        self.deep, self.shallow = (
            nn.ModuleList(nn.Conv2d(channels, channels // 2, 1) for _ in range(num_blocks - 1))
            for _ in range(2)
        )
        self.tail = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        head: Tensor = self.head(self.range(x))
        outputs = [head]
        for block in self.body:
            outputs.append(block(outputs[-1]))
        fused = outputs.pop()
        for deep, shallow in zip(self.deep, self.shallow, strict=True):  # backwards
            fused = F.relu_(torch.cat([deep(fused), shallow(outputs.pop())], dim=1))
        out: Tensor = self.up(self.tail(fused + head))
        return self.range.undo(F.pixel_shuffle(out, self.scale))


class LatticeBlock(nn.Module):
    """LB: two rows of three convolutions, crossed by channel factors before and behind the second.

    Args:
        channels: Channels in and out.
        inner: Channels between the convolutions.
        reduction: How many times narrower the bottlenecks of the attention are.
        slope: Negative slope of the leaky ReLUs.
    """

    def __init__(self, *, channels: int, inner: int, reduction: int, slope: float) -> None:
        super().__init__()
        self.first, self.second = nn.Sequential(), nn.Sequential()
        for row in (self.first, self.second):
            for taken, given in ((channels, inner), (inner, inner), (inner, channels)):
                row.append(nn.Conv2d(taken, given, 3, padding=1))
                row.append(nn.LeakyReLU(slope))
        self.gates = nn.ModuleList(CombinationCoefficient(channels, reduction) for _ in range(4))
        self.fuse = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        of_first, of_input, of_lower, of_second = self.gates
        first: Tensor = self.first(x)
        upper, lower = x + of_first(first) * first, first + of_input(x) * x
        second: Tensor = self.second(upper)
        upper, lower = second + of_lower(lower) * lower, lower + of_second(second) * second
        out: Tensor = self.fuse(torch.cat([upper, lower], dim=1))
        return out


class CombinationCoefficient(nn.Module):
    """CC: a factor for each channel, computed from its global mean and standard deviation.

    Args:
        channels: Channels in and out.
        reduction: How many times narrower the bottlenecks are.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.mean, self.contrast = GlobalPool("mean"), GlobalPool("contrast")
        self.of_mean, self.of_deviation = (
            nn.Sequential(
                nn.Conv2d(channels, channels // reduction, 1),
                nn.ReLU(),
                nn.Conv2d(channels // reduction, channels, 1),
                nn.Sigmoid(),
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return factors (1 or N, C, 1, 1) in (0, 1) for (N, C, H, W)."""
        mean: Tensor = self.mean(x)
        deviation: Tensor = self.contrast(x) - mean  # contrast is the sum of both
        factors: Tensor = (self.of_mean(mean) + self.of_deviation(deviation)) / 2
        return factors


_NAMES: Names = {
    r"^(sub|add)_mean\..*": "",
    r"^conv([12])\.": from_zero("head.", "."),
    r"^body_unit(\d+)": from_zero("body."),
    r"\.conv_block0": ".first",
    r"\.conv_block1": ".second",
    r"\.fea_ca1": ".gates.0",
    r"\.x_ca1": ".gates.1",
    r"\.fea_ca2": ".gates.2",
    r"\.x_ca2": ".gates.3",
    r"\.conv_mean": ".of_mean",
    r"\.conv_std": ".of_deviation",
    r"\.compress": ".fuse",
    r"^T_tdm(\d+)\.0": from_zero("deep."),
    r"^L_tdm(\d+)\.0": from_zero("shallow."),
    r"^tail\.0": "tail",
    r"^tail\.1": "up",
}


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over the files of github.com/ymff0592/super-resolution: LatticeNet_x2.pt, ..."""
    if not tensors.keys() >= {"conv1.weight", "body_unit1.compress.weight", "tail.1.weight"}:
        return []
    return [
        Published(
            tensors=fold_shifts(rename(tensors, _NAMES), tensors, first="head.0", last="up"),
            scales=(shuffle_scale(tensors["tail.1.weight"]),),
            options={
                "channels": len(tensors["conv1.weight"]),
                "inner": len(tensors["body_unit1.conv_block0.0.weight"]),
                "num_blocks": count_blocks(tensors, r"body_unit(\d+)"),
            },
        )
    ]
