"""IMDN: information multi-distillation network (Hui et al., ACM MM 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import ContrastChannelAttention
from srcli.layers.distillation import Concatenation
from srcli.layers.network import Network
from srcli.layers.published import Names, Published, count_blocks, from_zero, rename, shuffle_scale

if TYPE_CHECKING:
    from collections.abc import Mapping


class IMDN(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the published model.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body; a quarter of them is distilled at each step.
        num_blocks: Multi-distillation blocks.
        slope: Negative slope of the leaky ReLUs.
    """

    edge = 4
    bf16 = False
    pools_globally = True

    def __init__(
        self, *, scale: int = 4, channels: int = 64, num_blocks: int = 6, slope: float = 0.05
    ) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        blocks = [MultiDistillationBlock(channels=channels, slope=slope) for _ in range(num_blocks)]
        self.body = Concatenation(blocks, channels=channels, slope=slope)
        self.tail = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        head: Tensor = self.head(x)
        out: Tensor = self.up(self.tail(self.body(head)) + head)
        return F.pixel_shuffle(out, self.scale)


class MultiDistillationBlock(nn.Module):
    """IMDB: three 3x3 steps that each keep a quarter of their output, a fourth, CCA, the input.

    Args:
        channels: Channels in and out.
        slope: Negative slope of the leaky ReLU.
    """

    def __init__(self, *, channels: int, slope: float) -> None:
        super().__init__()
        self.kept = channels // 4
        self.slope = slope
        rest = channels - self.kept
        self.refine = nn.ModuleList(
            nn.Conv2d(width, channels, 3, padding=1) for width in (channels, rest, rest)
        )
        self.last = nn.Conv2d(rest, self.kept, 3, padding=1)
        self.attention = ContrastChannelAttention(channels=4 * self.kept, reduction=16)
        self.fuse = nn.Conv2d(4 * self.kept, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        kept: list[Tensor] = []
        rest = x
        for conv in self.refine:
            out = F.leaky_relu(conv(rest), self.slope)
            kept.append(out[:, : self.kept])
            rest = out[:, self.kept :]
        kept.append(self.last(rest))
        fused: Tensor = self.fuse(self.attention(torch.cat(kept, dim=1)))
        return fused + x


_NAMES: Names = {
    r"^fea_conv": "head",
    r"^IMDB(\d+)": from_zero("body.blocks."),
    r"\.c([123])\.": from_zero(".refine.", "."),
    r"\.c4\.": ".last.",
    r"\.c5\.": ".fuse.",
    r"\.cca\.conv_du\.0": ".attention.squeeze",
    r"\.cca\.conv_du\.2": ".attention.expand",
    r"^c\.0": "body.fuse",
    r"^LR_conv": "tail",
    r"^upsampler\.0": "up",
}


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over the files of github.com/Zheng222/IMDN: IMDN_x2.pth, _x3 and _x4."""
    if not tensors.keys() >= {"fea_conv.weight", "IMDB1.c1.weight", "upsampler.0.weight"}:
        return []
    return [
        Published(
            tensors=rename(tensors, _NAMES),
            scales=(shuffle_scale(tensors["upsampler.0.weight"]),),
            options={
                "channels": len(tensors["fea_conv.weight"]),
                "num_blocks": count_blocks(tensors, r"IMDB(\d+)"),
            },
        )
    ]
