"""Generator of the attention-recurrent GAN: attention maps refined step by step (about 2020)."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.blocks import (
    CORNERS,
    ResidualDenseBlock,
    conv,
    convs,
    repeat,
    run_convolutions,
    start_bicubic_by_corners,
)
from srcli.layers.network import Network, run_without_bf16
from srcli.layers.operations import convolve, convolve_joined, sigmoid


class AttentiveGenerator(Network):
    """Generator of the attentive GAN: enlarge RGB in [0, 1]; by default as published, x4.

    Args:
        channels: Channels C of all feature maps.
        steps: Time steps T of the attention; 0 leaves attention out.
        rdb: Blocks of a time step: residual dense ones, or plain convolutions of about
            their size.
        num_rdb: How many of them a time step has.
        growth: Channels that each convolution of a dense block adds.
        rdb_depth: 3x3 convolutions of a block.
        mapping_depth: Convolutions of the mapping.
        mapping_input: What the mapping reads: the picture's features beside the last
            map, or the state of the attention's recurrent unit, as the paper's
            equations 7 and 8 have it to the letter; the picture's features are used
            where there is no attention.
    """

    edge = 4

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 64,
        steps: int = 4,
        rdb: Literal["dense", "plain"] = "dense",
        num_rdb: int = 3,
        growth: int = 32,
        rdb_depth: int = 4,
        mapping_depth: int = 8,
        mapping_input: Literal["map", "state"] = "map",
    ) -> None:
        super().__init__(scale)
        if steps < 0 or mapping_depth < 1:
            raise ValueError(
                f"expected steps of at least 0 and a mapping_depth of at least 1, "
                f"got {steps} and {mapping_depth}"
            )
        self.num_maps = steps
        self.mapping_input = mapping_input

        def block() -> nn.Module:
            if rdb == "dense":
                return ResidualDenseBlock(channels, rdb_depth, growth)
            return ResidualDenseBlock(channels, rdb_depth, growth=0)

        self.head = conv(3, channels)
        self.shallow = conv(channels, channels)
        self.attention = None
        inputs = channels
        if steps:
            self.attention = AttentionStep(repeat(block, num_rdb), channels)
            if mapping_input == "map":
                inputs = channels + 1
        deeper = [(channels, channels)] * (mapping_depth - 1)
        self.mapping = convs([(inputs, channels), *deeper])
        self.up = conv(channels, 3 * scale * scale)

    def _enlarge(self, x: Tensor) -> Tensor:
        return self.attend(x)[0]

    def attend(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return SR, not clipped, and A_1 .. A_T, each (N, 1, H, W) in [0, 1].

        The maps are larger where there is more to do.
        """
        self.check_input(x)
        # The picture goes through these layers and the last one.
        head = partial(convolve, self.head, slope=0.0)
        features = run_without_bf16(self.shallow, run_without_bf16(head, x))
        state: Tensor | None = None
        maps = [torch.full_like(features[:, :1], 0.5)]  # A_0
        if self.attention is not None:
            for _ in range(self.num_maps):
                next_map, state = self.attention(features, maps[-1], state)
                maps.append(next_map)
        if state is None:
            mapped = features
        elif self.mapping_input == "map":
            mapped = torch.cat([features, maps[-1]], dim=1)
        else:
            mapped = state
        mapped = run_convolutions(self.mapping, mapped, slope=0.0)
        enlarged = run_without_bf16(self.up, mapped + features)
        return F.pixel_shuffle(enlarged, self.scale), maps[1:]

    @torch.no_grad()
    def start_from_bicubic(self, deep_gain: float = 0.1) -> None:
        """Begin as a bicubic enlargement, plus a little of the network's deep path.

        ``deep_gain`` is the factor on the initial weights of what is added to that.
        Fewer than twelve channels have no such start (ModelError).
        """
        self.up.weight[:, : 3 * len(CORNERS)] = 0
        count = start_bicubic_by_corners(self.head, self.up, self.scale, gain=deep_gain)
        end = self.mapping[-1]
        assert isinstance(end, nn.Conv2d)
        # Small and not zero: behind a ReLU, zeros would never learn.
        end.weight[:count] *= deep_gain
        self.shallow.weight[:count] = 0
        self.shallow.weight[range(count), range(count), 1, 1] = 1
        for layer in (self.shallow, end):
            assert layer.bias is not None
            layer.bias[:count] = 0


class AttentionStep(nn.Module):
    """One time step of the attention: blocks, a recurrent unit, and the next map."""

    def __init__(self, blocks: nn.Sequential, channels: int) -> None:
        super().__init__()
        self.first = conv(channels + 1, channels)
        self.blocks = blocks
        self.unit = ConvGRU(channels=channels)
        self.last = conv(channels, 1)

    def forward(
        self, features: Tensor, attention_map: Tensor, state: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the next map, (N, 1, H, W), and state, (N, C, H, W).

        Features are (N, C, H, W); the state is None at the first step.
        """
        x = convolve_joined(self.first, [features, attention_map], slope=0.0)
        state = self.unit(self.blocks(x), state)
        return sigmoid(self.last(state)), state


class ConvGRU(nn.Module):
    """Gated recurrent unit of 3x3 convolutions (Ballas et al. 2016).

    ``z, r = sigmoid(W_z [h, x]), sigmoid(W_r [h, x])``; ``c = tanh(W [r h, x])``;
    ``h' = (1 - z) h + z c``, the products with z and r element by element.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        # W_z and W_r read the same maps: one convolution for both.
        self.gates = conv(2 * channels, 2 * channels)
        self.candidate = conv(2 * channels, channels)

    def forward(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        """Return the new state, (N, C, H, W) as ``x`` and the former; None is zeros."""
        if state is None:  # only the weights of x and z count
            width = x.shape[1]
            weight = self.gates.weight[:width, width:]
            bias = self.gates.bias
            assert bias is not None
            update = sigmoid(F.conv2d(x, weight, bias[:width], padding=1))
            weight = self.candidate.weight[:, width:]
            candidate = F.conv2d(x, weight, self.candidate.bias, padding=1)
            return update * torch.tanh(candidate)
        update, reset = sigmoid(convolve_joined(self.gates, [state, x])).chunk(2, dim=1)
        candidate = torch.tanh(convolve_joined(self.candidate, [reset * state, x]))
        return torch.lerp(state, candidate, update)
