"""PAN: pixel attention network (Zhao et al., ECCV workshops 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.published import Names, Published, count_blocks, from_zero, rename
from srcli.layers.upsampling import STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping


class PAN(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the published model.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body.
        num_blocks: Self-calibrated blocks with pixel attention.
        up_channels: Channels of the upsampling.
        slope: Negative slope of the leaky ReLUs.
    """

    edge = 4

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 40,
        num_blocks: int = 16,
        up_channels: int = 24,
        slope: float = 0.2,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        blocks = (SelfCalibratedBlock(channels=channels, slope=slope) for _ in range(num_blocks))
        self.body = nn.Sequential(*blocks)
        self.tail = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = nn.Sequential()
        for number, factor in enumerate(STEPS[scale]):
            taken = up_channels if number else channels
            self.up.append(AttentiveUpsampling(taken, up_channels, factor=factor, slope=slope))
        self.last = nn.Conv2d(up_channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        head: Tensor = self.head(x)
        out: Tensor = self.last(self.up(head + self.tail(self.body(head))))
        scale = float(self.scale)
        image = F.interpolate(x.float(), scale_factor=scale, mode="bilinear", align_corners=False)
        return out.float() + image


class PixelAttention(nn.Module):
    """Scale every value by a gate that a 1x1 convolution computes from its pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Gated (N, C, H, W)."""
        return x * torch.sigmoid(self.gate(x))


class SelfCalibratedBlock(nn.Module):
    """SC-PA: two narrow branches, one of them with pixel attention, joined; the input added.

    Args:
        channels: Channels in and out; each branch has half of them.
        slope: Negative slope of the leaky ReLUs.
    """

    def __init__(self, *, channels: int, slope: float) -> None:
        super().__init__()
        half = channels // 2

        def conv(kernel: int) -> nn.Conv2d:
            return nn.Conv2d(half, half, kernel, padding=kernel // 2, bias=False)

        self.squeeze_plain = nn.Conv2d(channels, half, 1, bias=False)
        self.squeeze_gated = nn.Conv2d(channels, half, 1, bias=False)
        self.plain, self.gated, self.after = conv(3), conv(3), conv(3)
        self.gate = nn.Conv2d(half, half, 1)
        self.fuse = nn.Conv2d(2 * half, channels, 1, bias=False)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        plain = self.plain(F.leaky_relu(self.squeeze_plain(x), self.slope))
        narrow = F.leaky_relu(self.squeeze_gated(x), self.slope)
        gated = self.after(self.gated(narrow) * torch.sigmoid(self.gate(narrow)))
        joined = F.leaky_relu(torch.cat([plain, gated], dim=1), self.slope)
        out: Tensor = self.fuse(joined)
        return out + x


class AttentiveUpsampling(nn.Module):
    """U-PA: nearest-neighbour enlargement, convolution, pixel attention, convolution.

    Args:
        taken: Channels in.
        given: Channels out.
        factor: Output pixels per input pixel, along each side.
        slope: Negative slope of the leaky ReLUs.
    """

    def __init__(self, taken: int, given: int, *, factor: int, slope: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(taken, given, 3, padding=1)
        self.attention = PixelAttention(given)
        self.second = nn.Conv2d(given, given, 3, padding=1)
        self.factor = float(factor)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, C, H, W) by the factor."""
        out = self.first(F.interpolate(x, scale_factor=self.factor, mode="nearest"))
        out = F.leaky_relu(self.attention(out), self.slope)
        return F.leaky_relu(self.second(out), self.slope)


_NAMES: Names = {
    r"^conv_first": "head",
    r"^SCPA_trunk": "body",
    r"\.conv1_a": ".squeeze_plain",
    r"\.conv1_b": ".squeeze_gated",
    r"\.k1\.0": ".plain",
    r"\.PAConv\.k2": ".gate",
    r"\.PAConv\.k3": ".gated",
    r"\.PAConv\.k4": ".after",
    r"\.conv3\.": ".fuse.",
    r"^trunk_conv": "tail",
    r"^upconv(\d)": from_zero("up.", ".first"),
    r"^att(\d)\.conv": from_zero("up.", ".attention.gate"),
    r"^HRconv(\d)": from_zero("up.", ".second"),
    r"^conv_last": "last",
}


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over the files of github.com/zhaohengyuan1/PAN: PANx2_DF2K.pth, ...

    Those for x2 and x3 have the same tensors: name the scale.
    """
    if not tensors.keys() >= {"SCPA_trunk.0.conv1_a.weight", "upconv1.weight", "conv_last.weight"}:
        return []
    return [
        Published(
            tensors=rename(tensors, _NAMES),
            scales=(4,) if "upconv2.weight" in tensors else (2, 3),
            options={
                "channels": len(tensors["conv_first.weight"]),
                "num_blocks": count_blocks(tensors, r"SCPA_trunk\.(\d+)"),
                "up_channels": len(tensors["upconv1.weight"]),
            },
        )
    ]
