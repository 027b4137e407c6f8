"""Compared lightweight networks: IMDN, RFDN, RLFN, PAN, LatticeNet and MAFFSRN."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import ContrastChannelAttention, EnhancedSpatialAttention
from srcli.layers.blocks import (
    UPSAMPLING_FACTORS,
    Concatenation,
    FeatureDistillationBlock,
    FeatureSkipNetwork,
    ResidualLocalFeatureBlock,
    collect_outputs,
    conv,
    convs,
    repeat,
)
from srcli.layers.global_pools import GlobalPool, StretchedMap
from srcli.layers.network import Network, SkiplessNetwork, widened
from srcli.layers.operations import Sigmoid, sigmoid

SLOPE = 0.05
"""Negative slope of leaky ReLUs, but PAN's of 0.2."""


class IMDN(FeatureSkipNetwork):
    """Information multi-distillation network (Hui et al., ACM MM 2019).

    The defaults are the published model; each step of a block distils a quarter of
    ``channels``.
    """

    pools_globally = True

    def __init__(
        self, *, scale: int = 4, channels: int = 64, num_blocks: int = 6
    ) -> None:
        def body() -> nn.Module:
            blocks = repeat(lambda: MultiDistillationBlock(channels), num_blocks)
            return Concatenation(blocks, channels=channels, slope=SLOPE)

        super().__init__(scale, channels, body, shuffled=True)


