"""Blocks of several networks: convolutions, distillation, local features, upsampling, a frame.

Networks that are to be trained may start from weights that enlarge bicubically.

Layers "in a row" are run one after the other, each on the output of the one before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from srcli.errors import ModelError
from srcli.layers.attention import EnhancedSpatialAttention, GatedChannels
from srcli.layers.network import SkiplessNetwork
from srcli.layers.operations import convolve, convolve_joined
from srcli.layers.resize import bicubic_phases

UPSAMPLING_FACTORS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
"""Factors by which upsampling enlarges, one after the other, by scale."""


def conv(
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    *,
    groups: int = 1,
    bias: bool = True,
) -> nn.Conv2d:
    """Make a convolution whose output has the size of its input; ``kernel`` is odd."""
    return nn.Conv2d(
        in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=bias
    )


def convs(
    widths: Iterable[tuple[int, int]],
    kernel: int = 3,
    *,
    groups: int = 1,
    bias: bool = True,
) -> nn.ModuleList:
    """Make convolutions by ``conv``, one for each pair of input and output channels."""
    return nn.ModuleList(
        conv(*pair, kernel, groups=groups, bias=bias) for pair in widths
    )


@torch.no_grad()
def damp(layer: nn.Conv2d, gain: float) -> None:
    """Multiply a convolution's initial weights by ``gain``, and make its bias zero.

    A gain of 0 makes a layer that gives nothing, whatever its weights were.
    """
    assert layer.bias is not None
    layer.bias.zero_()
    if gain:
        layer.weight.mul_(gain)
    else:
        layer.weight.zero_()


def repeat(make: Callable[[], nn.Module], times: int) -> nn.Sequential:
    """Put the results of several calls of ``make`` in a row."""
    return nn.Sequential(*(make() for _ in range(times)))


class Residual(nn.Sequential):
    """Named layers in a row; what they give, times ``share``, is added to the input."""

    def __init__(self, share: float = 1.0, **layers: nn.Module) -> None:
        super().__init__(OrderedDict(layers))
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        *before, end = self
        if x.is_cuda and isinstance(end, GatedChannels):
            # The gate joins the sum, which saves a pass over the map.
            out = x
            for layer in before:  # a slice of this class would add the input again
                out = layer(out)
            return torch.addcmul(x, out, end.gate(out), value=self.share)
        out = super().forward(x)  # type: ignore[no-untyped-call]
        return torch.add(x, out, alpha=self.share)


def run_convolutions(layers: Iterable[nn.Module], x: Tensor, *, slope: float) -> Tensor:
    """Run convolutions in a row, each followed by a leaky ReLU of ``slope``; 0 is a ReLU."""
    for layer in layers:
        x = convolve(layer, x, slope=slope)
    return x


def collect_outputs(modules: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """Run modules in a row; return the outputs of all of them, the first one's first."""
    outputs = []
    for module in modules:
        x = module(x)
        outputs.append(x)
    return outputs


