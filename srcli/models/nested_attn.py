"""Nested attention residual network: loops of attention residual blocks inside loops (2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self

import torch
from torch import Tensor, nn

from srcli.layers.attention import PooledChannelAttention
from srcli.layers.blocks import (
    Residual,
    ShuffleUpsampling,
    collect_outputs,
    conv,
    damp,
    merge_convolutions,
    repeat,
)
from srcli.layers.network import Network, widened
from srcli.layers.operations import convolve, convolve_joined
from srcli.layers.resize import BicubicEnlargement


class NestedAttention(Network):
    """Nested attention network: enlarge RGB in [0, 1] by ``scale``, as it was published.

    Args:
        levels: Depth of the nesting, attention blocks counted: 1 is a single block.
        branches: Modules of the level below in each loop.
        ca: Channel attention in the blocks.
        pool: Global pools of the attention.
        reduction: How many times narrower its bottleneck is.
        ca_kernel: Odd length of its convolution along the channels.
        accumulate: How a loop joins its input and the outputs of its modules:
            concatenated and fused by a 1x1 convolution, or added up.
        activations: Where ReLUs stand: inside the blocks alone, or also after the
            first convolution, the 1x1 convolutions and each step of the enlargement;
            the paper has ReLU as its activation and no list. Residual branches end
            without one.
    """

    edge = 4

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        levels: int = 3,
        branches: int = 4,
        ca: bool = True,
        pool: Literal["avg", "max", "both"] = "both",
        reduction: int = 16,
        ca_kernel: int = 3,
        accumulate: Literal["concat", "sum"] = "concat",
        activations: Literal["blocks", "all"] = "blocks",
    ) -> None:
        super().__init__(scale)
        if levels < 1 or branches < 1:
            raise ValueError(
                f"levels={levels} and branches={branches} must be at least 1"
            )
        self.pools_globally = ca

        act = nn.ReLU if activations == "all" else nn.Identity

        def attention() -> nn.Module:
            if not ca:
                return nn.Identity()
            return PooledChannelAttention(
                channels=channels, reduction=reduction, pool=pool, kernel=ca_kernel
            )

        def block() -> nn.Module:
            # Made first: the order decides which random weights each layer begins with.
            gate = attention()
            return Residual(
                first=conv(channels, channels),
                act=nn.ReLU(),
                second=conv(channels, channels),
                attention=gate,
            )

        def level(number: int) -> nn.Module:
            if number == 0:
                return block()
            return NestedLoop(
                repeat(lambda: level(number - 1), branches),
                channels=channels,
                concatenate=accumulate == "concat",
                act=act,
            )

        self.head = conv(3, channels)
        self.body = level(levels - 1)
        up = ShuffleUpsampling(
            channels=channels,
            scale=scale,
            activation=nn.ReLU if activations == "all" else None,
        )
        self.up = nn.Sequential(*up)
        self.act = act()
        self.last = conv(channels, 3)
        self.skip = BicubicEnlargement(scale=scale)

    def _enlarge(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.up(self.body(self.act(self.head(x)))))
        # The image path carries the picture itself and always stays in fp32.
        return torch.add(widened(out), self.skip(x))

    def for_inference(self) -> Self:
        """Return the network with its upsampling merged, a tenth of the products."""
        fused = super().for_inference()
        if isinstance(self.act, nn.ReLU):  # and the upsampling has some, too
            return fused
        tail = nn.Sequential(fused.up, fused.last)
        channels = fused.head.out_channels
        merged = merge_convolutions(tail, channels=channels, scale=self.scale)
        fused.up = nn.Sequential(merged, nn.PixelShuffle(self.scale))
        fused.add_module("last", nn.Identity())
        return fused

    def start_from_bicubic(self, deep_gain: float = 0.1) -> None:
        """Begin as a bicubic enlargement, plus a little of the network's deep path.

        ``deep_gain`` is the factor on the initial weights of the last convolution.
        """
        damp(self.last, deep_gain)


class NestedLoop(nn.Module):
    """One loop: modules in a row, their outputs joined, a convolution, the input added.

    With ``concatenate`` a 1x1 convolution and ``act`` join the outputs, else a sum.
    """

    def __init__(
        self,
        modules: nn.Sequential,
        *,
        channels: int,
        concatenate: bool,
        act: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(modules)
        joined = (len(modules) + 1) * channels
        self.fuse = conv(joined, channels, 1) if concatenate else None
        self.act = act()
        self.last = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        outputs = [x, *collect_outputs(self.blocks, x)]
        if self.fuse is None:
            joined = torch.stack(outputs).sum(dim=0)
        else:
            joined = self.act(convolve_joined(self.fuse, outputs))
        return convolve(self.last, joined, plus=x)