class MultiDistillationBlock(nn.Module):
    """IMDB: four 3x3 steps, each of which distils a quarter, CCA, and the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        distilled = channels // 4
        coarse = channels - distilled
        self.distilled = distilled
        self.refine = convs([(channels, channels), *[(coarse, channels)] * 2])
        self.last = conv(coarse, distilled)
        self.attention = ContrastChannelAttention(channels=4 * distilled, reduction=16)
        self.fuse = conv(4 * distilled, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        distilled = []
        coarse = x
        for layer in self.refine:
            step = F.leaky_relu(layer(coarse), SLOPE)
            distilled.append(step[:, : self.distilled])
            coarse = step[:, self.distilled :]
        distilled.append(self.last(coarse))
        return torch.add(x, self.fuse(self.attention(torch.cat(distilled, dim=1))))


class RFDN(FeatureSkipNetwork):
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
        def make_attention() -> nn.Module:
            if attention == "cca":
                return ContrastChannelAttention(channels=channels)
            return EnhancedSpatialAttention(
                channels=channels, width=channels // 4, depth=3
            )

        def body() -> nn.Module:
            blocks = repeat(
                lambda: FeatureDistillationBlock(make_attention, channels=channels),
                num_blocks,
            )
            return Concatenation(blocks, channels=channels, slope=SLOPE)

        super().__init__(scale, channels, body, shuffled=True, white=top)
        self.pools_globally = attention == "cca"
        if attention == "esa":
            self.minimum = EnhancedSpatialAttention.MINIMUM
            self.tile_step = EnhancedSpatialAttention.STEP


class RLFN(FeatureSkipNetwork):
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
    """Pixel attention network (Zhao et al., ECCV workshops 2020).

    The defaults are the published model: ``num_blocks`` self-calibrated blocks before
    an upsampling of ``up_channels``.
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
        width = channels
        for factor in UPSAMPLING_FACTORS[scale]:
            self.up.append(AttentiveUpsampling(width, up_channels, factor))
            width = up_channels
        self.last = conv(up_channels, 3)

    def _enlarge(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(x)
        out: Tensor = self.last(self.up(head + self.tail(self.body(head))))
        image = F.interpolate(
            widened(x),
            scale_factor=float(self.scale),
            mode="bilinear",
            align_corners=False,
        )
        return widened(out) + image


class SelfCalibratedBlock(nn.Module):
    """SC-PA: two branches of half the channels, one with pixel attention; input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.squeeze_plain = conv(channels, half, 1, bias=False)
        self.squeeze_gated = conv(channels, half, 1, bias=False)
        self.plain = conv(half, half, bias=False)
        self.gated = conv(half, half, bias=False)
        self.after = conv(half, half, bias=False)
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
    """U-PA: nearest neighbours, a convolution, a gate for every value, a convolution."""

    def __init__(self, in_channels: int, out_channels: int, factor: int) -> None:
        super().__init__()
        self.first = conv(in_channels, out_channels)
        self.attention = nn.ModuleDict({"gate": conv(out_channels, out_channels, 1)})
        self.second = conv(out_channels, out_channels)
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
        blocks = repeat(lambda: LatticeBlock(channels, inner, reduction), num_blocks)
        self.body = nn.ModuleList(blocks)
        halvings = [(channels, channels // 2)] * (num_blocks - 1)
        self.deep = convs(halvings, 1)
        self.shallow = convs(halvings, 1)
        self.tail = conv(channels, channels)
        self.up = conv(channels, 3 * scale * scale)

    def _enlarge(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(x)
        outputs = [head, *collect_outputs(self.body, head)]
        fused = outputs.pop()
        for deep, shallow in zip(self.deep, self.shallow, strict=True):
            earlier = shallow(outputs.pop())
            fused = F.relu_(torch.cat([deep(fused), earlier], dim=1))
        out: Tensor = self.up(self.tail(fused + head))
        return F.pixel_shuffle(out, self.scale)


class LatticeBlock(nn.Module):
    """LB: two rows of three convolutions, crossed by factors before and after the second.

    ``inner`` are the channels between the convolutions.
    """

    def __init__(self, channels: int, inner: int, reduction: int) -> None:
        super().__init__()
        self.first = self._row(channels, inner)
        self.second = self._row(channels, inner)
        gates = repeat(lambda: CombinationCoefficient(channels, reduction), 4)
        self.gates = nn.ModuleList(gates)
        self.fuse = conv(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        of_mapped, of_input, of_lower, of_second = self.gates
        mapped: Tensor = self.first(x)
        upper = x + of_mapped(mapped) * mapped
        lower = mapped + of_input(x) * x
        second: Tensor = self.second(upper)
        upper = second + of_lower(lower) * lower
        lower = lower + of_second(second) * second
        return self.fuse(torch.cat([upper, lower], dim=1))

    @staticmethod
    def _row(channels: int, inner: int) -> nn.Sequential:
        row = nn.Sequential()
        for widths in ((channels, inner), (inner, inner), (inner, channels)):
            row.append(conv(*widths))
            row.append(nn.LeakyReLU(SLOPE))
        return row


class CombinationCoefficient(nn.Module):
    """CC: a factor for each channel, of its global mean and standard deviation."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.mean = GlobalPool("mean")
        self.contrast = GlobalPool("contrast")
        self.of_mean = self._factors(channels, channels // reduction)
        self.of_deviation = self._factors(channels, channels // reduction)

    def forward(self, x: Tensor) -> Tensor:
        """Return factors (1 or N, C, 1, 1) in (0, 1) for (N, C, H, W)."""
        mean: Tensor = self.mean(x)
        deviation: Tensor = self.contrast(x) - mean  # contrast is the sum of both
        return (self.of_mean(mean) + self.of_deviation(deviation)) / 2

    @staticmethod
    def _factors(channels: int, narrow: int) -> nn.Sequential:
        squeeze = conv(channels, narrow, 1)
        expand = conv(narrow, channels, 1)
        return nn.Sequential(squeeze, nn.ReLU(), expand, Sigmoid())


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
        shuffled = 3 * scale * scale
        self.tails = nn.ModuleList(
            [conv(channels, shuffled), conv(channels, shuffled, 5)]
        )
        self.gains = nn.Parameter(torch.full((2,), 0.5))

    def _enlarge(self, x: Tensor) -> Tensor:
        features = self.body(self.head(x))
        small, large = self.tails
        out = self.gains[0] * small(features) + self.gains[1] * large(features)
        image = F.interpolate(
            widened(x), scale_factor=float(self.scale), mode="bicubic"
        )
        return widened(F.pixel_shuffle(out, self.scale)) + image


class FeatureFusionGroup(nn.Module):
    """FFG: four blocks, whose outputs are fused one after the other, and the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(repeat(lambda: MultiAttentionBlock(channels), 4))
        self.fuse = convs([(2 * channels, channels)] * 3, 1)
        self.gains = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        block1, block2, block3, block4 = self.blocks
        output1: Tensor = block1(x)
        output2 = block2(output1) + output1
        output3 = block3(output2) + output2
        fused = output1
        for fuse, output in zip(
            self.fuse, (output2, output3, block4(output3)), strict=True
        ):
            alternating = torch.stack((fused, output), dim=2).flatten(1, 2)
            fused = fuse(alternating)
        return self.gains[0] * fused + self.gains[1] * x


class MultiAttentionBlock(nn.Module):
    """MAB: two convolutions, gated by a shrunk map and by each pixel's surroundings."""

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
