"""Compared lightweight networks: IMDN, RFDN, RLFN, PAN, LatticeNet and MAFFSRN."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import ContrastChannelAttention, EnhancedSpatialAttention
from srcli.layers.blocks import (
    STEPS,
    Concatenation,
    FeatureDistillationBlock,
    LongSkip,
    ResidualLocalFeatureBlock,
    conv,
    convs,
    outputs_in_row,
    repeat,
)
from srcli.layers.network import Network, SkiplessNetwork
from srcli.layers.reproducible import Sigmoid, sigmoid
from srcli.layers.tiles import GlobalPool, StretchedMap

SLOPE = 0.05
"""Negative slope of leaky ReLUs, but PAN's of 0.2."""


class IMDN(LongSkip):
    """Information multi-distillation network (Hui et al., ACM MM 2019).

    The defaults are the published model; each step of a block distils a quarter of
    ``channels``.
    """

    pools_globally = True

    def __init__(
        self, *, scale: int = 4, channels: int = 64, num_blocks: int = 6
    ) -> None:
        def body() -> nn.Module:
            blocks = [MultiDistillationBlock(channels) for _ in range(num_blocks)]
            return Concatenation(blocks, channels=channels, slope=SLOPE)

        super().__init__(scale, channels, body, shuffled=True)


class MultiDistillationBlock(nn.Module):
    """IMDB: three 3x3 steps that each keep a quarter of their output, a fourth, CCA, the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kept = channels // 4
        rest = channels - self.kept
        self.refine = convs((width, channels) for width in (channels, rest, rest))
        self.last = conv(rest, self.kept)
        self.attention = ContrastChannelAttention(channels=4 * self.kept, reduction=16)
        self.fuse = conv(4 * self.kept, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        kept: list[Tensor] = []
        rest = x
        for layer in self.refine:
            step = F.leaky_relu(layer(rest), SLOPE)
            kept.append(step[:, : self.kept])
            rest = step[:, self.kept :]
        kept.append(self.last(rest))
        return torch.add(x, self.fuse(self.attention(torch.cat(kept, dim=1))))


class RFDN(LongSkip):
    """Residual feature distillation network (Liu et al., ECCV workshops 2020).

    The defaults are the paper's RFDN; 52 channels are RFDN-L. The AIM 2020 challenge's
    has 50, in 4 blocks with ``esa``, and white at 255 (``top``).
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 48,
        num_blocks: int = 6,
        attention: Literal["cca", "esa"] = "cca",
        top: float = 1.0,
    ) -> None:
        def attend() -> nn.Module:
            if attention == "cca":
                return ContrastChannelAttention(channels=channels)
            return EnhancedSpatialAttention(
                channels=channels, width=channels // 4, depth=3
            )

        def body() -> nn.Module:
            blocks = [
                FeatureDistillationBlock(attend, channels=channels)
                for _ in range(num_blocks)
            ]
            return Concatenation(blocks, channels=channels, slope=SLOPE)

        super().__init__(scale, channels, body, shuffled=True, white=top)
        self.pools_globally = attention == "cca"
        if attention == "esa":
            self.minimum = EnhancedSpatialAttention.MINIMUM
            self.tile_step = EnhancedSpatialAttention.STEP


class RLFN(LongSkip):
    """Residual local feature network (Kong et al., CVPR workshops 2022).

    RLFN-S has 48 channels. The NTIRE 2022 challenge's has 46 in 4 blocks, and 48
    between the convolutions of a block (``inner``, 0 for as many as outside).
    """

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
    ) -> None:
        width = inner or channels
        widths = ((channels, width), (width, width), (width, channels))

        def block() -> nn.Module:
            return ResidualLocalFeatureBlock(
                convs(widths), channels=channels, esa_channels=esa_channels, slope=SLOPE
            )

        super().__init__(
            scale,
            channels,
            lambda: repeat(block, num_blocks),
            shuffled=True,
            white=255.0,
        )


