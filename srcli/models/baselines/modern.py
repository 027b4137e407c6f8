"""Compared lightweight networks since 2022: BSRN, LKDN, SPAN and SMFANet."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import ContrastChannelAttention, EnhancedSpatialAttention
from srcli.layers.blocks import (
    FeatureDistillationBlock,
    FeatureSkipNetwork,
    collect_outputs,
    conv,
    repeat,
)
from srcli.layers.global_pools import GlobalPool, StretchedMap
from srcli.layers.network import SkiplessNetwork, is_exported
from srcli.layers.operations import GELU, convolve_joined, gelu, sigmoid, silu
from srcli.layers.reparameterised import (
    FoldedKernel,
    FoldingConv,
    TrainedWithBranches,
    chain_kernels,
    kernel_of,
    sum_kernels,
)


class SeparableConv(nn.Sequential):
    """BSConvU: a 1x1 convolution, then a depthwise 3x3 one (Haase and Amthor 2020)."""

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, padding: int = 1
    ) -> None:
        depthwise = nn.Conv2d(
            out_channels, out_channels, 3, stride, padding, groups=out_channels
        )
        super().__init__(conv(in_channels, out_channels, 1, bias=False), depthwise)


class SeparableNetwork(SkiplessNetwork):
    """The frame of BSRN and LKDN: blocks whose outputs are fused, beside a long skip."""

    def __init__(self, scale: int, channels: int, blocks: nn.Sequential) -> None:
        super().__init__(scale)
        self.head = SeparableConv(12, channels)
        self.body = nn.ModuleList(blocks)
        self.fuse = conv(len(blocks) * channels, channels, 1)
        self.tail = SeparableConv(channels, channels)
        self.up = conv(channels, 3 * scale * scale)

    def _enlarge(self, x: Tensor) -> Tensor:
        head = self.head(torch.cat([x] * 4, dim=1))
        fused = gelu(convolve_joined(self.fuse, collect_outputs(self.body, head)))
        out: Tensor = self.up(self.tail(fused) + head)
        return F.pixel_shuffle(out, self.scale)


class SeparableDistillationBlock(FeatureDistillationBlock):
    """BSRN's ESDB and LKDN's LKDB: separable 3x3 steps that distil half the channels.

    With ``residual`` each step adds its input; the block's own input is added after the
    attention in any case.
    """

    def __init__(self, channels: int, attention: nn.Module, *, residual: bool) -> None:
        super().__init__(lambda: attention, channels=channels, make_conv=SeparableConv)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        distilled = []
        step = x
        for distil, refine in zip(self.distil, self.refine, strict=True):
            distilled.append(gelu(distil(step)))
            refined = refine(step)
            if self.residual:
                refined = refined + step
            step = gelu(refined)
        distilled.append(gelu(self.last(step)))
        return torch.add(x, self.attention(convolve_joined(self.fuse, distilled)))


class BSRN(SeparableNetwork):
    """Blueprint separable residual network (Li et al., CVPR workshops 2022), as published."""

    pools_globally = True
    minimum = EnhancedSpatialAttention.MINIMUM
    tile_step = EnhancedSpatialAttention.STEP

    def __init__(
        self, *, scale: int = 4, channels: int = 64, num_blocks: int = 8
    ) -> None:
        def block() -> nn.Module:
            spatial = EnhancedSpatialAttention(
                channels=channels,
                width=channels // 4,
                depth=3,
                make_conv=SeparableConv,
                activation=gelu,
            )
            contrast = ContrastChannelAttention(channels=channels, reduction=16)
            attention = nn.Sequential(spatial, contrast)
            return SeparableDistillationBlock(channels, attention, residual=True)

        super().__init__(scale, channels, repeat(block, num_blocks))


class LKDN(SeparableNetwork):
    """Large kernel distillation network (Xie et al., CVPR workshops 2023), as published."""

    def __init__(
        self, *, scale: int = 4, channels: int = 56, num_blocks: int = 8
    ) -> None:
        def block() -> nn.Module:
            attention = LargeKernelAttention(channels)
            return SeparableDistillationBlock(channels, attention, residual=False)

        super().__init__(scale, channels, repeat(block, num_blocks))


class LargeKernelAttention(nn.Module):
    """LKA (Guo et al. 2022) between 1x1 convolutions, each pixel normalised afterwards.

    Every value is multiplied by what a 5x5 and a dilated 5x5 convolution make of its
    surroundings.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.point = conv(channels, channels, 1)
        self.near = conv(channels, channels, 5, groups=channels)
        self.far = nn.Conv2d(
            channels, channels, 5, padding=6, dilation=3, groups=channels
        )
        self.expand = conv(channels, channels, 1)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.expand(x * self.far(self.near(self.point(x))))
        out = self.norm(out.permute(0, 2, 3, 1))
        return out.permute(0, 3, 1, 2)


