"""RLFN: residual local feature network (Kong et al., CVPR workshops 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import EnhancedSpatialAttention
from srcli.layers.local_features import ResidualLocalFeatureBlock
from srcli.layers.network import Network
from srcli.layers.published import Names, Published, count_blocks, from_zero, rename, shuffle_scale
from srcli.layers.value_range import ValueRange

if TYPE_CHECKING:
    from collections.abc import Mapping


class RLFN(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are RLFN, 48 channels are RLFN-S.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body (52; 48 in RLFN-S, 46 in the NTIRE 2022 challenge).
        num_blocks: Residual local feature blocks (6; 4 in the challenge).
        inner: Channels between the convolutions of a block, 0 for ``channels`` (48 in the
            challenge).
        esa_channels: Channels inside the attention of a block.
        slope: Negative slope of the leaky ReLUs.
    """

    edge = 4
    bf16 = False
    minimum = EnhancedSpatialAttention.MINIMUM
    tile_step = EnhancedSpatialAttention.STEP

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 52,
        num_blocks: int = 6,
        inner: int = 0,
        esa_channels: int = 16,
        slope: float = 0.05,
    ) -> None:
        super().__init__()
        self.scale = scale
        inner = inner or channels
        widths = ((channels, inner), (inner, inner), (inner, channels))
        self.range = ValueRange(top=255.0)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(
            *(
                ResidualLocalFeatureBlock(
                    [nn.Conv2d(taken, given, 3, padding=1) for taken, given in widths],
                    channels=channels,
                    esa_channels=esa_channels,
                    slope=slope,
                )
                for _ in range(num_blocks)
            )
        )
        self.tail = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        head: Tensor = self.head(self.range(x))
        out: Tensor = self.up(self.tail(self.body(head)) + head)
        return self.range.undo(F.pixel_shuffle(out, self.scale))


_NAMES: Names = {
    r"^conv_1": "head",
    r"^conv_2": "tail",
    r"^block_(\d+)": from_zero("body."),
    r"\.c([123])_r": from_zero(".refine."),
    r"\.c5\.": ".fuse.",
    r"\.esa\.conv1": ".attention.squeeze",
    r"\.esa\.conv_f": ".attention.direct",
    r"\.esa\.conv2": ".attention.stride",
    r"\.esa\.conv3": ".attention.pooled",
    r"\.esa\.conv4": ".attention.expand",
    r"^upsampler\.0": "up",
}


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over the files of github.com/bytedance/RLFN: rlfn_x2.pth, rlfn_s_x4.pth, ..."""
    if not tensors.keys() >= {"conv_1.weight", "block_1.c1_r.weight", "upsampler.0.weight"}:
        return []
    channels, inner = len(tensors["conv_1.weight"]), len(tensors["block_1.c1_r.weight"])
    return [
        Published(
            tensors=rename(tensors, _NAMES),
            scales=(shuffle_scale(tensors["upsampler.0.weight"]),),
            options={
                "channels": channels,
                "num_blocks": count_blocks(tensors, r"block_(\d+)"),
                "inner": 0 if inner == channels else inner,
            },
        )
    ]
