"""RRLFN: re-parameterised residual local feature network (Guo et al., 2025)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.attention import EnhancedSpatialAttention
from srcli.layers.blocks import (
    ResidualLocalFeatureBlock,
    conv,
    damp,
    repeat,
    start_bicubic_by_corners,
)
from srcli.layers.network import full_precision, widened
from srcli.layers.reparameterised import ReparameterisedConv, TrainedWithBranches
from srcli.layers.user_network import own_block


class RRLFN(TrainedWithBranches):
    """RRLFN: enlarge RGB in [0, 1] by ``scale``; the defaults are the training form.

    The deployed form has one 3x3 kernel where the training form adds branches: RLFN-S
    (Kong et al. 2022) with ReLU. Its state lacks only what the extra branches add.

    Args:
        esa_channels: Channels inside the attention of a block.
        block: ``rlfb``, or a class of the user's own code, which gets ``channels``,
            ``esa_channels``, ``slope`` and the three convolutions, ``units``, as far as it
            takes them.
        act: Activation; RLFN has ``lrelu``, of a negative slope of 0.05.
        pointwise_branch: A 1x1 convolution beside every 3x3 one of the blocks.
        identity_branch: The unchanged input beside them.
        bn: Batch normalisation in every branch.
        deployed: The deployed form, whatever branches it was folded from.
    """

    edge = 4
    tile_step = EnhancedSpatialAttention.STEP

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 48,
        num_blocks: int = 6,
        esa_channels: int = 16,
        block: str = "rlfb",
        act: Literal["relu", "lrelu"] = "relu",
        pointwise_branch: bool = True,
        identity_branch: bool = False,
        bn: bool = False,
        deployed: bool = False,
    ) -> None:
        super().__init__(scale)

        def unit() -> nn.Module:
            return ReparameterisedConv(
                channels=channels,
                pointwise=pointwise_branch and not deployed,
                identity=identity_branch and not deployed,
                bn=bn and not deployed,
            )

        def make_block() -> nn.Module:
            make: Callable[..., nn.Module] = ResidualLocalFeatureBlock
            if block != "rlfb":
                make = partial(own_block, block, "rlfb")
            return make(
                units=repeat(unit, 3),
                channels=channels,
                esa_channels=esa_channels,
                slope=0.05 if act == "lrelu" else 0.0,
            )

        self.head = conv(3, channels)
        self.body = repeat(make_block, num_blocks)
        self.tail = conv(channels, channels)
        self.up = conv(channels, 3 * scale * scale)

    def _enlarge(self, x: Tensor) -> Tensor:
        """Enlarge; small pictures are continued by their outermost pixels, and cut."""
        height, width = x.shape[2:]
        rows = max(EnhancedSpatialAttention.MINIMUM - height, 0)
        columns = max(EnhancedSpatialAttention.MINIMUM - width, 0)
        if rows or columns:
            x = F.pad(x, (0, columns, 0, rows), mode="replicate")
        # The picture itself runs past the body, from the head to the upsampling: half
        # precision would cost it 8-bit steps.
        with full_precision(x.device):
            head: Tensor = self.head(widened(x))
        deep: Tensor = self.tail(self.body(head))
        with full_precision(x.device):
            out: Tensor = self.up(head + deep)
        out = F.pixel_shuffle(out, self.scale)
        if rows or columns:
            out = out[:, :, : height * self.scale, : width * self.scale]
        return out

    def start_from_bicubic(self, deep_gain: float = 0.1) -> None:
        """Begin as a bicubic enlargement, plus a little of the network's deep path.

        ``deep_gain`` is the factor on the initial weights of the body's last
        convolution and of the upsampling. A network of fewer than 12 channels has no
        such start (ModelError).
        """
        start_bicubic_by_corners(self.head, self.up, self.scale, gain=deep_gain)
        damp(self.tail, deep_gain)
