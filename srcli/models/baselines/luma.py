"""Compared networks on Y: SRCNN, FSRCNN, VDSR, DRCN, DRRN, MemNet, IDN, LapSRN and ECBSR."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.blocks import (
    UPSAMPLING_FACTORS,
    conv,
    convs,
    repeat,
    run_convolutions,
)
from srcli.layers.network import Network, widened
from srcli.layers.reparameterised import (
    FoldedKernel,
    FoldingConv,
    TrainedWithBranches,
    chain_kernels,
    kernel_of,
    sum_kernels,
)
from srcli.layers.resize import BicubicEnlargement

Tensors = Mapping[str, Tensor]
"""The tensors of a file by their names."""
EDGE_FILTERS = (
    ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0)),
    ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0)),
    ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0)),
)
"""The filters of Sobel, across and down, and of Laplace."""


def repeated_norms(channels: int, times: int) -> nn.ModuleList:
    """Make normalisations, one for each time that a convolution is applied."""
    return nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(times))


class LumaNetwork(Network):
    """A network on Y whose layers pad by zeros, which ``edge`` keeps from the result."""

    colour = "y"
    edge = 4


class SRCNN(Network):
    """Three convolutions after bicubic interpolation (Dong et al., TPAMI 2016).

    The defaults are the 9-5-5 network whose weights were released; ``middle`` of 1 and
    3 make the paper's 9-1-5 and 9-3-5, ``channels`` are the maps of the first layer,
    the second has half of them. Borders are continued by their outermost pixels, as in
    the authors' demonstration.
    """

    colour = "y"
    bf16 = False

    def __init__(self, *, scale: int = 4, middle: int = 5, channels: int = 64) -> None:
        super().__init__(scale)
        self.enlarge = BicubicEnlargement(scale=scale)
        half = channels // 2
        shapes = ((1, channels, 9), (channels, half, middle), (half, 1, 5))
        self.layers = nn.ModuleList()
        for in_channels, out_channels, kernel in shapes:
            layer = nn.Conv2d(
                in_channels,
                out_channels,
                kernel,
                padding=kernel // 2,
                padding_mode="replicate",
            )
            nn.init.normal_(layer.weight, 0.0, 1e-3)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type] # it has one
            self.layers.append(layer)

    def _enlarge(self, x: Tensor) -> Tensor:
        extract, transform, rebuild = self.layers
        features = F.relu(extract(self.enlarge(x)))
        return rebuild(F.relu(transform(features)))


class FSRCNN(LumaNetwork):
    """An hourglass at LR size and a deconvolution (Dong et al., ECCV 2016).

    The defaults are FSRCNN(56, 12, 4); (32, 5, 1) is FSRCNN-s. ``channels`` are those
    of the features, the paper's d, ``inner`` those of the mapping, s, and ``depth`` its
    3x3 convolutions, m.
    """

    bf16 = False

    def __init__(
        self, *, scale: int = 4, channels: int = 56, inner: int = 12, depth: int = 4
    ) -> None:
        super().__init__(scale)
        mapping = [(inner, inner, 3)] * depth
        shapes = (
            (1, channels, 5),
            (channels, inner, 1),
            *mapping,
            (inner, channels, 1),
        )
        self.body = nn.Sequential()
        for in_channels, out_channels, kernel in shapes:
            self.body.append(conv(in_channels, out_channels, kernel))
            self.body.append(nn.PReLU(out_channels))
        self.up = nn.ConvTranspose2d(
            channels, 1, 9, stride=scale, padding=4, output_padding=scale - 1
        )
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                # He's normal distribution
                std = math.sqrt(2 / layer.weight[:, 0].numel())
                nn.init.normal_(layer.weight, 0.0, std)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type] # it has one
        nn.init.normal_(self.up.weight, 0.0, 1e-3)
        nn.init.zeros_(self.up.bias)  # type: ignore[arg-type] # it has one

    def _enlarge(self, x: Tensor) -> Tensor:
        return self.up(self.body(x))


class VDSR(LumaNetwork):
    """Convolutions that correct a bicubic enlargement (Kim et al., CVPR 2016).

    The defaults are the published model, whose layers are the same for all scales;
    ``depth`` counts the first and the last one, too.
    """

    def __init__(self, *, scale: int = 4, depth: int = 20, channels: int = 64) -> None:
        super().__init__(scale)
        self.enlarge = BicubicEnlargement(scale=scale)
        self.layers = nn.ModuleList()
        for in_channels, out_channels in pairwise([1, *[channels] * (depth - 1), 1]):
            layer = conv(in_channels, out_channels)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type] # it has one
            self.layers.append(layer)

    def _enlarge(self, x: Tensor) -> Tensor:
        image: Tensor = self.enlarge(x)
        out: Tensor = self.layers[-1](
            run_convolutions(self.layers[:-1], image, slope=0.0)
        )
        return image + widened(out)


def with_biases(tensors: Tensors) -> Tensors:
    """Give VDSR's layers the biases that its authors' code lacks."""
    biases = {
        key.replace(".weight", ".bias"): weight.new_zeros(len(weight))
        for key, weight in tensors.items()
    }
    return biases | dict(tensors)


class DRCN(LumaNetwork):
    """One convolution applied 16 times (Kim et al., CVPR 2016).

    The defaults are the published model, whose layers are the same for all scales. The
    result of each of the ``recursions`` is reconstructed, and the network gives their
    learnt average.
    """

    def __init__(
        self, *, scale: int = 4, channels: int = 256, recursions: int = 16
    ) -> None:
        super().__init__(scale)
        self.enlarge = BicubicEnlargement(scale=scale)
        self.embed = convs([(1, channels), (channels, channels)])
        self.recur = conv(channels, channels)
        self.rebuild = convs([(channels, channels), (channels, 1)])
        self.shares = nn.Parameter(torch.full((recursions,), 1.0 / recursions))

    def _enlarge(self, x: Tensor) -> Tensor:
        image: Tensor = self.enlarge(x)
        features = run_convolutions(self.embed, image, slope=0.0)
        total = torch.zeros_like(image)
        widen, narrow = self.rebuild
        for share in self.shares / self.shares.sum():
            features = F.relu(self.recur(features))
            total = total + share * narrow(F.relu_(widen(features))).float()
        return image + total  # every reconstruction adds to the same picture


class DRRN(LumaNetwork):
    """One residual unit applied 25 times (Tai et al., CVPR 2017).

    The defaults are DRRN_B1U25. As in the authors' Caffe files, the convolutions are
    the same in every unit and at every scale, the normalisations are not. The weights
    are published for Caffe alone, which is not read here.
    """

    def __init__(self, *, scale: int = 4, channels: int = 128, units: int = 25) -> None:
        super().__init__(scale)
        self.enlarge = BicubicEnlargement(scale=scale)
        self.first_norm = nn.BatchNorm2d(1)
        self.head = conv(1, channels)
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)
        self.norms1 = repeated_norms(channels, units)
        self.norms2 = repeated_norms(channels, units)
        self.last_norm = nn.BatchNorm2d(channels)
        self.last = conv(channels, 1)

    def _enlarge(self, x: Tensor) -> Tensor:
        image: Tensor = self.enlarge(x)
        head: Tensor = self.head(F.relu(self.first_norm(image)))
        out = head
        for norm1, norm2 in zip(self.norms1, self.norms2, strict=True):
            inner = self.conv1(F.relu_(norm1(out)))
            out = self.conv2(F.relu_(norm2(inner))) + head
        deep: Tensor = self.last(F.relu_(self.last_norm(out)))
        return image + deep.float()


class MemNet(LumaNetwork):
    """Memory blocks of recursions behind gates (Tai et al., ICCV 2017).

    The defaults are MemNet_M6R6_80C64, whose layers are the same for all scales. Each
    block applies a residual unit ``recursions`` times and is reconstructed; the network
    gives a learnt sum. Its weights are published for Caffe alone, which is not read
    here.
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        num_blocks: int = 6,
        recursions: int = 6,
    ) -> None:
        super().__init__(scale)
        self.enlarge = BicubicEnlargement(scale=scale)
        self.first_norm = nn.BatchNorm2d(1)
        self.head = conv(1, channels)
        self.body = nn.ModuleList(
            MemoryBlock(channels, recursions, memory_count=number + 1)
            for number in range(num_blocks)
        )
        self.norms = repeated_norms(channels, num_blocks)
        self.last = conv(channels, 1)
        self.shares = nn.Parameter(torch.full((num_blocks,), 1.0 / num_blocks))

    def _enlarge(self, x: Tensor) -> Tensor:
        image: Tensor = self.enlarge(x)
        memories: list[Tensor] = [self.head(F.relu(self.first_norm(image)))]
        total = torch.zeros_like(image)
        for block, norm, share in zip(self.body, self.norms, self.shares, strict=True):
            memories.append(block(memories))
            deep: Tensor = self.last(F.relu_(norm(memories[-1])))
            total = total + share * (image + deep.float())
        return total