class PAN(Network):
    """Pixel attention network (Zhao et al., ECCV workshops 2020); the defaults are the published.

    ``num_blocks`` self-calibrated blocks stand before an upsampling of ``up_channels``.
    """

    edge = 4

    SLOPE = 0.2

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 40,
        num_blocks: int = 16,
        up_channels: int = 24,
    ) -> None:
        super().__init__(scale)
        self.head = conv(3, channels)
        self.body = repeat(lambda: SelfCalibratedBlock(channels), num_blocks)
        self.tail = conv(channels, channels)
        self.up = nn.Sequential()
        for number, factor in enumerate(STEPS[scale]):
            taken = up_channels if number else channels
            self.up.append(AttentiveUpsampling(taken, up_channels, factor))
        self.last = conv(up_channels, 3)

    def _enlarge(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(x)
        out: Tensor = self.last(self.up(head + self.tail(self.body(head))))
        scale = float(self.scale)
        image = F.interpolate(
            x.float(), scale_factor=scale, mode="bilinear", align_corners=False
        )
        return out.float() + image


class SelfCalibratedBlock(nn.Module):
    """SC-PA: two branches of half the channels, one with pixel attention; the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.squeeze_plain = conv(channels, half, 1, bias=False)
        self.squeeze_gated = conv(channels, half, 1, bias=False)
        self.plain, self.gated, self.after = (
            conv(half, half, bias=False) for _ in range(3)
        )
        self.gate = conv(half, half, 1)
        self.fuse = conv(2 * half, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        plain = self.plain(F.leaky_relu(self.squeeze_plain(x), PAN.SLOPE))
        narrow = F.leaky_relu(self.squeeze_gated(x), PAN.SLOPE)
        gated = self.after(self.gated(narrow) * sigmoid(self.gate(narrow)))
        joined = F.leaky_relu(torch.cat([plain, gated], dim=1), PAN.SLOPE)
        return torch.add(x, self.fuse(joined))


class AttentiveUpsampling(nn.Module):
    """U-PA: nearest-neighbour enlargement, convolution, a gate for every value, convolution."""

    def __init__(self, taken: int, given: int, factor: int) -> None:
        super().__init__()
        self.first = conv(taken, given)
        self.attention = nn.ModuleDict({"gate": conv(given, given, 1)})
        self.second = conv(given, given)
        self.factor = float(factor)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, C, H, W) by the factor."""
        out = self.first(F.interpolate(x, scale_factor=self.factor, mode="nearest"))
        out = out * sigmoid(self.attention["gate"](out))
        out = F.leaky_relu(out, PAN.SLOPE)
        return F.leaky_relu(self.second(out), PAN.SLOPE)


class LatticeNet(SkiplessNetwork):
    """Residual blocks crossed as in a lattice filter (Luo et al., ECCV 2020).

    The defaults are the published model: ``inner`` channels between the convolutions of
    a block, and bottlenecks of the attention that are ``reduction`` times narrower.
    """

    pools_globally = True

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        inner: int = 48,
        num_blocks: int = 4,
        reduction: int = 16,
    ) -> None:
        super().__init__(scale)
        self.subtract_mean(white=255.0)
        self.head = nn.Sequential(conv(3, channels), conv(channels, channels))
        self.body = nn.ModuleList(
            LatticeBlock(channels, inner, reduction) for _ in range(num_blocks)
        )
        self.deep, self.shallow = (
            convs([(channels, channels // 2)] * (num_blocks - 1), 1) for _ in range(2)
        )
        self.tail = conv(channels, channels)
        self.up = conv(channels, 3 * scale * scale)

    def _enlarge(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(x)
        outputs = [head, *outputs_in_row(self.body, head)]
        fused = outputs.pop()
        for deep, shallow in zip(self.deep, self.shallow, strict=True):  # backwards
            fused = F.relu_(torch.cat([deep(fused), shallow(outputs.pop())], dim=1))
        out: Tensor = self.up(self.tail(fused + head))
        return F.pixel_shuffle(out, self.scale)


class LatticeBlock(nn.Module):
    """LB: two rows of three convolutions, crossed by channel factors before and behind the second.

    ``inner`` are the channels between the convolutions.
    """

    def __init__(self, channels: int, inner: int, reduction: int) -> None:
        super().__init__()
        self.first, self.second = nn.Sequential(), nn.Sequential()
        for row in (self.first, self.second):
            for taken, given in ((channels, inner), (inner, inner), (inner, channels)):
                row.append(conv(taken, given))
                row.append(nn.LeakyReLU(SLOPE))
        self.gates = nn.ModuleList(
            CombinationCoefficient(channels, reduction) for _ in range(4)
        )
        self.fuse = conv(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        of_first, of_input, of_lower, of_second = self.gates
        first: Tensor = self.first(x)
        upper, lower = x + of_first(first) * first, first + of_input(x) * x
        second: Tensor = self.second(upper)
        upper, lower = (
            second + of_lower(lower) * lower,
            lower + of_second(second) * second,
        )
        return self.fuse(torch.cat([upper, lower], dim=1))


class CombinationCoefficient(nn.Module):
    """CC: a factor for each channel, computed from its global mean and standard deviation."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.mean, self.contrast = GlobalPool("mean"), GlobalPool("contrast")
        narrow = channels // reduction
        self.of_mean, self.of_deviation = (
            nn.Sequential(
                conv(channels, narrow, 1),
                nn.ReLU(),
                conv(narrow, channels, 1),
                Sigmoid(),
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return factors (1 or N, C, 1, 1) in (0, 1) for (N, C, H, W)."""
        mean: Tensor = self.mean(x)
        deviation: Tensor = self.contrast(x) - mean  # contrast is the sum of both
        return (self.of_mean(mean) + self.of_deviation(deviation)) / 2


class MAFFSRN(Network):
    """Features fused in groups, gated by a shrunk map (Muqeet et al., ECCV workshops 2020).

    The defaults are MAFFSRN, 8 groups of four blocks each are MAFFSRN-L; ``channels``
    must be a multiple of 4. The authors train with weight normalisation, which is
    another form of the same network, and publish no weights.
    """

    edge = 4
    minimum = 13
    tile_step = 6

    def __init__(
        self, *, scale: int = 4, channels: int = 32, num_groups: int = 4
    ) -> None:
        super().__init__(scale)
        self.head = conv(3, channels)
        self.body = repeat(lambda: FeatureFusionGroup(channels), num_groups)
        self.tails = nn.ModuleList(
            conv(channels, 3 * scale * scale, kernel) for kernel in (3, 5)
        )
        self.gains = nn.Parameter(torch.full((2,), 0.5))

    def _enlarge(self, x: Tensor) -> Tensor:
        features = self.body(self.head(x))
        small, large = self.tails
        out = self.gains[0] * small(features) + self.gains[1] * large(features)
        image = F.interpolate(x.float(), scale_factor=float(self.scale), mode="bicubic")
        return F.pixel_shuffle(out, self.scale).float() + image


class FeatureFusionGroup(nn.Module):
    """FFG: four blocks, whose outputs are fused one after the other, and the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(MultiAttentionBlock(channels) for _ in range(4))
        self.fuse = convs([(2 * channels, channels)] * 3, 1)
        self.gains = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        first, second, third, fourth = self.blocks
        outputs: list[Tensor] = [first(x)]
        outputs += [second(outputs[-1]) + outputs[-1]]
        outputs += [third(outputs[-1]) + outputs[-1]]
        outputs += [fourth(outputs[-1])]
        fused = outputs[0]
        for fuse, output in zip(self.fuse, outputs[1:], strict=True):
            fused = fuse(
                torch.stack((fused, output), dim=2).flatten(1, 2)
            )  # channels alternate
        return self.gains[0] * fused + self.gains[1] * x


class MultiAttentionBlock(nn.Module):
    """MAB: two convolutions, gated by a strongly shrunk map and by each pixel's surroundings."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 4
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)
        self.squeeze = conv(channels, narrow, 1)
        self.stride = nn.Conv2d(narrow, narrow, 3, stride=2, padding=1)
        self.plain = conv(narrow, narrow)
        self.dilated = nn.Conv2d(narrow, narrow, 3, padding=2, dilation=2)
        self.stretch = StretchedMap(
            step=MAFFSRN.tile_step, minimum=MAFFSRN.minimum, mode="nearest"
        )
        self.expand = conv(narrow, channels, 1)
        self.point = conv(channels, channels, 1)
        self.spread = conv(channels, channels, 5, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape, both sides at least 13."""
        x = self.conv2(F.leaky_relu(self.conv1(x), SLOPE))
        narrow: Tensor = self.squeeze(x)
        pooled = F.max_pool2d(self.stride(narrow), kernel_size=7, stride=3)
        around = F.leaky_relu(self.dilated(pooled), SLOPE)
        around = around + F.leaky_relu(self.plain(pooled), SLOPE)
        around = self.stretch(around, (x.shape[2], x.shape[3])) + narrow
        by_map = sigmoid(F.relu(self.expand(around)))
        return by_map * x * sigmoid(self.spread(self.point(x)))
