"""G-IDRN: group-information distillation residual network (Acta Automatica Sinica, 2024)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
    repeat,
)
from srcli.layers.network import Network, full_precision, is_autocast, widened
from srcli.layers.operations import convolve, convolve_joined
from srcli.layers.resize import bicubic_phases
from srcli.layers.user_network import own_block


class GIDRN(Network):
    """G-IDRN: enlarge RGB in [0, 1] by ``scale``; the defaults are the final model.

    With ``dense_shortcut`` the blocks stand in groups (3 groups of 3 by default),
    joined inside and among each other by dense shortcuts; without it they stand in the
    frame of RFDN: all outputs concatenated, fused by a 1x1 convolution.

    Args:
        channels: Channels of the body (72; the RFDB variants of the ablation use 48).
        num_groups: Groups of blocks with dense shortcuts.
        group_width: Channels in a group of the 3x3 convolutions of a G-IDB.
        block: ``g-idb``, the ``rfdb`` it replaces, or a class of the user's own code, which
            gets ``channels``, ``group_width`` and ``slope`` as far as it takes them.
        dual_path: Reconstruct from the features and, by a 5x5 convolution, from the LR
            image; else the global skip connection of RFDN.
        dense_shortcut: Dense shortcuts instead of the concatenation of all blocks.
        ds_initial: Start value of the shortcut weights; 1 makes the features explode.
        ds_self: Shortcuts from a module's input to its own output too.
        outer_shortcut: Shortcuts among the groups too; the paper's ablation models have
            none.
        group_fuse: A 1x1 convolution over all groups instead of outer shortcuts.
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
        block: str = "g-idb",
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

        def make_block() -> nn.Module:
            if block == "rfdb":
                attention = partial(ContrastChannelAttention, channels=channels)
                return FeatureDistillationBlock(
                    attention, channels=channels, slope=slope
                )
            make: Callable[..., nn.Module] = GroupDistillationBlock
            if block != "g-idb":
                make = partial(own_block, block, "g-idb", "rfdb")
            return make(channels=channels, group_width=group_width, slope=slope)

        def shortcut(modules: nn.Sequential) -> nn.Module:
            return DenseShortcut(modules, initial=ds_initial, include_self=ds_self)

        def make_group() -> nn.Module:
            return shortcut(repeat(make_block, num_blocks // num_groups))

        self.head = conv(3, channels)
        if dense_shortcut:
            modules = repeat(make_group, num_groups)
        else:
            modules = repeat(make_block, num_blocks)
        self.body: nn.Module
        if group_fuse or not dense_shortcut:
            self.body = Concatenation(modules, channels=channels, slope=slope)
        elif outer_shortcut:
            self.body = shortcut(modules)
        else:
            self.body = modules
        self.smooth = None if dual_path else conv(channels, channels)
        self.non_local = None
        if anrb:
            self.non_local = AsymmetricNonLocal(channels=channels, bins=anrb_bins)
        self.up = conv(channels, 3 * scale * scale)
        self.direct = conv(3, 3 * scale * scale, 5) if dual_path else None
        self.merged: nn.Module | None = None
        """The deep path under autocast, if ``srcli.inference.fusing`` set it."""

    def _enlarge(self, x: Tensor) -> Tensor:
        out = self._deep_path(x)
        if self.direct is not None:
            # The image path carries the picture itself: half precision would cost it
            # 8-bit steps.
            with full_precision(x.device):
                image: Tensor = self.direct(widened(x))
                out = out + image
        return F.pixel_shuffle(out, self.scale)

    def _deep_path(self, x: Tensor) -> Tensor:
        if self.merged is not None and is_autocast(x):
            return self.merged(x)
        head: Tensor = self.head(x)
        features: Tensor = self.body(head)
        if self.smooth is not None:
            features = self.smooth(features) + head
        if self.non_local is not None:
            features = self.non_local(features)
        return self.up(features)

    @torch.no_grad()
    def start_from_bicubic(self, deep_gain: float = 0.1) -> None:
        """Begin as a bicubic enlargement, plus a little of the network's deep path.

        The non-local block passes features on as they are: from random weights it adds
        the same to all pixels, which trainings take long to unlearn. ``deep_gain`` is
        the factor on the initial weights of the deep path's last convolution.
        """
        damp(self.up, deep_gain)
        if self.non_local is not None:
            damp(self.non_local.out, 0)
        if self.direct is None:
            return
        damp(self.direct, 0)
        kernels = bicubic_phases(self.scale)
        for colour in range(3):
            start = colour * len(kernels)
            self.direct.weight[start : start + len(kernels), colour] = kernels


class DenseShortcut(nn.Module):
    """Modules in a row, with shares of all earlier inputs in each output (DSNet 2021).

    ``x_j = M_j(x_{j-1}) + sum of w_i^j * x_{i-1}`` over i < j, with ``include_self``
    over i <= j; shapes stay. ``initial`` is the start value of the learnt shares w.
    """

    def __init__(
        self, modules: nn.Sequential, *, initial: float, include_self: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(modules)
        self.include_self = include_self
        count = len(modules) * (len(modules) - 1) // 2
        if include_self:
            count += len(modules)
        self.weights = nn.Parameter(torch.full((count,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        inputs: list[Tensor] = []
        number = 0
        for block in self.blocks:
            inputs.append(x)
            sources = inputs if self.include_self else inputs[:-1]
            x = block(x)
            for source in sources:
                x = torch.addcmul(x, source, self.weights[number].to(x.dtype))
                number += 1
        return x


class GroupDistillationBlock(nn.Module):
    """G-IDB: pointwise and grouped convolutions in residual steps, fused and gated."""

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
        fused = self.distil(x)
        # The share joins the small gate, not the large map, which saves a pass over it.
        gate = self.attention.gate(fused) * self.share.to(fused.dtype)
        return torch.addcmul(x, fused, gate.to(fused.dtype))

    def distil(self, x: Tensor) -> Tensor:
        """Return what is gated and added to the input, of the same shape."""
        distilled: list[Tensor] = []
        step = x
        for pointwise, grouped in zip(self.pointwise, self.grouped[:3], strict=True):
            distilled.append(pointwise(step))
            step = convolve(
                grouped,
                distilled[-1],
                plus=step,
                may_overwrite=step is not x,
                slope=self.slope,
            )
        distilled.append(self.grouped[3](step))
        return convolve_joined(self.fuse, distilled)
