"""RDN: residual dense network (Zhang et al., CVPR 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.published import Names, Published, count_blocks, rename, shuffled_scale
from srcli.layers.upsampling import ShuffleUpsampling

if TYPE_CHECKING:
    from collections.abc import Mapping


class RDN(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the published model (D=16, C=8, G=64).

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body, G0.
        num_blocks: Residual dense blocks, D.
        depth: 3x3 convolutions of a block, C.
        growth: Channels that each of them adds, G.
    """

    edge = 4
    bf16 = False

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        num_blocks: int = 16,
        depth: int = 8,
        growth: int = 64,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.body = nn.ModuleList(
            LocallyDenseBlock(channels=channels, depth=depth, growth=growth)
            for _ in range(num_blocks)
        )
        self.fuse = nn.Conv2d(num_blocks * channels, channels, 1)
        self.tail = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = ShuffleUpsampling(channels=channels, scale=scale)
        self.last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        head: Tensor = self.head(x)
        features = self.second(head)
        outputs: list[Tensor] = []
        for block in self.body:
            features = block(features)
            outputs.append(features)
        fused = self.tail(self.fuse(torch.cat(outputs, dim=1)))
        out: Tensor = self.last(self.up(fused + head))
        return out


class LocallyDenseBlock(nn.Module):
    """RDB: 3x3 convolutions that each see all that came before, a 1x1, and the input added.

    Args:
        channels: Channels in and out.
        depth: 3x3 convolutions.
        growth: Channels that each of them adds.
    """

    def __init__(self, *, channels: int, depth: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(channels + i * growth, growth, 3, padding=1) for i in range(depth)
        )
        self.fuse = nn.Conv2d(channels + depth * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        joined = x
        for layer in self.layers:
            joined = torch.cat([joined, F.relu_(layer(joined))], dim=1)
        out: Tensor = self.fuse(joined)
        return out + x


_NAMES: Names = {
    r"^sfe1": "head",
    r"^sfe2": "second",
    r"^rdbs\.(\d+)\.layers\.(\d+)\.conv": r"body.\1.layers.\2",
    r"^rdbs\.(\d+)\.lff": r"body.\1.fuse",
    r"^gff\.0": "fuse",
    r"^gff\.1": "tail",
    r"^upscale\.": "up.",
    r"^output": "last",
}


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over the files of github.com/yjn870/RDN-pytorch: rdn_x2.pth, ..."""
    if not tensors.keys() >= {"sfe1.weight", "rdbs.0.layers.0.conv.weight", "gff.1.weight"}:
        return []
    found = rename(tensors, _NAMES)
    growth, channels = found["body.0.layers.0.weight"].shape[:2]
    return [
        Published(
            tensors=found,
            scales=(shuffled_scale(found, "up."),),
            options={
                "channels": channels,
                "num_blocks": count_blocks(found, r"body\.(\d+)"),
                "depth": count_blocks(found, r"body\.0\.layers\.(\d+)"),
                "growth": growth,
            },
        )
    ]
