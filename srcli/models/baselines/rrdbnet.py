"""RRDBNet of ESRGAN and Real-ESRGAN: dense blocks within residual blocks (Wang et al., 2018)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.published import Names, Published, count_blocks, from_zero, rename

if TYPE_CHECKING:
    from collections.abc import Mapping

SLOPE = 0.2
"""Negative slope of the leaky ReLUs, and the factor on every residual."""


class RRDBNet(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the published model, x4.

    Real-ESRGAN's models for x2 and x1 are the same network behind a pixel-unshuffle.

    Args:
        scale: 1, 2 or 4.
        channels: Channels of the body.
        num_blocks: Residual-in-residual dense blocks (23; 6 in the model for anime).
        growth: Channels that each convolution of a dense block adds.
        unshuffle: Side of the blocks of pixels that become channels at first; 0 takes
            Real-ESRGAN's, 4 / ``scale``.
    """

    edge = 4
    bf16 = False

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        num_blocks: int = 23,
        growth: int = 32,
        unshuffle: int = 0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.multiple_of = self.unshuffle = unshuffle or max(4 // scale, 1)
        self.head = nn.Conv2d(3 * self.unshuffle**2, channels, 3, padding=1)
        self.body = nn.Sequential(
            *(ResidualInResidual(channels=channels, growth=growth) for _ in range(num_blocks))
        )
        self.tail = nn.Conv2d(channels, channels, 3, padding=1)
        doublings = round(math.log2(scale * self.unshuffle))
        self.up = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(doublings)
        )
        self.full = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        head: Tensor = self.head(F.pixel_unshuffle(x, self.unshuffle))
        out: Tensor = head + self.tail(self.body(head))
        for conv in self.up:
            out = F.leaky_relu_(conv(F.interpolate(out, scale_factor=2.0)), SLOPE)
        full: Tensor = self.last(F.leaky_relu_(self.full(out), SLOPE))
        return full


class ResidualInResidual(nn.Module):
    """RRDB: three dense blocks in a row; the input is added.

    Args:
        channels: Channels in and out.
        growth: See ``DenselyConnected``.
    """

    def __init__(self, *, channels: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(DenselyConnected(channels=channels, growth=growth) for _ in range(3))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return torch.add(x, self.blocks(x), alpha=SLOPE)


class DenselyConnected(nn.Module):
    """Five 3x3 convolutions that each see all that came before; the input is added.

    Args:
        channels: Channels in and out.
        growth: Channels that each convolution but the last adds.
    """

    def __init__(self, *, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(channels + i * growth, channels if i == 4 else growth, 3, padding=1)
            for i in range(5)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        joined = x
        for layer in self.layers[:-1]:
            joined = torch.cat([joined, F.leaky_relu_(layer(joined), SLOPE)], dim=1)
        return torch.add(x, self.layers[-1](joined), alpha=SLOPE)


_NEW: Names = {
    r"^conv_first": "head",
    r"^(body\.\d+)\.rdb(\d)\.conv(\d)": lambda m: (
        f"{m[1]}.blocks.{int(m[2]) - 1}.layers.{int(m[3]) - 1}"
    ),
    r"^conv_body": "tail",
    r"^conv_up(\d)": from_zero("up."),
    r"^conv_hr": "full",
    r"^conv_last": "last",
}
_MIDDLE: Names = {
    r"^RRDB_trunk\.(\d+)\.RDB": r"body.\1.rdb",
    r"^trunk_conv": "conv_body",
    r"^upconv": "conv_up",
    r"^HRconv": "conv_hr",
}
"""Names of ESRGAN's own repository, to those of BasicSR."""
_OLD: Names = {
    r"^model\.0\.": "conv_first.",
    r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0": r"body.\1.rdb\2.conv\3",
    r"^model\.1\.sub\.\d+\.(weight|bias)": r"conv_body.\1",
}
"""The same of the first ESRGAN files, but for what stands behind the body."""


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over files of ESRGAN and Real-ESRGAN, by their old and new names."""
    found = dict(tensors)
    if "model.1.sub.0.RDB1.conv1.0.weight" in found:
        numbers = sorted({int(key.split(".")[1]) for key in found} - {0, 1})
        ends = [f"conv_up{i}" for i in range(1, len(numbers) - 1)] + ["conv_hr", "conv_last"]
        behind: Names = {rf"^model\.{n}\.": f"{end}." for n, end in zip(numbers, ends, strict=True)}
        found = rename(rename(found, _OLD), behind)
    found = rename(rename(found, _MIDDLE), _NEW)
    if not found.keys() >= {"body.0.blocks.0.layers.4.weight", "tail.weight", "full.weight"}:
        return []
    unshuffle = math.isqrt(found["head.weight"].shape[1] // 3)
    growth, channels = found["body.0.blocks.0.layers.0.weight"].shape[:2]
    scale = 2 ** count_blocks(found, r"up\.(\d+)") // unshuffle
    usual = max(4 // scale, 1)
    return [
        Published(
            tensors=found,
            scales=(scale,),
            options={
                "channels": channels,
                "num_blocks": count_blocks(found, r"body\.(\d+)"),
                "growth": growth,
                "unshuffle": 0 if unshuffle == usual else unshuffle,
            },
        )
    ]