class SPAN(TrainedWithBranches, SkiplessNetwork):
    """Swift parameter-free attention network (Wan et al., CVPR workshops 2024), as published.

    Challenges and most files of others have 48 channels. ``deployed`` has plain
    convolutions. Without ``shift`` it takes values from 0 to 1 as they are, as neosr and
    its relatives train it.
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 52,
        shift: bool = True,
        deployed: bool = False,
    ) -> None:
        super().__init__(scale)
        make = conv if deployed else ExpandedConv
        if shift:
            self.subtract_mean(white=255.0)
        else:  # the mark by which files say so
            self.register_buffer("no_norm", torch.zeros(1))
        self.head = make(3, channels)
        self.body = nn.ModuleList(SwiftAttentionBlock(channels, make) for _ in range(6))
        self.tail = make(channels, channels)
        self.fuse = conv(4 * channels, channels, 1)
        self.up = conv(channels, 3 * scale * scale)

    def _enlarge(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(x)
        shallow, inner = self.body[0](head)
        step = shallow
        for block in self.body[1:]:
            step, inner = block(step)
        joined = convolve_joined(self.fuse, [head, self.tail(step), shallow, inner])
        image = F.pixel_shuffle(self.up(joined), self.scale).float()
        # It is in [0, 1] already: this undoes what ``forward`` does next.
        if self.mean is None:
            return image * self.white
        return (image - self.mean) * self.white


class SwiftAttentionBlock(nn.Module):
    """SPAB: three 3x3 convolutions, whose output weighs its sum with the input."""

    def __init__(self, channels: int, make: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.first = make(channels, channels)
        self.second = make(channels, channels)
        self.third = make(channels, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return two maps (N, C, H, W): the output, and the first convolution's."""
        inner = silu(self.first(x))
        out: Tensor = self.third(silu(self.second(inner)))
        return (out + x) * (sigmoid(out) - 0.5), inner


