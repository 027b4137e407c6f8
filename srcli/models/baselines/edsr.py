"""EDSR: wide residual blocks without normalisation (Lim et al., CVPR workshops 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.published import (
    Names,
    Published,
    count_blocks,
    fold_shifts,
    rename,
    shuffled_scale,
)
from srcli.layers.upsampling import ShuffleUpsampling
from srcli.layers.value_range import DIV2K_MEAN, ValueRange

if TYPE_CHECKING:
    from collections.abc import Mapping


class EDSR(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the large model of the paper.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body (256; 64 in the baseline).
        num_blocks: Residual blocks (32; 16 in the baseline).
        residual_scale: Factor on the output of a block (0.1; 1 in the baseline).
    """

    edge = 4
    bf16 = False

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 256,
        num_blocks: int = 32,
        residual_scale: float = 0.1,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.range = ValueRange(mean=DIV2K_MEAN)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        blocks = (ResidualBlock(channels=channels, scale=residual_scale) for _ in range(num_blocks))
        self.body = nn.Sequential(*blocks)
        self.tail = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = ShuffleUpsampling(channels=channels, scale=scale)
        self.last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        head: Tensor = self.head(self.range(x))
        out: Tensor = self.last(self.up(head + self.tail(self.body(head))))
        return self.range.undo(out)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a ReLU between them; the input is added.

    Args:
        channels: Channels in and out.
        scale: Factor on what is added to the input.
    """

    def __init__(self, *, channels: int, scale: float = 1.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.conv2(F.relu_(self.conv1(x)))
        return torch.add(x, out, alpha=self.scale)


_BASICSR: Names = {
    r"^conv_first": "head",
    r"^(body\.\d+)\.conv([12])": r"\1.conv\2",
    r"^conv_after_body": "tail",
    r"^upsample\.": "up.",
    r"^conv_last": "last",
}


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over the files of EDSR-PyTorch (edsr_x4-4f62e9ef.pt, ...) and those of BasicSR."""
    if tensors.keys() >= {"head.0.weight", "body.0.body.2.weight", "tail.1.weight"}:
        blocks = count_blocks(tensors, r"body\.(\d+)\.body\.0\.weight")
        names: Names = {
            r"^(sub|add)_mean\..*": "",
            r"^head\.0": "head",
            r"^body\.(\d+)\.body\.0": r"body.\1.conv1",
            r"^body\.(\d+)\.body\.2": r"body.\1.conv2",
            rf"^body\.{blocks}\.": "tail.",
            r"^tail\.0\.": "up.",
            r"^tail\.1\.": "last.",
        }
    elif tensors.keys() >= {"conv_after_body.weight", "body.0.conv1.weight"}:
        blocks = count_blocks(tensors, r"body\.(\d+)")
        names = _BASICSR
    else:
        return []
    found = fold_shifts(rename(tensors, names), tensors, first="head", last="last")
    channels = len(found["head.weight"])
    return [
        Published(
            tensors=found,
            scales=(shuffled_scale(found, "up."),),
            options={
                "channels": channels,
                "num_blocks": blocks,
                "residual_scale": 0.1 if channels == 256 else 1.0,
            },
        )
    ]
