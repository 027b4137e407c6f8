"""RFDN: residual feature distillation network (Liu et al., ECCV workshops 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import ContrastChannelAttention, EnhancedSpatialAttention
from srcli.layers.distillation import Concatenation, FeatureDistillationBlock
from srcli.layers.network import Network
from srcli.layers.published import Names, Published, count_blocks, from_zero, rename, shuffle_scale
from srcli.layers.value_range import ValueRange

if TYPE_CHECKING:
    from collections.abc import Mapping


class RFDN(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the paper's RFDN, 52 channels RFDN-L.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body (48; 52 in RFDN-L, 50 in the AIM 2020 challenge).
        num_blocks: Distillation blocks (6; 4 in the challenge).
        attention: ``cca`` of the paper's models, or ``esa`` of the challenge's.
        slope: Negative slope of the leaky ReLUs.
        top: White, in the range that the network works in (255 in the challenge).
    """

    edge = 4
    bf16 = False

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 48,
        num_blocks: int = 6,
        attention: Literal["cca", "esa"] = "cca",
        slope: float = 0.05,
        top: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale = scale

        def make() -> nn.Module:
            if attention == "cca":
                return ContrastChannelAttention(channels=channels)
            return EnhancedSpatialAttention(channels=channels, width=channels // 4, depth=3)

        if attention == "esa":
            self.minimum = EnhancedSpatialAttention.MINIMUM
            self.tile_step = EnhancedSpatialAttention.STEP
        self.pools_globally = attention == "cca"
        self.range = ValueRange(top=top)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        blocks = [
            FeatureDistillationBlock(make, channels=channels, slope=slope)
            for _ in range(num_blocks)
        ]
        self.body = Concatenation(blocks, channels=channels, slope=slope)
        self.tail = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        head: Tensor = self.head(self.range(x))
        out: Tensor = self.up(self.tail(self.body(head)) + head)
        return self.range.undo(F.pixel_shuffle(out, self.scale))


_NAMES: Names = {
    r"^fea_conv": "head",
    r"^B(\d+)": from_zero("body.blocks."),
    r"\.c([123])_d": from_zero(".distil."),
    r"\.c([123])_r": from_zero(".refine."),
    r"\.c4\.": ".last.",
    r"\.c5\.": ".fuse.",
    r"\.esa\.conv1\.": ".attention.squeeze.",
    r"\.esa\.conv_f": ".attention.direct",
    r"\.esa\.conv2": ".attention.stride",
    r"\.esa\.conv_max": ".attention.pooled",
    r"\.esa\.conv3\.": ".attention.deeper.0.",
    r"\.esa\.conv3_": ".attention.deeper.1",
    r"\.esa\.conv4": ".attention.expand",
    r"\.cca\.conv_du\.0": ".attention.squeeze",
    r"\.cca\.conv_du\.2": ".attention.expand",
    r"^c\.0": "body.fuse",
    r"^LR_conv": "tail",
    r"^upsampler\.0": "up",
}


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over the file of github.com/njulj/RFDN, RFDN_AIM.pth, and files by its names."""
    if not tensors.keys() >= {"fea_conv.weight", "B1.c1_d.weight", "upsampler.0.weight"}:
        return []
    challenge = "B1.esa.conv1.weight" in tensors
    return [
        Published(
            tensors=rename(tensors, _NAMES),
            scales=(shuffle_scale(tensors["upsampler.0.weight"]),),
            options={
                "channels": len(tensors["fea_conv.weight"]),
                "num_blocks": count_blocks(tensors, r"B(\d+)"),
                "attention": "esa" if challenge else "cca",
                "top": 255.0 if challenge else 1.0,
            },
        )
    ]