class ExpandedConv(FoldingConv):
    """Conv3XC: 1x1, 3x3 and 1x1 convolutions, twice as wide inside, beside a 1x1 one."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.point = conv(in_channels, 2 * in_channels, 1)
        self.wide = conv(2 * in_channels, 2 * out_channels)
        self.narrow = conv(2 * out_channels, out_channels, 1)
        self.skip = conv(in_channels, out_channels, 1)

    def kernel(self) -> FoldedKernel:
        """Return the 3x3 kernel that equals all branches."""
        layers = (self.point, self.wide, self.narrow, self.skip)
        point, wide, narrow, skip = map(kernel_of, layers)
        return sum_kernels([chain_kernels(chain_kernels(point, wide), narrow), skip])

    @torch.no_grad()
    def state_equal_to(self, kernel: FoldedKernel) -> dict[str, Tensor]:
        """Return a state dict that equals a 3x3 kernel.

        The kernel runs through half of the inner channels; of the other half nothing
        comes out at first.
        """
        twin = type(self)(self.skip.in_channels, self.skip.out_channels).to(
            kernel.weight
        )
        out_channels, in_channels = kernel.weight.shape[:2]
        for layer in (twin.point, twin.wide, twin.narrow, twin.skip):
            assert layer.bias is not None
            layer.bias.zero_()
        nn.init.dirac_(twin.point.weight[:in_channels])
        twin.wide.weight[:out_channels] = 0
        twin.wide.weight[:out_channels, :in_channels] = kernel.weight
        twin.narrow.weight[:, out_channels:] = 0
        nn.init.dirac_(twin.narrow.weight[:, :out_channels])
        twin.skip.weight.zero_()
        assert twin.skip.bias is not None
        twin.skip.bias.copy_(kernel.bias)
        return twin.state_dict()


class SMFANet(FeatureSkipNetwork):
    """Self-modulation feature aggregation network (Zheng et al., ECCV 2024), as published.

    SMFANet+ has 48 channels and 12 blocks.
    """

    minimum = tile_step = 8
    pools_globally = True

    def __init__(
        self, *, scale: int = 4, channels: int = 36, num_blocks: int = 8
    ) -> None:
        def body() -> nn.Module:
            return repeat(lambda: FeatureModulationBlock(channels), num_blocks)

        super().__init__(scale, channels, body, shuffled=True, tail=False)


class FeatureModulationBlock(nn.Module):
    """FMB: aggregation and a feed-forward network, both of normalised channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.aggregate = SelfModulation(channels)
        self.widen = conv(channels, 2 * channels, 1)
        self.partial = conv(channels // 2, channels // 2)
        self.narrow = conv(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        x = x + self.aggregate(F.normalize(x))
        wide = gelu(self.widen(F.normalize(x)))
        width = self.partial.in_channels
        mixed = gelu(self.partial(wide[:, :width]))
        return torch.add(x, self.narrow(torch.cat([mixed, wide[:, width:]], dim=1)))


class SelfModulation(nn.Module):
    """SMFA: half of the channels, modulated by maxima of 8x8 pixels and the variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.split = conv(channels, 2 * channels, 1)
        self.around = conv(channels, channels, groups=channels)
        self.mean = GlobalPool("mean")
        self.contrast = GlobalPool("contrast")
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.variance_gain = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.modulate = conv(channels, channels, 1)
        self.stretch = StretchedMap(step=8, minimum=8, mode="nearest")
        self.detail = nn.Sequential(
            conv(channels, 2 * channels, groups=channels),
            conv(2 * channels, 2 * channels, 1),
            GELU(),
            conv(2 * channels, channels, 1),
        )
        self.fuse = conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        detail, wide = self.split(x).chunk(2, dim=1)
        height, width = x.shape[2:]
        bessel = height * width / (height * width - 1)
        variance = bessel * (self.contrast(wide) - self.mean(wide)) ** 2
        if is_exported():
            # ONNX has no adaptive pool of maxima.
            maxima = _maxima_of_rows(_maxima_of_rows(wide.mT).mT)
        else:
            maxima = F.adaptive_max_pool2d(wide, (height // 8, width // 8))
        level = self.around(maxima) * self.gain + variance * self.variance_gain
        gate = gelu(self.modulate(level))
        modulated = wide * self.stretch(gate, (height, width))
        return self.fuse(modulated + self.detail(detail))


def _maxima_of_rows(x: Tensor) -> Tensor:
    """Pool rows by maxima of about 8 pixels, as ``F.adaptive_max_pool2d`` does."""
    width = x.shape[3]
    count = width // 8
    windows = torch.arange(count, device=x.device)[:, None]
    starts = windows * width // count
    ends = ((windows + 1) * width - 1) // count
    # A window has 15 pixels at most.
    columns = torch.minimum(starts + torch.arange(16, device=x.device), ends)
    return x[..., columns].amax(dim=4)
