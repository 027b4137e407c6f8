"""Compared residual networks: EDSR, SRResNet, RCAN, RDN, CARN and CFSRCNN."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import ChannelAttention
from srcli.layers.blocks import (
    FeatureSkipNetwork,
    Residual,
    ResidualDenseBlock,
    ShuffleUpsampling,
    collect_outputs,
    conv,
    convs,
    repeat,
    run_convolutions,
)
from srcli.layers.network import Network, SkiplessNetwork


class EDSR(FeatureSkipNetwork):
    """Wide residual blocks without normalisation (Lim et al., CVPR workshops 2017).

    The defaults are the large model of the paper; its baseline has 64 channels, 16
    blocks and a factor of 1 on the output of a block, ``residual_scale``. Without
    ``shift`` no mean colour is subtracted, and values are from 0 to 1.
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 256,
        num_blocks: int = 32,
        residual_scale: float = 0.1,
        shift: bool = True,
    ) -> None:
        def block() -> nn.Module:
            return Residual(
                residual_scale,
                conv1=conv(channels, channels),
                act=nn.ReLU(inplace=True),
                conv2=conv(channels, channels),
            )

        super().__init__(scale, channels, lambda: repeat(block, num_blocks))
        if shift:
            self.subtract_mean(white=255.0)


class RCAN(FeatureSkipNetwork):
    """Residual channel attention network, 400 layers deep (Zhang et al., ECCV 2018).

    The defaults are the published model: ``num_groups`` residual groups of
    ``num_blocks`` channel attention blocks, whose bottlenecks are ``reduction`` times
    narrower. ``residual_scale`` is a factor on the output of a block, which BasicSR's
    code has. Without ``shift`` no mean colour is subtracted, and values are from 0 to 1.
    """

    pools_globally = True

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        num_groups: int = 10,
        num_blocks: int = 20,
        reduction: int = 16,
        residual_scale: float = 1.0,
        shift: bool = True,
    ) -> None:
        def block() -> nn.Module:
            return Residual(
                residual_scale,
                conv1=conv(channels, channels),
                act=nn.ReLU(inplace=True),
                conv2=conv(channels, channels),
                attention=ChannelAttention(channels=channels, reduction=reduction),
            )

        def group() -> nn.Module:
            return Residual(
                blocks=repeat(block, num_blocks), last=conv(channels, channels)
            )

        super().__init__(scale, channels, lambda: repeat(group, num_groups))
        if shift:
            self.subtract_mean(white=255.0)


class SRResNet(SkiplessNetwork):
    """The generator of SRGAN (Ledig et al., CVPR 2017); the defaults are the published model.

    The authors published neither code nor weights; activation and slopes follow the
    paper, which has scale 4 alone.
    """

    def __init__(
        self, *, scale: int = 4, channels: int = 64, num_blocks: int = 16
    ) -> None:
        super().__init__(scale)
        self.head = nn.Sequential(conv(3, channels, 9), nn.PReLU())

        def normalised() -> tuple[nn.Module, nn.Module]:
            return conv(channels, channels), nn.BatchNorm2d(channels)

        def block() -> nn.Module:
            return Residual(
                layers=nn.Sequential(*normalised(), nn.PReLU(), *normalised())
            )

        self.body = repeat(block, num_blocks)
        self.tail = nn.Sequential(*normalised())
        self.up = ShuffleUpsampling(channels=channels, scale=scale, activation=nn.PReLU)
        self.last = conv(channels, 3, 9)

    def _enlarge(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(x)
        return self.last(self.up(head + self.tail(self.body(head))))


class RDN(SkiplessNetwork):
    """Residual dense network (Zhang et al., CVPR 2018); the defaults are D=16, C=8, G=64.

    D are the residual dense blocks, C the 3x3 convolutions of a block (``depth``), and
    G the channels that each of them adds (``growth``).
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        num_blocks: int = 16,
        depth: int = 8,
        growth: int = 64,
    ) -> None:
        super().__init__(scale)
        self.head = conv(3, channels)
        self.second = conv(channels, channels)
        blocks = repeat(lambda: ResidualDenseBlock(channels, depth, growth), num_blocks)
        self.body = nn.ModuleList(blocks)
        self.fuse = conv(num_blocks * channels, channels, 1)
        self.tail = conv(channels, channels)
        self.up = ShuffleUpsampling(channels=channels, scale=scale)
        self.last = conv(channels, 3)

    def _enlarge(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(x)
        outputs = collect_outputs(self.body, self.second(head))
        fused = self.tail(self.fuse(torch.cat(outputs, dim=1)))
        return self.last(self.up(fused + head))


class CARN(SkiplessNetwork):
    """Cascading residual network (Ahn et al., ECCV 2018); ``mobile`` makes it CARN-M.

    The published networks hold the upsampling of all three scales; this one that of its
    own.

    Args:
        mobile: Grouped convolutions, a 1x1 convolution behind them, and one residual
            block that each cascade uses three times.
        groups: Groups of these convolutions, and of the upsampling's, where ``mobile``
            is set.
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        mobile: bool = False,
        groups: int = 4,
    ) -> None:
        super().__init__(scale)
        if mobile:
            num_blocks = 1
        else:
            num_blocks = 3
            groups = 1

        def block() -> nn.Module:
            return CascadedResidual(channels, groups, mobile)

        def cascade() -> nn.Module:
            return Cascade(repeat(block, num_blocks), channels)

        self.subtract_mean(white=1.0)
        self.head = conv(3, channels)
        self.body = Cascade(repeat(cascade, 3), channels)
        # The ReLU stands before the shuffle in the authors' code, with equal results.
        self.up = ShuffleUpsampling(
            channels=channels, scale=scale, activation=nn.ReLU, groups=groups
        )
        self.last = conv(channels, 3)

    def _enlarge(self, x: Tensor) -> Tensor:
        return self.last(self.up(self.body(self.head(x))))


