"""RRLFN: re-parameterised residual local feature network (Guo et al., 2025)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.errors import ModelError
from srcli.layers.attention import EnhancedSpatialAttention
from srcli.layers.local_features import ResidualLocalFeatureBlock
from srcli.layers.network import full_precision
from srcli.layers.reparameterised import ReparameterisedConv, TrainedWithBranches
from srcli.layers.resize import CORNERS, corner_phases


class RRLFN(TrainedWithBranches):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the paper's network in training form.

    The deployed form has one 3x3 kernel where the training form adds branches: RLFN-S (Kong et al.
    2022) with ReLU. Its state lacks only what the extra branches add.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body.
        num_blocks: Residual local feature blocks.
        esa_channels: Channels inside the attention of a block.
        act: Activation; RLFN has ``lrelu``.
        slope: Negative slope of ``lrelu``.
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
        act: Literal["relu", "lrelu"] = "relu",
        slope: float = 0.05,
        pointwise_branch: bool = True,
        identity_branch: bool = False,
        bn: bool = False,
        deployed: bool = False,
    ) -> None:
        super().__init__()
        self.scale = scale

        def unit() -> ReparameterisedConv:
            return ReparameterisedConv(
                channels=channels,
                pointwise=pointwise_branch and not deployed,
                identity=identity_branch and not deployed,
                bn=bn and not deployed,
            )

        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(
            *(
                ResidualLocalFeatureBlock(
                    [unit() for _ in range(3)],
                    channels=channels,
                    esa_channels=esa_channels,
                    slope=slope if act == "lrelu" else 0.0,
                )
                for _ in range(num_blocks)
            )
        )
        self.tail = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped.

        Pictures too small for the attention are continued by their outermost pixels, and cut.
        """
        self.check_input(x)
        height, width = x.shape[2:]
        down, right = (max(EnhancedSpatialAttention.MINIMUM - side, 0) for side in (height, width))
        if down or right:
            x = F.pad(x, (0, right, 0, down), mode="replicate")
        # The picture itself runs past the body, from the head to the upsampling: half precision
        # would cost it 8-bit steps.
        with full_precision(x.device):
            head: Tensor = self.head(x.float())
        deep: Tensor = self.tail(self.body(head))
        with full_precision(x.device):
            out: Tensor = self.up(head + deep)
        out = F.pixel_shuffle(out, self.scale)
        return out[:, :, : height * self.scale, : width * self.scale]

    @torch.no_grad()
    def start_from_bicubic(self, deep_gain: float = 0.1) -> None:
        """Make the untrained network a bicubic enlargement, plus a little of its deep path.

        Twelve channels of the head become copies of R, G and B, shifted by one pixel towards each
        of the four corners; seen through them the 3x3 kernels of the upsampling reach as far as
        the 5x5 of bicubic interpolation.

        Args:
            deep_gain: Factor on the initial weights of the body's last convolution and of the
                upsampling.

        Raises:
            ModelError: If the network has fewer than 12 channels.
        """
        copies = 3 * len(CORNERS)
        if self.head.out_channels < copies:
            raise ModelError(
                f"a bicubic start takes {copies} channels or more, not {self.head.out_channels}; "
                "set start_from_bicubic=false"
            )
        for conv in (self.tail, self.up):
            conv.weight.mul_(deep_gain)
            assert conv.bias is not None
            conv.bias.zero_()
        assert self.head.bias is not None
        self.head.bias[:copies] = 0
        self.head.weight[:copies] = 0
        phases = self.scale * self.scale
        for number, (down, right, kernels) in enumerate(corner_phases(self.scale)):
            for colour in range(3):
                channel = 3 * number + colour
                self.head.weight[channel, colour, 1 + down, 1 + right] = 1
                self.up.weight[colour * phases : (colour + 1) * phases, channel] += kernels