class MemoryBlock(nn.Module):
    """A residual unit applied several times; a 1x1 gate over results and memories.

    The convolutions are the same in every recursion, the normalisations are not.
    Memories are the outputs of all blocks before; the block gets ``memory_count`` of
    them, its input as the last one.
    """

    def __init__(self, channels: int, recursions: int, memory_count: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)
        self.norms1 = repeated_norms(channels, recursions)
        self.norms2 = repeated_norms(channels, recursions)
        joined = (memory_count + recursions) * channels
        self.norm = nn.BatchNorm2d(joined)
        self.gate = conv(joined, channels, 1)

    def forward(self, memories: Sequence[Tensor]) -> Tensor:
        """Return the next memory, (N, C, H, W)."""
        states = list(memories)
        for norm1, norm2 in zip(self.norms1, self.norms2, strict=True):
            inner = self.conv1(F.relu_(norm1(states[-1])))
            states.append(states[-1] + self.conv2(F.relu_(norm2(inner))))
        return self.gate(F.relu_(self.norm(torch.cat(states, dim=1))))


class IDN(LumaNetwork):
    """Information distillation network (Hui et al., CVPR 2018).

    The defaults are the published model; its weights are published for Caffe alone,
    which is not read here. ``channels``, the paper's D_3, must be a multiple of 16.
    """

    SLOPE = 0.05

    def __init__(
        self, *, scale: int = 4, channels: int = 64, num_blocks: int = 4
    ) -> None:
        super().__init__(scale)
        self.head = convs([(1, channels), (channels, channels)])
        self.body = repeat(lambda: EnhancementBlock(channels), num_blocks)
        self.up = nn.ConvTranspose2d(
            channels, 1, 17, stride=scale, padding=8, output_padding=scale - 1
        )
        self.skip = BicubicEnlargement(scale=scale)

    def _enlarge(self, x: Tensor) -> Tensor:
        features = run_convolutions(self.head, x, slope=IDN.SLOPE)
        return torch.add(self.up(self.body(features)).float(), self.skip(x))


