"""Compared residual networks: EDSR, SRResNet, RCAN, RDN, CARN, CFSRCNN, RRDBNet and SRVGG."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import ChannelAttention
from srcli.layers.blocks import ShuffleUpsampling, conv, convs
from srcli.layers.network import Network, SkiplessNetwork
from srcli.layers.published import (
    DIV2K_MEAN,
    Names,
    Published,
    ValueRange,
    count_blocks,
    fold_shifts,
    from_zero,
    has_layers,
    rename,
    shuffled_scale,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_NO_SHIFTS: Names = {r"^(sub|add)_mean\..*": ""}
_EDSR_ENDS: Names = {r"^head\.0": "head", r"^tail\.0\.": "up.", r"^tail\.1\.": "last."}
_BASICSR_ENDS: Names = {
    r"^conv_first": "head",
    r"^conv_after_body": "tail",
    r"^upsample\.": "up.",
    r"^conv_last": "last",
}


class LongSkip(SkiplessNetwork):
    """The frame of EDSR and RCAN, on 0..255 less DIV2K's mean: ``make_body`` beside a long skip."""

    def __init__(self, scale: int, channels: int, make_body: Callable[[], nn.Module]) -> None:
        super().__init__(scale)
        self.range = ValueRange(mean=DIV2K_MEAN)
        self.head = conv(3, channels)
        self.body = make_body()
        self.tail = conv(channels, channels)
        self.up = ShuffleUpsampling(channels=channels, scale=scale)
        self.last = conv(channels, 3)

    def _enlarge(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(self.range(x))
        return self.range.undo(self.last(self.up(head + self.tail(self.body(head)))))


class EDSR(LongSkip):
    """Wide residual blocks without normalisation (Lim et al., CVPR workshops 2017).

    The defaults are the large model of the paper; its baseline has 64 channels, 16 blocks and a
    factor of 1 on the output of a block, ``residual_scale``.
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 256,
        num_blocks: int = 32,
        residual_scale: float = 0.1,
    ) -> None:
        def body() -> nn.Module:
            blocks = (ResidualBlock(channels, scale=residual_scale) for _ in range(num_blocks))
            return nn.Sequential(*blocks)

        super().__init__(scale, channels, body)

    @staticmethod
    def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
        """Take over the files of EDSR-PyTorch (edsr_x4-4f62e9ef.pt, ...) and those of BasicSR."""
        if has_layers(tensors, "head.0", "body.0.body.2", "tail.1"):
            blocks = count_blocks(tensors, r"body\.(\d+)\.body\.0\.weight")
            names: Names = {
                **_NO_SHIFTS,
                r"^body\.(\d+)\.body\.0": r"body.\1.conv1",
                r"^body\.(\d+)\.body\.2": r"body.\1.conv2",
                rf"^body\.{blocks}\.": "tail.",
                **_EDSR_ENDS,
            }
        elif has_layers(tensors, "conv_after_body", "body.0.conv1"):
            blocks = count_blocks(tensors, r"body\.(\d+)")
            names = _BASICSR_ENDS
        else:
            return []
        found = fold_shifts(rename(tensors, names), tensors, first="head", last="last")
        channels = len(found["head.weight"])
        options = {
            "channels": channels,
            "num_blocks": blocks,
            "residual_scale": 0.1 if channels == 256 else 1.0,
        }
        return [Published(found, (shuffled_scale(found, "up."),), options)]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a ReLU between them, then ``scale``; the input is added."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.conv2(F.relu_(self.conv1(x)))
        return torch.add(x, out, alpha=self.scale)


class RCAN(LongSkip):
    """Residual channel attention network, 400 layers deep (Zhang et al., ECCV 2018).

    The defaults are the published model: ``num_groups`` residual groups of ``num_blocks`` channel
    attention blocks, whose bottlenecks are ``reduction`` times narrower.
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
    ) -> None:
        def group() -> nn.Module:
            blocks = [ChannelAttentionBlock(channels, reduction) for _ in range(num_blocks)]
            return ResidualGroup(blocks, channels)

        super().__init__(
            scale, channels, lambda: nn.Sequential(*(group() for _ in range(num_groups)))
        )

    @staticmethod
    def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
        """Take over the files of github.com/yulunzhang/RCAN (RCAN_BIX4.pt, ...) and of BasicSR."""
        if has_layers(tensors, "body.0.body.0.body.3.conv_du.0"):
            groups = count_blocks(tensors, r"body\.(\d+)\.body")
            blocks = count_blocks(tensors, r"body\.0\.body\.(\d+)\.body")
            names: Names = {
                **_NO_SHIFTS,
                r"^(body\.\d+)\.body\.(\d+)\.body": r"\1.blocks.\2",
                r"^(body\.\d+\.blocks\.\d+)\.0": r"\1.conv1",
                r"^(body\.\d+\.blocks\.\d+)\.2": r"\1.conv2",
                r"\.3\.conv_du\.0": ".attention.squeeze",
                r"\.3\.conv_du\.2": ".attention.expand",
                rf"^(body\.\d+)\.body\.{blocks}\.": r"\1.last.",
                rf"^body\.{groups}\.": "tail.",
                **_EDSR_ENDS,
            }
        elif has_layers(tensors, "body.0.residual_group.0.rcab.0"):
            groups = count_blocks(tensors, r"body\.(\d+)")
            blocks = count_blocks(tensors, r"body\.0\.residual_group\.(\d+)")
            names = {
                r"\.residual_group\.": ".blocks.",
                r"\.rcab\.0": ".conv1",
                r"\.rcab\.2": ".conv2",
                r"\.rcab\.3\.attention\.1": ".attention.squeeze",
                r"\.rcab\.3\.attention\.3": ".attention.expand",
                r"^(body\.\d+)\.conv\.": r"\1.last.",
                **_BASICSR_ENDS,
            }
        else:
            return []
        found = fold_shifts(rename(tensors, names), tensors, first="head", last="last")
        channels = len(found["head.weight"])
        options = {
            "channels": channels,
            "num_groups": groups,
            "num_blocks": blocks,
            "reduction": channels // len(found["body.0.blocks.0.attention.squeeze.weight"]),
        }
        return [Published(found, (shuffled_scale(found, "up."),), options)]