class Concatenation(nn.Module):
    """Modules in a row, whose outputs are concatenated and fused by a 1x1 convolution (RFDN).

    Each module maps ``channels`` to ``channels``; a leaky ReLU of ``slope`` follows the
    fusion.
    """

    def __init__(self, modules: nn.Sequential, *, channels: int, slope: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(modules)
        self.fuse = conv(len(modules) * channels, channels, 1)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return convolve_joined(
            self.fuse, collect_outputs(self.blocks, x), slope=self.slope
        )


class ResidualDenseBlock(nn.Module):
    """RDB of RDN (Zhang et al. 2018): each convolution takes all outputs before it.

    A 1x1 fuses them and the input is added. With a ``growth`` of 0 the convolutions
    stand in a row instead, without a 1x1.
    """

    def __init__(self, channels: int, depth: int, growth: int) -> None:
        super().__init__()
        self.fuse = None
        if growth:
            self.convolutions = convs(
                (channels + number * growth, growth) for number in range(depth)
            )
            self.fuse = conv(channels + depth * growth, channels, 1)
        else:
            self.convolutions = convs([(channels, channels)] * depth)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        if self.fuse is None:
            return torch.add(x, run_convolutions(self.convolutions, x, slope=0.0))
        outputs = [x]
        for convolution in self.convolutions:
            outputs.append(convolve_joined(convolution, outputs, slope=0.0))
        return torch.add(x, convolve_joined(self.fuse, outputs))


class FeatureDistillationBlock(nn.Module):
    """RFDB of RFDN (Liu et al. 2020): each step distils half the channels.

    A step adds its input; the block as a whole does not. The attention at the block's
    end is CCA, or ESA in the form of the AIM challenge; ``make_conv`` makes its 3x3
    convolutions from input and output channels.
    """

    def __init__(
        self,
        make_attention: Callable[[], nn.Module],
        *,
        channels: int,
        slope: float = 0.05,
        make_conv: Callable[[int, int], nn.Module] = conv,
    ) -> None:
        super().__init__()
        distilled = channels // 2
        self.slope = slope
        self.distil = convs([(channels, distilled)] * 3, 1)
        self.refine = nn.ModuleList(make_conv(channels, channels) for _ in range(3))
        self.last = make_conv(channels, distilled)
        self.fuse = conv(4 * distilled, channels, 1)
        self.attention = make_attention()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        distilled = []
        for distil, refine in zip(self.distil, self.refine, strict=True):
            distilled.append(convolve(distil, x, slope=self.slope))
            x = convolve(refine, x, plus=x, slope=self.slope)
        distilled.append(convolve(self.last, x, slope=self.slope))
        return self.attention(convolve_joined(self.fuse, distilled))


class ResidualLocalFeatureBlock(nn.Module):
    """RLFB of RLFN (Kong et al. 2022) and RRLFN: three 3x3 convolutions, a 1x1, attention.

    A leaky ReLU of ``slope`` follows each of the ``units``, a ReLU for 0; after the
    last one the input is added. ``units`` are the 3x3 convolutions, plain or
    re-parameterised.
    """

    def __init__(
        self,
        units: Iterable[nn.Module],
        *,
        channels: int,
        esa_channels: int,
        slope: float,
    ) -> None:
        super().__init__()
        self.refine = nn.ModuleList(units)
        self.fuse = conv(channels, channels, 1)
        self.attention = EnhancedSpatialAttention(channels=channels, width=esa_channels)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        step = run_convolutions(self.refine, x, slope=self.slope)
        return self.attention(self.fuse(x + step))


class ShuffleUpsampling(nn.Sequential):
    """Convolution, sub-pixel shuffle (Shi et al. 2016) and activation, factor by factor.

    The factors of a scale are in ``UPSAMPLING_FACTORS``.
    """

    def __init__(
        self,
        *,
        channels: int,
        scale: int,
        activation: Callable[[], nn.Module] | None = None,
        groups: int = 1,
    ) -> None:
        super().__init__()
        for factor in UPSAMPLING_FACTORS[scale]:
            self.append(conv(channels, channels * factor**2, groups=groups))
            self.append(nn.PixelShuffle(factor))
            if activation is not None:
                self.append(activation())


class FeatureSkipNetwork(SkiplessNetwork):
    """The frame of many networks: a body beside a skip of features, then the upsampling.

    ``up(head + tail(body(head)))``: the features of the first convolution, not the
    picture, skip the body (the papers' long skip). ``tail`` says whether a convolution
    follows the body. The upsampling doubles step by step at full width; with
    ``shuffled`` it is one convolution and one sub-pixel shuffle.
    """

    def __init__(
        self,
        scale: int,
        channels: int,
        make_body: Callable[[], nn.Module],
        *,
        shuffled: bool = False,
        tail: bool = True,
        white: float = 1.0,
    ) -> None:
        super().__init__(scale)
        self.white = white
        self.head = conv(3, channels)
        self.body = make_body()
        self.tail = conv(channels, channels) if tail else nn.Identity()
        self.up: nn.Module
        self.last: nn.Module
        if shuffled:
            self.up = conv(channels, 3 * scale * scale)
            self.last = nn.PixelShuffle(scale)
        else:
            self.up = ShuffleUpsampling(channels=channels, scale=scale)
            self.last = conv(channels, 3)

    def _enlarge(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(x)
        return self.last(self.up(head + self.tail(self.body(head))))


@torch.no_grad()
def merge_convolutions(
    layers: nn.Module, *, channels: int, scale: int = 1
) -> nn.Conv2d:
    """Merge layers without activations between them into one 5x5 convolution.

    Outputs are equal to rounding but for the outermost input pixel, where maps between
    the layers are padded.

    The layers, which take ``channels``, are two 3x3 convolutions, or three with pixel
    shuffles between them by ``scale`` in all; each output pixel depends on 5x5 input
    pixels around its place. Above a scale of 1 a pixel shuffle is to follow the one
    convolution.
    """
    side = 5
    # One picture for the impulse of each channel, and one of zeros.
    impulses = torch.zeros(channels + 1, channels, side, side)
    impulses[range(channels), range(channels), side // 2, side // 2] = 1
    out: Tensor = layers(impulses)
    responses = out.view(channels + 1, -1, side, scale, side, scale)
    constant = responses[-1]
    kernels = (responses[:-1] - constant).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
    merged = conv(channels, out.shape[1] * scale**2, side)
    merged.weight.copy_(kernels.reshape(merged.weight.shape))
    assert merged.bias is not None
    merged.bias.copy_(constant[:, side // 2, :, side // 2].flatten())
    return merged.eval()


CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
"""Moves, down and right in pixels, of the copies of ``start_bicubic_by_corners``."""


@torch.no_grad()
def start_bicubic_by_corners(
    head: nn.Conv2d, up: nn.Conv2d, scale: int, *, gain: float
) -> int:
    """Set weights by which a network enlarges bicubically, in its first channels.

    Twelve channels of ``head`` become copies of R, G and B, each moved by a pixel to
    one of the four corners; through them the 3x3 kernels of ``up``, which stands before
    a sub-pixel shuffle, reach as far as the 5x5 of bicubic interpolation, whose kernels
    are added to ``gain`` times its first weights. Returns the number of these channels;
    ModelError if the network has fewer.
    """
    copies = 3 * len(CORNERS)
    if head.out_channels < copies:
        raise ModelError(
            f"a bicubic start takes {copies} channels or more, not {head.out_channels}; "
            "set start_from_bicubic=false"
        )
    assert head.bias is not None
    damp(up, gain)
    head.bias[:copies] = 0
    head.weight[:copies] = 0
    # The middle row and column are seen by two copies (the centre by four), which share
    # them.
    share = torch.tensor([1.0, 1.0, 0.5, 1.0, 1.0])
    shared = bicubic_phases(scale) * share[:, None] * share
    phases = scale * scale
    for number, (down, right) in enumerate(CORNERS):
        kernels = shared[:, 1 + down : 4 + down, 1 + right : 4 + right]
        for colour in range(3):
            channel = 3 * number + colour
            head.weight[channel, colour, 1 + down, 1 + right] = 1
            up.weight[colour * phases : (colour + 1) * phases, channel] += kernels
    return copies