class EnhancementBlock(nn.Module):
    """IDN's DBlock: an enhancement unit, a quarter of it kept for later, and a 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        self.quarter = quarter
        self.first = nn.ModuleList(
            [
                conv(channels, 3 * quarter),
                conv(3 * quarter, 2 * quarter, groups=4),
                conv(2 * quarter, channels),
            ]
        )
        self.second = nn.ModuleList(
            [
                conv(3 * quarter, channels),
                conv(channels, 3 * quarter, groups=4),
                conv(3 * quarter, channels + quarter),
            ]
        )
        self.fuse = conv(channels + quarter, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out = run_convolutions(self.first, x, slope=IDN.SLOPE)
        shortcut = torch.cat([x, out[:, : self.quarter]], dim=1)
        out = run_convolutions(self.second, out[:, self.quarter :], slope=IDN.SLOPE)
        return F.leaky_relu(self.fuse(out + shortcut), IDN.SLOPE)


class LapSRN(LumaNetwork):
    """A Laplacian pyramid of residuals, doubled level by level (Lai et al., CVPR 2017).

    The defaults are the model of the authors' code, whose x3 is x4 made smaller. Their
    weights are published for MATLAB alone, which is not read here. ``depth`` counts the
    convolutions of a level before its upsampling.
    """

    bf16 = False
    SLOPE = 0.2

    def __init__(self, *, scale: int = 4, channels: int = 64, depth: int = 10) -> None:
        super().__init__(scale)
        self.head = conv(1, channels)
        self.levels = nn.ModuleList(
            PyramidLevel(channels, depth) for _ in UPSAMPLING_FACTORS[scale]
        )

    def _enlarge(self, x: Tensor) -> Tensor:
        features = F.leaky_relu(self.head(x), LapSRN.SLOPE)
        image = x
        for level in self.levels:
            features, image = level(features, image)
        return image


class PyramidLevel(nn.Module):
    """A doubling of the features, and of the picture, which gets a residual from them."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.layers = convs([(channels, channels)] * depth)
        self.up = nn.ConvTranspose2d(channels, channels, 3, stride=2)
        self.residual = conv(channels, 1)
        for layer in (*self.layers, self.up, self.residual):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.enlarge = nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1, bias=False)
        bilinear = (0.25, 0.75, 0.75, 0.25)
        # products of tensors import a compiler where a network is but outlined
        kernel = [[row * column for column in bilinear] for row in bilinear]
        self.enlarge.weight.data.copy_(torch.tensor(kernel))

    def forward(self, features: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Double (N, C, H, W) and (N, 1, H, W)."""
        features = run_convolutions(self.layers, features, slope=LapSRN.SLOPE)
        # The last row and column are cut off, as in the authors' code.
        features = F.leaky_relu(self.up(features)[..., :-1, :-1], LapSRN.SLOPE)
        return features, self.enlarge(image) + self.residual(features)


class ECBSR(TrainedWithBranches):
    """Edge-oriented convolutions that fold into plain ones (Zhang et al., ACM MM 2021).

    The defaults are ECBSR-M16C64; others are M10C32, M10C16, M4C16 and M4C8, by
    ``depth``, the blocks between the first and the last, and ``channels``. ``deployed``
    has plain convolutions.
    """

    colour = "y"
    edge = 4

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        depth: int = 16,
        deployed: bool = False,
    ) -> None:
        super().__init__(scale)
        make = conv if deployed else EdgeOrientedConv
        self.body = nn.Sequential()
        for width in (1, *[channels] * depth):
            self.body.append(make(width, channels))
            self.body.append(nn.PReLU(channels))
        self.body.append(make(channels, scale * scale))

    def _enlarge(self, x: Tensor) -> Tensor:
        # The picture itself is added at each sub-pixel position.
        out = widened(self.body(x)) + widened(x)
        return F.pixel_shuffle(out, self.scale)


class EdgeOrientedConv(FoldingConv):
    """ECB: a 3x3 convolution, a wider one after a 1x1, and three learnt filters of edges.

    The 1x1 convolutions before the filters need no bias: the filters' sums are zero.
    """

    masks: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv(in_channels, out_channels)
        self.point = conv(in_channels, 2 * out_channels, 1)
        self.wide = conv(2 * out_channels, out_channels)
        self.edges = nn.ModuleList(
            conv(in_channels, out_channels, 1, bias=False) for _ in EDGE_FILTERS
        )
        gains = torch.randn(len(EDGE_FILTERS), out_channels, 1, 1, 1)
        self.gains = nn.Parameter(1e-3 * gains)
        self.shift = nn.Parameter(1e-3 * torch.randn(out_channels))
        self.register_buffer("masks", torch.tensor(EDGE_FILTERS), persistent=False)

    def kernel(self) -> FoldedKernel:
        """Return the 3x3 kernel that equals all branches."""
        weight, bias = kernel_of(self.conv)
        kernels = [FoldedKernel(weight, bias + self.shift)]
        kernels.append(chain_kernels(kernel_of(self.point), kernel_of(self.wide)))
        for edge, mask, gain in zip(self.edges, self.masks, self.gains, strict=True):
            kernels.append(
                FoldedKernel(edge.weight * mask * gain, torch.zeros_like(self.shift))
            )
        return sum_kernels(kernels)

    @torch.no_grad()
    def state_equal_to(self, kernel: FoldedKernel) -> dict[str, Tensor]:
        """Return a state dict that equals a 3x3 kernel, the other branches unchanged."""
        twin = copy.deepcopy(self)
        present = twin.kernel()
        twin.conv.weight.add_(kernel.weight - present.weight)
        assert twin.conv.bias is not None
        twin.conv.bias.add_(kernel.bias - present.bias)
        return twin.state_dict()


def fold_ecbsr(tensors: Tensors) -> Tensors:
    """Fold the branches of ECBSR's blocks, by its authors' names, to the deployed form."""
    deployed = {}
    number = 0
    while f"backbone.{number}.conv3x3.weight" in tensors:
        stem = f"backbone.{number}."
        block = {
            key.removeprefix(stem): tensor
            for key, tensor in tensors.items()
            if key.startswith(stem)
        }
        weight, bias = sum_kernels(_branches_of_ecbsr(block))
        deployed[f"body.{2 * number}.weight"] = weight
        deployed[f"body.{2 * number}.bias"] = bias
        if "act.weight" in block:
            deployed[f"body.{2 * number + 1}.weight"] = block["act.weight"]
        number += 1
    return deployed


def _branches_of_ecbsr(block: Tensors) -> list[FoldedKernel]:
    """Return a kernel for each branch of a block of ECBSR."""
    kernels = [FoldedKernel(block["conv3x3.weight"], block["conv3x3.bias"])]
    if "conv1x1_3x3.k0" in block:
        point = FoldedKernel(block["conv1x1_3x3.k0"], block["conv1x1_3x3.b0"])
        wide = FoldedKernel(block["conv1x1_3x3.k1"], block["conv1x1_3x3.b1"])
        kernels.append(chain_kernels(point, wide))
    for edge in ("conv1x1_sbx", "conv1x1_sby", "conv1x1_lpl"):
        if f"{edge}.k0" in block:
            filters = block[f"{edge}.scale"] * block[f"{edge}.mask"]
            weight = block[f"{edge}.k0"] * filters
            kernels.append(FoldedKernel(weight, block[f"{edge}.bias"]))
    return kernels
