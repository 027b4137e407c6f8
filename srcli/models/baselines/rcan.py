"""RCAN: residual channel attention network, 400 layers deep (Zhang et al., ECCV 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import ChannelAttention
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


class RCAN(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the published model.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body.
        num_groups: Residual groups.
        num_blocks: Channel attention blocks of a group.
        reduction: How many times narrower the bottleneck of the attention is.
    """

    edge = 4
    pools_globally = True
    bf16 = False

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        num_groups: int = 10,
        num_blocks: int = 20,
        reduction: int = 16,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.range = ValueRange(mean=DIV2K_MEAN)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential()
        for _ in range(num_groups):
            blocks = [
                ChannelAttentionBlock(channels=channels, reduction=reduction)
                for _ in range(num_blocks)
            ]
            self.body.append(ResidualGroup(blocks, channels=channels))
        self.tail = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = ShuffleUpsampling(channels=channels, scale=scale)
        self.last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        head: Tensor = self.head(self.range(x))
        out: Tensor = self.last(self.up(head + self.tail(self.body(head))))
        return self.range.undo(out)


class ChannelAttentionBlock(nn.Module):
    """RCAB: two 3x3 convolutions, channel attention, and the input added.

    Args:
        channels: Channels in and out.
        reduction: How many times narrower the bottleneck of the attention is.
    """

    def __init__(self, *, channels: int, reduction: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.attention = ChannelAttention(channels=channels, reduction=reduction)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.attention(self.conv2(F.relu_(self.conv1(x))))
        return out + x


class ResidualGroup(nn.Module):
    """Blocks in a row, a 3x3 convolution, and the input added.

    Args:
        blocks: Each maps ``channels`` to ``channels``.
        channels: Channels in and out.
    """

    def __init__(self, blocks: list[ChannelAttentionBlock], *, channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.last(self.blocks(x))
        return out + x


_BASICSR: Names = {
    r"^conv_first": "head",
    r"\.residual_group\.": ".blocks.",
    r"\.rcab\.0": ".conv1",
    r"\.rcab\.2": ".conv2",
    r"\.rcab\.3\.attention\.1": ".attention.squeeze",
    r"\.rcab\.3\.attention\.3": ".attention.expand",
    r"^(body\.\d+)\.conv\.": r"\1.last.",
    r"^conv_after_body": "tail",
    r"^upsample\.": "up.",
    r"^conv_last": "last",
}


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over the files of github.com/yulunzhang/RCAN (RCAN_BIX4.pt, ...) and of BasicSR."""
    if "body.0.body.0.body.3.conv_du.0.weight" in tensors:
        groups = count_blocks(tensors, r"body\.(\d+)\.body")
        blocks = count_blocks(tensors, r"body\.0\.body\.(\d+)\.body")
        names: Names = {
            r"^(sub|add)_mean\..*": "",
            r"^head\.0": "head",
            r"^(body\.\d+)\.body\.(\d+)\.body": r"\1.blocks.\2",
            r"^(body\.\d+\.blocks\.\d+)\.0": r"\1.conv1",
            r"^(body\.\d+\.blocks\.\d+)\.2": r"\1.conv2",
            r"\.3\.conv_du\.0": ".attention.squeeze",
            r"\.3\.conv_du\.2": ".attention.expand",
            rf"^(body\.\d+)\.body\.{blocks}\.": r"\1.last.",
            rf"^body\.{groups}\.": "tail.",
            r"^tail\.0\.": "up.",
            r"^tail\.1\.": "last.",
        }
    elif "body.0.residual_group.0.rcab.0.weight" in tensors:
        groups = count_blocks(tensors, r"body\.(\d+)")
        blocks = count_blocks(tensors, r"body\.0\.residual_group\.(\d+)")
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
                "num_groups": groups,
                "num_blocks": blocks,
                "reduction": channels // len(found["body.0.blocks.0.attention.squeeze.weight"]),
            },
        )
    ]