class Cascade(nn.Module):
    """Three modules, or one three times, each before a 1x1 convolution over all before."""

    def __init__(self, blocks: nn.Sequential, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.fuse = convs([(count * channels, channels) for count in (2, 3, 4)], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        joined = x
        for number, fuse in enumerate(self.fuse):
            block = self.blocks[number % len(self.blocks)]
            joined = torch.cat([joined, block(x)], dim=1)
            x = F.relu_(fuse(joined))
        return x


class CascadedResidual(nn.Module):
    """Two 3x3 convolutions, with ``pointwise`` a 1x1 one, the input added, and a ReLU."""

    def __init__(self, channels: int, groups: int, pointwise: bool) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, groups=groups)
        self.conv2 = conv(channels, channels, groups=groups)
        self.point = conv(channels, channels, 1) if pointwise else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.conv2(F.relu_(self.conv1(x)))
        if self.point is not None:
            out = self.point(F.relu_(out))
        return F.relu_(out + x)


class CFSRCNN(Network):
    """Coarse features, fused over all blocks, refined at full size (Tian et al., TMM 2020).

    The defaults are the published model; each of ``num_blocks`` is a 1x1 convolution
    and a 3x3 one.
    """

    edge = 4
    bf16 = False
    REFINEMENTS = 5
    """Convolutions of the enhancement, and of the refinement at full size."""

    def __init__(
        self, *, scale: int = 4, channels: int = 64, num_blocks: int = 16
    ) -> None:
        super().__init__(scale)

        widths = [channels, *[2 * channels] * (num_blocks - 1)]

        def same_width(count: int) -> nn.ModuleList:
            return convs([(channels, channels)] * count, bias=False)

        self.subtract_mean(white=1.0)
        self.head = conv(3, channels, bias=False)
        self.squeeze = convs([(width, channels) for width in widths], 1, bias=False)
        self.extract = same_width(num_blocks)
        self.merge = conv(2 * channels, channels, bias=False)
        self.enhance = same_width(self.REFINEMENTS)
        self.up = ShuffleUpsampling(channels=channels, scale=scale)
        self.refine = same_width(self.REFINEMENTS)
        self.last = conv(channels, 3, bias=False)

    def _enlarge(self, x: Tensor) -> Tensor:
        head = F.relu(self.head(x))
        outputs = [head]
        joined = head
        for squeeze, extract in zip(self.squeeze, self.extract, strict=True):
            outputs.append(extract(F.relu_(squeeze(joined))))
            joined = F.relu_(torch.cat(outputs[-2:], dim=1))
        features = F.relu_(sum(outputs, start=self.merge(joined)))
        features = run_convolutions(self.enhance, features, slope=0.0)
        features = F.relu_(self.up(features) + self.up(head))
        return self.last(run_convolutions(self.refine, features, slope=0.0))
