"""G-IDRN: group-information distillation residual network (Acta Automatica Sinica, 2024)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import AsymmetricNonLocal, ContrastChannelAttention
from srcli.layers.blocks import (
    Concatenation,
    FeatureDistillationBlock,
    conv,
    convs,
    damp,
)
from srcli.layers.convolution import convolve, convolve_joined
from srcli.layers.network import Network, full_precision
from srcli.layers.reproducible import sigmoid
from srcli.layers.resize import bicubic_phases

UNIT = 8
"""Channels of merged convolutions are multiples of it, which tensor cores need."""


class GIDRN(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the paper's final model.

    With ``dense_shortcut`` the blocks stand in groups (3 groups of 3 by default),
    joined inside and among each other by dense shortcuts; without it they stand in the
    frame of RFDN: all outputs concatenated, fused by a 1x1 convolution.

    Args:
        channels: Channels of the body (72; the RFDB variants of the ablation use 48).
        num_groups: Groups of blocks with dense shortcuts.
        group_width: Channels in a group of the 3x3 convolutions of a G-IDB.
        block: ``g-idb`` or the ``rfdb`` it replaces.
        dual_path: Reconstruct from the features and, by a 5x5 convolution, from the LR
            image; else the global skip connection of RFDN.
        dense_shortcut: Dense shortcuts instead of the concatenation of all blocks.
        ds_initial: Start value of the shortcut weights; 1 makes the features explode.
        ds_self: Shortcuts from a module's input to its own output too.
        outer_shortcut: Shortcuts among the groups too; the paper's ablation models have
            none.
        group_fuse: Fuse the outputs of the groups by a 1x1 convolution instead of outer
            shortcuts.
        anrb: Asymmetric non-local residual block before the upsampling.
        anrb_bins: Its pooled grids; empty for none.
    """

    edge = 4
    pools_globally = True

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 72,
        num_blocks: int = 9,
        num_groups: int = 3,
        group_width: int = 8,
        block: Literal["g-idb", "rfdb"] = "g-idb",
        dual_path: bool = True,
        dense_shortcut: bool = True,
        ds_initial: float = 0.1,
        ds_self: bool = False,
        outer_shortcut: bool = True,
        group_fuse: bool = False,
        anrb: bool = True,
        anrb_bins: tuple[int, ...] = (1, 3, 6, 8),
        slope: float = 0.05,
    ) -> None:
        super().__init__(scale)
        if block == "g-idb" and channels % group_width:
            raise ValueError(
                f"channels={channels} does not divide by group_width={group_width}"
            )
        if dense_shortcut and num_blocks % num_groups:
            raise ValueError(
                f"num_blocks={num_blocks} does not divide by num_groups={num_groups}"
            )
        self.slope = slope
        self.dual_path = dual_path

        def make() -> nn.Module:
            if block == "rfdb":
                attention = partial(ContrastChannelAttention, channels=channels)
                return FeatureDistillationBlock(
                    attention, channels=channels, slope=slope
                )
            return GroupDistillationBlock(
                channels=channels, group_width=group_width, slope=slope
            )

        def shortcut(modules: list[nn.Module]) -> nn.Module:
            return DenseShortcut(modules, initial=ds_initial, include_self=ds_self)

        def group() -> nn.Module:
            return shortcut([make() for _ in range(num_blocks // num_groups)])

        self.head = conv(3, channels)
        inner = (
            [group() for _ in range(num_groups)]
            if dense_shortcut
            else [make() for _ in range(num_blocks)]
        )
        self.body: nn.Module
        if group_fuse or not dense_shortcut:
            self.body = Concatenation(inner, channels=channels, slope=slope)
        else:
            self.body = shortcut(inner) if outer_shortcut else nn.Sequential(*inner)
        self.smooth = None if dual_path else conv(channels, channels)
        self.non_local = (
            AsymmetricNonLocal(channels=channels, bins=anrb_bins) if anrb else None
        )
        self.up = conv(channels, 3 * scale * scale)
        self.direct = conv(3, 3 * scale * scale, 5) if dual_path else None
        self.merged: MergedForm | None = None

    def keep_half(self, half: torch.dtype) -> None:
        """Keep a form of it that GPUs run fast; ablation models of other parts have none."""
        if (
            MergedForm.fits(self.body)
            and self.dual_path
            and self.non_local
            and self.non_local.bins
        ):
            self.merged = MergedForm(self, half)

    def _enlarge(self, x: Tensor) -> Tensor:
        if (
            self.merged is None
            or x.is_meta
            or not torch.is_autocast_enabled(x.device.type)
        ):
            head: Tensor = self.head(x)
            features: Tensor = self.body(head)
            if self.smooth is not None:
                features = self.smooth(features) + head
            if self.non_local is not None:
                features = self.non_local(features)
            out: Tensor = self.up(features)
        else:
            out = self.merged(x)
        if self.direct is not None:
            # The image path carries the picture itself: half precision would cost it
            # 8-bit steps.
            with full_precision(x.device):
                image: Tensor = self.direct(x.float())
                out = out + image
        return F.pixel_shuffle(out, self.scale)

    @torch.no_grad()
    def start_from_bicubic(self, deep_gain: float = 0.1) -> None:
        """Make the untrained network a bicubic enlargement, plus a little of its deep path.

        The non-local block passes features on as they are at first: from random weights
        it adds the same to all pixels, which short trainings take long to unlearn
        (EXPERIMENTS.md). ``deep_gain`` is the factor on the initial weights of the deep
        path's last convolution.
        """
        damp(self.up, deep_gain)
        if self.non_local is not None:
            damp(self.non_local.out, 0)
        if self.direct is None:
            return
        damp(self.direct, 0)
        kernels, steps = bicubic_phases(self.scale), self.scale**2
        for channel in range(3):
            self.direct.weight[channel * steps : (channel + 1) * steps, channel] = (
                kernels
            )


class DenseShortcut(nn.Module):
    """Run modules in a row; learnt shares of earlier inputs join each output (DSNet 2021).

    ``x_j = M_j(x_{j-1}) + sum of w_i^j * x_{i-1}`` over i < j; ``include_self`` adds i
    = j.

    All modules keep the shape of their input; ``initial`` is the start value of every
    w.
    """

    def __init__(
        self, modules: Sequence[nn.Module], *, initial: float, include_self: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(modules)
        self.include_self = include_self
        n = len(modules)
        count = n * (n + 1) // 2 if include_self else n * (n - 1) // 2
        self.weights = nn.Parameter(torch.full((count,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        inputs: list[Tensor] = []
        taken = 0
        for block in self.blocks:
            inputs.append(x)
            shared = inputs if self.include_self else inputs[:-1]
            x = block(x)
            for source in shared:
                x = torch.addcmul(x, source, self.weights[taken].to(x.dtype))
                taken += 1
        return x


class GroupDistillationBlock(nn.Module):
    """G-IDB of G-IDRN: three pointwise + grouped residual steps, fused, gated, added (2024)."""

    def __init__(self, *, channels: int, group_width: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.pointwise = convs([(channels, channels)] * 3, 1)
        self.grouped = convs([(channels, channels)] * 4, groups=channels // group_width)
        self.fuse = conv(4 * channels, channels, 1)
        self.attention = ContrastChannelAttention(channels=channels)
        self.share = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        kept: list[Tensor] = []
        step = x
        for pointwise, grouped in zip(self.pointwise, self.grouped[:3], strict=True):
            kept.append(pointwise(step))
            step = convolve(grouped, kept[-1], plus=step, slope=self.slope)
        kept.append(self.grouped[3](step))
        fused = convolve_joined(self.fuse, kept)
        del kept, step  # they need not lie there while attention makes more
        # The share joins the small gate, not the large map: one pass over the features
        # fewer.
        gate = self.attention.gate(fused) * self.share.to(fused.dtype)
        return torch.addcmul(x, fused, gate.to(fused.dtype))


class MergedForm(nn.Module):
    """G-IDRN up to its pixel shuffle for GPUs in half precision: few large kernels.

    There a grouped convolution is no faster than a dense one, and every bias, sum and
    concatenation walks through memory once more. So the layers of each step of a G-IDB
    are one dense 3x3 convolution, and the fusion of the steps adds up matrix products.
    Channels behind those of the network are of ones: the weights of the first are the
    biases, at the rim of maps padded by zeros, too. Weights are merged in float64 and
    rounded once.
    """

    @staticmethod
    def fits(body: nn.Module) -> bool:
        """Return False for bodies that have other blocks or joins."""
        if isinstance(body, DenseShortcut):
            return not body.include_self and all(map(MergedForm.fits, body.blocks))
        return isinstance(body, GroupDistillationBlock)

    def __init__(self, network: GIDRN, half: torch.dtype) -> None:
        super().__init__()
        exact: Any = copy.deepcopy(network).double().requires_grad_(requires_grad=False)
        channels, attention = network.head.out_channels, exact.non_local
        width = channels // UNIT * UNIT + UNIT
        head = _with_ones(exact.head, width, UNIT)
        head[channels:, 3, 1, 1] = 1
        looks = torch.cat(
            [
                _with_ones(each, UNIT, width)[..., 0, 0]
                for each in (attention.query, attention.key, attention.value)
            ]
        )
        out = head.new_zeros(UNIT, width)
        out[0, :channels], out[1, :channels] = (
            attention.out.weight.flatten(),
            attention.out.bias,
        )
        up = _with_ones(exact.up, len(exact.up.weight), width)
        _keep(self, half, head=head, looks=looks.T, out=out, up=up)
        self.body = _MergedShortcut(network.body, channels, half)
        self.pyramid = attention.pyramid

    def forward(self, x: Tensor) -> Tensor:
        """Map RGB (N, 3, H, W) in [0, 1] to what ``up`` gives, (N, 3 scale^2, H, W)."""
        head, looks, out, up = map(self.get_buffer, ("head", "looks", "out", "up"))
        ones = F.pad(x, (0, 0, 0, 0, 0, UNIT - 3), value=1.0).to(head.dtype)
        features: Tensor = self.body(_convolve(ones, head))
        # Fused attention wants eight channels: behind the map queries have zeros, keys
        # and values ones, whose mean takes the bias of the convolution that follows.
        found = (_rows(features) @ looks).view(len(x), *x.shape[2:], 3 * UNIT)
        pooled = self.pyramid(found[..., UNIT::UNIT].permute(0, 3, 1, 2))
        key, value = F.pad(pooled[..., None], (0, UNIT - 1), value=1.0).chunk(2, dim=1)
        query = found[..., :UNIT].flatten(1, 2)[:, None]
        mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        _rows(features).addmm_(mixed.reshape(-1, UNIT), out)
        return _convolve(features, up)


def _keep(module: nn.Module, half: torch.dtype, **tensors: Tensor) -> None:
    for name, value in tensors.items():
        module.register_buffer(name, value.to(half), persistent=False)


def _with_ones(layer: nn.Conv2d, given: int, taken: int) -> Tensor:
    """Wider weights of a convolution whose bias is that of a channel of ones behind its others."""
    assert layer.bias is not None
    (count, own), middle = layer.weight.shape[:2], layer.weight.shape[2] // 2
    wide = layer.weight.new_zeros(given, taken, *layer.weight.shape[2:])
    wide[:count, :own], wide[:count, own, middle, middle] = layer.weight, layer.bias
    return wide


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    found = F.conv2d(x, weight, padding=1)
    return found.contiguous(memory_format=torch.channels_last)  # as cuDNN gives it


def _rows(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).view(-1, maps.shape[1])


def _place(values: Tensor) -> tuple[int, int]:
    return values.untyped_storage()._cdata, int(values.storage_offset())


class _MergedShortcut(nn.Module):
    """A ``DenseShortcut``."""

    def __init__(self, shortcut: Any, channels: int, half: torch.dtype) -> None:  # noqa: ANN401
        super().__init__()
        kinds: dict[object, Any] = {DenseShortcut: _MergedShortcut}
        self.blocks = nn.ModuleList(
            kinds.get(type(each), _MergedBlock)(each, channels, half)
            for each in shortcut.blocks
        )
        one = torch.eye(channels // UNIT * UNIT + UNIT).double()
        one[channels:] = 0  # what is added leaves the ones alone
        _keep(
            self, half, shares=shortcut.weights.detach().double()[:, None, None] * one
        )

    def forward(self, x: Tensor) -> Tensor:
        inputs: list[Tensor] = []
        shares = iter(self.get_buffer("shares"))
        for block in self.blocks:
            inputs.append(x)
            x = block(x)
            for source in inputs[:-1]:
                _rows(x).addmm_(_rows(source), next(shares))
        return x


class _MergedBlock(nn.Module):
    """A ``GroupDistillationBlock``; where its pool is held, the gate becomes a part of weights."""

    def __init__(
        self, block: GroupDistillationBlock, channels: int, half: torch.dtype
    ) -> None:
        super().__init__()
        self.slope, self.share, self.pool = (
            block.slope,
            block.share.item(),
            block.attention.pool,
        )
        self.held, self.gated = torch.empty(0), (torch.empty(0), torch.empty(0))
        exact: Any = copy.deepcopy(block).double().requires_grad_(requires_grad=False)
        width = channels // UNIT * UNIT + UNIT
        fuse = exact.fuse.weight[..., 0, 0].split(channels, dim=1)
        joins, own = torch.zeros(3, width, width).double(), range(channels + 1)
        weights = torch.zeros(4, width, width, 3, 3).double()
        for number, (weight, grouped) in enumerate(
            zip(weights, exact.grouped, strict=True)
        ):
            matrix = torch.eye(channels, channels + 1).double()
            if number < 3:
                matrix = _with_ones(exact.pointwise[number], channels, channels + 1)[
                    ..., 0, 0
                ]
                joins[number, : channels + 1, :channels] = (fuse[number] @ matrix).T
                weight[own, own, 1, 1] = 1
            # Impulses give the weights of the grouped convolution after the matrix,
            # mirrored.
            impulses, groups = matrix.T[..., None, None], grouped.groups
            found = F.conv2d(impulses, grouped.weight, padding=2, groups=groups).flip(
                2, 3
            )
            found[-1, :, 1, 1] += grouped.bias
            weight[:channels, : channels + 1] += found.transpose(0, 1)
        last = weights[3, :channels]
        last.copy_(torch.einsum("oi,ijkl->ojkl", fuse[3], last))
        last[:, channels, 1, 1] += exact.fuse.bias
        _keep(self, half, weight0=weights[0], weight1=weights[1], weight2=weights[2])
        _keep(self, half, weight3=weights[3], joins=joins)
        _keep(
            self,
            torch.promote_types(half, torch.float32),
            exact3=weights[3],
            exact_joins=joins,
        )
        squeeze, expand = exact.attention.squeeze, exact.attention.expand
        _keep(self, half, squeeze=squeeze.weight.flatten(1), squeeze_bias=squeeze.bias)
        behind = (0, width - channels)  # whose gates are 0
        _keep(self, half, expand=F.pad(expand.weight.flatten(1), (0, 0, *behind)))
        _keep(self, half, expand_bias=F.pad(expand.bias, behind, value=-1e4))

    def forward(self, x: Tensor) -> Tensor:
        kept = [x]
        for number in range(3):
            step = _convolve(kept[-1], self.get_buffer(f"weight{number}"))
            kept.append(F.leaky_relu_(step, self.slope))
        weight, joins = self.get_buffer("weight3"), self.get_buffer("joins")
        held = None if self.pool.recording else self.pool.held
        # Input and gate in one weight, rounded to the 8 bits of bf16, cost a third more
        # error.
        if held is not None and weight.dtype != torch.bfloat16:
            weight, joins = self._gated_by(held)
        fused = _convolve(kept.pop(), weight)
        for values, join in zip(kept, joins, strict=True):
            _rows(fused).addmm_(_rows(values), join)
        if joins is self.gated[1]:
            return fused
        channels = self.get_buffer("squeeze").shape[1]
        gate = self._gate(self.pool(fused[:, :channels]))
        return torch.addcmul(x, fused, gate[..., None, None], value=self.share)

    def _gate(self, pooled: Tensor) -> Tensor:
        names = ("squeeze", "squeeze_bias", "expand", "expand_bias")
        squeeze, squeeze_bias, expand, expand_bias = map(self.get_buffer, names)
        narrow = F.relu(F.linear(pooled.flatten(1), squeeze, squeeze_bias))
        return sigmoid(F.linear(narrow, expand, expand_bias))

    def _gated_by(self, held: Tensor) -> tuple[Tensor, Tensor]:
        """Weights that hold gate and input, kept until another picture's are asked for."""
        # Each pass is handed a new view of the same values; what is kept cannot be
        # overwritten.
        if _place(held) != _place(self.held):
            gate = self._gate(held.to(self.get_buffer("joins").dtype))[0] * self.share
            joins = self.get_buffer("exact_joins") * gate
            joins[0].diagonal().add_(1)
            weight = self.get_buffer("exact3") * gate[:, None, None, None]
            self.held, self.gated = held, (weight.to(gate.dtype), joins.to(gate.dtype))
        return self.gated