class ChannelAttentionBlock(nn.Module):
    """RCAB: two 3x3 convolutions, channel attention, and the input added."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)
        self.attention = ChannelAttention(channels=channels, reduction=reduction)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.attention(self.conv2(F.relu_(self.conv1(x)))) + x
        return out


class ResidualGroup(nn.Module):
    """Blocks in a row, a 3x3 convolution, and the input added."""

    def __init__(self, blocks: list[ChannelAttentionBlock], channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.last = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.last(self.blocks(x)) + x
        return out


class SRResNet(SkiplessNetwork):
    """The generator of SRGAN (Ledig et al., CVPR 2017); the defaults are the published model.

    The authors published neither code nor weights; activation and slopes follow the paper, which
    has scale 4 alone.
    """

    def __init__(self, *, scale: int = 4, channels: int = 64, num_blocks: int = 16) -> None:
        super().__init__(scale)
        self.head = nn.Sequential(conv(3, channels, 9), nn.PReLU())
        self.body = nn.Sequential(*(NormalisedBlock(channels) for _ in range(num_blocks)))
        self.tail = nn.Sequential(conv(channels, channels), nn.BatchNorm2d(channels))
        self.up = ShuffleUpsampling(channels=channels, scale=scale, activation=nn.PReLU)
        self.last = conv(channels, 3, 9)

    def _enlarge(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(x)
        out: Tensor = self.last(self.up(head + self.tail(self.body(head))))
        return out


class NormalisedBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, a PReLU between them; the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(channels, channels),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
            conv(channels, channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.layers(x) + x
        return out


class RDN(SkiplessNetwork):
    """Residual dense network (Zhang et al., CVPR 2018); the defaults are D=16, C=8, G=64.

    D are the residual dense blocks, C the 3x3 convolutions of a block (``depth``), and G the
    channels that each of them adds (``growth``).
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
        self.body = nn.ModuleList(
            LocallyDenseBlock(channels, depth, growth) for _ in range(num_blocks)
        )
        self.fuse = conv(num_blocks * channels, channels, 1)
        self.tail = conv(channels, channels)
        self.up = ShuffleUpsampling(channels=channels, scale=scale)
        self.last = conv(channels, 3)

    def _enlarge(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(x)
        features = self.second(head)
        outputs: list[Tensor] = []
        for block in self.body:
            features = block(features)
            outputs.append(features)
        fused = self.tail(self.fuse(torch.cat(outputs, dim=1)))
        out: Tensor = self.last(self.up(fused + head))
        return out

    @staticmethod
    def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
        """Take over the files of github.com/yjn870/RDN-pytorch: rdn_x2.pth, ..."""
        if not has_layers(tensors, "sfe1", "rdbs.0.layers.0.conv", "gff.1"):
            return []
        names = {
            r"^sfe1": "head",
            r"^sfe2": "second",
            r"^rdbs\.(\d+)\.layers\.(\d+)\.conv": r"body.\1.layers.\2",
            r"^rdbs\.(\d+)\.lff": r"body.\1.fuse",
            r"^gff\.0": "fuse",
            r"^gff\.1": "tail",
            r"^upscale\.": "up.",
            r"^output": "last",
        }
        found = rename(tensors, names)
        growth, channels = found["body.0.layers.0.weight"].shape[:2]
        options = {
            "channels": channels,
            "num_blocks": count_blocks(found, r"body\.(\d+)"),
            "depth": count_blocks(found, r"body\.0\.layers\.(\d+)"),
            "growth": growth,
        }
        return [Published(found, (shuffled_scale(found, "up."),), options)]


class LocallyDenseBlock(nn.Module):
    """RDB: ``depth`` 3x3 convolutions that each see all before them, a 1x1, and the input added."""

    def __init__(self, channels: int, depth: int, growth: int) -> None:
        super().__init__()
        self.layers = convs((channels + i * growth, growth) for i in range(depth))
        self.fuse = conv(channels + depth * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        joined = x
        for layer in self.layers:
            joined = torch.cat([joined, F.relu_(layer(joined))], dim=1)
        out: Tensor = self.fuse(joined) + x
        return out


class CARN(SkiplessNetwork):
    """Cascading residual network (Ahn et al., ECCV 2018); ``mobile`` makes it CARN-M.

    The published networks hold the upsampling of all three scales; this one that of its own.

    Args:
        mobile: Grouped convolutions, a 1x1 convolution behind them, and one residual block that
            each cascade uses three times.
        groups: Groups of these convolutions, and of the upsampling's, where ``mobile`` is set.
    """

    def __init__(
        self, *, scale: int = 4, channels: int = 64, mobile: bool = False, groups: int = 4
    ) -> None:
        super().__init__(scale)
        groups = groups if mobile else 1

        def cascade() -> nn.Module:
            different = 1 if mobile else 3
            blocks = [CascadedResidual(channels, groups, mobile) for _ in range(different)]
            return Cascade(blocks, channels)

        self.range = ValueRange(top=1.0, mean=DIV2K_MEAN)
        self.head = conv(3, channels)
        self.body = Cascade([cascade() for _ in range(3)], channels)
        # The ReLU stands before the shuffle in the authors' code: it is the same behind it.
        self.up = ShuffleUpsampling(
            channels=channels, scale=scale, activation=nn.ReLU, groups=groups
        )
        self.last = conv(channels, 3)

    def _enlarge(self, x: Tensor) -> Tensor:
        return self.range.undo(self.last(self.up(self.body(self.head(self.range(x))))))

    @staticmethod
    def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
        """Take over the files of github.com/nmhkahn/CARN-pytorch, carn.pth and carn_m.pth.

        They hold the upsampling of all three scales: name one.
        """
        if not has_layers(tensors, "entry", "b1.b1.body.0", "exit"):
            return []

        def inner(stem: str) -> Callable[[re.Match[str]], str]:
            return lambda match: f"body.blocks.{int(match[1]) - 1}.{stem.format(int(match[2]) - 1)}"

        names: Names = {
            r"^entry": "head",
            r"^exit": "last",
            r"^b(\d)\.b(\d)\.body\.0": inner("blocks.{}.conv1"),
            r"^b(\d)\.b(\d)\.body\.2": inner("blocks.{}.conv2"),
            r"^b(\d)\.b(\d)\.body\.4": inner("blocks.{}.point"),
            r"^b(\d)\.c(\d)\.body\.0": inner("fuse.{}"),
            r"^c(\d)\.body\.0": from_zero("body.fuse."),
        }
        channels, grouped = tensors["b1.b1.body.0.weight"].shape[:2]
        options = {"channels": channels, "mobile": "b1.b1.body.4.weight" in tensors}
        if options["mobile"]:
            options["groups"] = channels // grouped
        found = []
        for scale in (2, 3, 4):
            stem = rf"^upsample\.up{scale}\.body"
            if any(re.match(stem, key) for key in tensors):
                own: Names = {stem: "up", r"^upsample\..*": "", **_NO_SHIFTS, **names}
                found.append(Published(rename(tensors, own), (scale,), options))
        return found


class Cascade(nn.Module):
    """Three modules, or one three times, each before a 1x1 convolution over all before it."""

    def __init__(self, modules: Sequence[nn.Module], channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(modules)
        self.fuse = convs((((number + 2) * channels, channels) for number in range(3)), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        joined = x
        for number, fuse in enumerate(self.fuse):
            block = self.blocks[number % len(self.blocks)]
            joined = torch.cat([joined, block(x)], dim=1)
            x = F.relu_(fuse(joined))
        return x


class CascadedResidual(nn.Module):
    """Two 3x3 convolutions, the input added, a ReLU; with ``pointwise`` a 1x1 one behind them."""

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

    The defaults are the published model; each of ``num_blocks`` is a 1x1 convolution and a 3x3 one.
    """

    edge = 4
    bf16 = False
    REFINEMENTS = 5
    """Convolutions of the enhancement, and of the refinement at full size."""

    def __init__(self, *, scale: int = 4, channels: int = 64, num_blocks: int = 16) -> None:
        super().__init__(scale)

        def plain(taken: int, given: int = channels, kernel: int = 3) -> nn.Conv2d:
            return conv(taken, given, kernel, bias=False)

        self.range = ValueRange(top=1.0, mean=DIV2K_MEAN)
        self.head = plain(3)
        self.squeeze = nn.ModuleList(
            plain(2 * channels if number else channels, kernel=1) for number in range(num_blocks)
        )
        self.extract = nn.ModuleList(plain(channels) for _ in range(num_blocks))
        self.merge = plain(2 * channels)
        self.enhance = nn.ModuleList(plain(channels) for _ in range(self.REFINEMENTS))
        self.up = ShuffleUpsampling(channels=channels, scale=scale)
        self.refine = nn.ModuleList(plain(channels) for _ in range(self.REFINEMENTS))
        self.last = plain(channels, 3)

    def _enlarge(self, x: Tensor) -> Tensor:
        head = F.relu(self.head(self.range(x)))
        outputs, joined = [head], head
        for squeeze, extract in zip(self.squeeze, self.extract, strict=True):
            outputs.append(extract(F.relu_(squeeze(joined))))
            joined = F.relu_(torch.cat(outputs[-2:], dim=1))
        features = F.relu_(sum(outputs, start=self.merge(joined)))
        for layer in self.enhance:
            features = F.relu_(layer(features))
        features = F.relu_(self.up(features) + self.up(head))
        for layer in self.refine:
            features = F.relu_(layer(features))
        return self.range.undo(self.last(features))

    @staticmethod
    def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
        """Take over files of github.com/hellloxiaotian/CFSRCNN: cfsrcnn_x2.pth, ...

        Those for all scales hold three upsamplings: name the scale.
        """
        if not has_layers(tensors, "conv1.0", "conv34_1.0", "conv41.0"):
            return []

        def numbered(match: re.Match[str]) -> str:  # between the first and the merging one
            kind, number = ("squeeze", "extract")[int(match[1]) % 2], int(match[1]) // 2 - 1
            return f"{kind}.{number}."

        names: Names = {
            **_NO_SHIFTS,
            r"^conv1\.0\.": "head.",
            r"^conv41\.0": "last",
            r"^conv34\.0": "merge",
            r"^conv34_(\d)\.0": from_zero("refine."),
            r"^conv3([5-9])\.0": lambda match: f"enhance.{int(match[1]) - 5}",
            r"^conv(\d+)\.0\.": numbered,
        }
        found = []
        for stem in ("up", "up2", "up3", "up4"):
            own = rename(
                tensors, {rf"^upsample\.{stem}\.body": "up", r"^upsample\..*": "", **names}
            )
            if "up.0.weight" in own:
                options = {"channels": len(own["head.weight"])}
                found.append(Published(own, (shuffled_scale(own, "up."),), options))
        return found
