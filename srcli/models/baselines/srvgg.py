"""SRVGGNetCompact of Real-ESRGAN: plain convolutions that correct nearest neighbours (2021)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.published import Published, count_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping


class SRVGGNetCompact(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are realesr-animevideov3's.

    Args:
        scale: 1, 2, 3 or 4.
        channels: Channels of the body.
        depth: Convolutions between the first and the last (16; 32 in realesr-general-x4v3).
    """

    edge = 4

    def __init__(self, *, scale: int = 4, channels: int = 64, depth: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.body = nn.Sequential()
        for taken in (3, *[channels] * depth):
            self.body.append(nn.Conv2d(taken, channels, 3, padding=1))
            self.body.append(nn.PReLU(channels))
        self.body.append(nn.Conv2d(channels, 3 * scale * scale, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        out = F.pixel_shuffle(self.body(x), self.scale)
        return out.float() + F.interpolate(x.float(), scale_factor=float(self.scale))


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over files of Real-ESRGAN: realesr-animevideov3.pth, realesr-general-x4v3.pth, ..."""
    layers = count_blocks(tensors, r"body\.(\d+)\.weight$")
    last = tensors.get(f"body.{layers - 1}.bias")
    if last is None or len(tensors) != 2 * layers - layers // 2 or layers % 2 == 0:
        return []
    return [
        Published(
            tensors=dict(tensors),
            scales=(math.isqrt(len(last) // 3),),
            options={"channels": len(tensors["body.0.weight"]), "depth": (layers - 3) // 2},
        )
    ]
