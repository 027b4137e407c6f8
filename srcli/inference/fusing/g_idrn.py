"""G-IDRN for GPUs in half precision: its layers merged into few large kernels.

There a grouped convolution is no faster than a dense one, and every bias, sum and
concatenation walks through memory once more. So the layers of each step of a G-IDB
(``GroupDistillationBlock``) are one dense 3x3 convolution, and the fusion of the steps
adds up matrix products. Behind the network's channels all maps have channels of ones:
the weights of the first of them are the biases, at the rim of maps padded by zeros, too.
Weights are merged in float64 and rounded once.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.operations import sigmoid
from srcli.models.g_idrn import GIDRN, DenseShortcut, GroupDistillationBlock

UNIT = 8
"""Channels of merged convolutions are multiples of it, which tensor cores need."""


def merge_layers(network: GIDRN, half: torch.dtype) -> None:
    """Let a network run by merged layers under autocast, where it can."""
    attention = network.non_local
    if network.direct is None or attention is None or not attention.bins:
        return
    if _can_merge(network.body):
        network.merged = MergedForm(network, half)


def _can_merge(body: nn.Module) -> bool:
    """Return True for G-IDBs that are joined by dense shortcuts as the paper's are."""
    if isinstance(body, DenseShortcut):
        return not body.include_self and all(map(_can_merge, body.blocks))
    return isinstance(body, GroupDistillationBlock)


class MergedForm(nn.Module):
    """G-IDRN up to its pixel shuffle, without the path of the image itself."""

    head: Tensor
    projections: Tensor
    """Matrix of queries, keys and values of the attention, UNIT columns each."""
    out: Tensor
    up: Tensor

    def __init__(self, network: GIDRN, half: torch.dtype) -> None:
        super().__init__()
        exact: Any = copy.deepcopy(network).double().requires_grad_(requires_grad=False)
        attention = exact.non_local
        channels = network.head.out_channels
        width = _padded(channels)
        head = _widen(exact.head, width, UNIT)
        head[channels:, 3, 1, 1] = 1  # behind RGB the input has ones, which stay ones
        layers = (attention.query, attention.key, attention.value)
        projections = torch.cat([_widen_matrix(layer, UNIT, width) for layer in layers])
        out = head.new_zeros(UNIT, width)
        out[0, :channels] = attention.out.weight.flatten()
        out[1, :channels] = attention.out.bias
        up = _widen(exact.up, len(exact.up.weight), width)
        _keep(self, half, head=head, projections=projections.T, out=out, up=up)
        self.body = MergedShortcut(network.body, channels, half)
        self.pyramid = attention.pyramid

    def forward(self, x: Tensor) -> Tensor:
        """Map RGB (N, 3, H, W) in [0, 1] to what ``up`` gives, (N, 3 scale^2, H, W)."""
        height, width = x.shape[2:]
        with_ones = F.pad(x, (0, 0, 0, 0, 0, UNIT - 3), value=1.0).to(self.head.dtype)
        features: Tensor = self.body(_convolve(with_ones, self.head))
        # Fused attention wants eight channels: behind the map queries have zeros, keys
        # and values ones, whose mean takes the bias of the convolution that follows.
        projected = _rows(features) @ self.projections
        projected = projected.view(len(x), height, width, 3 * UNIT)
        pooled = self.pyramid(projected[..., UNIT::UNIT].permute(0, 3, 1, 2))
        key, value = F.pad(pooled[..., None], (0, UNIT - 1), value=1.0).chunk(2, dim=1)
        query = projected[..., :UNIT].flatten(1, 2)[:, None]
        mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        _rows(features).addmm_(mixed.reshape(-1, UNIT), self.out)
        return _convolve(features, self.up)


class MergedShortcut(nn.Module):
    """A ``DenseShortcut`` whose blocks and nested shortcuts are merged."""

    shares: Tensor

    def __init__(self, shortcut: Any, channels: int, half: torch.dtype) -> None:  # noqa: ANN401
        super().__init__()
        self.blocks = nn.ModuleList()
        for block in shortcut.blocks:
            nested = isinstance(block, DenseShortcut)
            merge = MergedShortcut if nested else MergedBlock
            self.blocks.append(merge(block, channels, half))
        identity = torch.eye(_padded(channels)).double()
        identity[channels:] = 0  # what is added leaves the ones alone
        weights = shortcut.weights.detach().double()
        _keep(self, half, shares=weights[:, None, None] * identity)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        inputs: list[Tensor] = []
        shares = iter(self.shares)
        for block in self.blocks:
            inputs.append(x)
            x = block(x)
            for source in inputs[:-1]:
                _rows(x).addmm_(_rows(source), next(shares))
        return x


@dataclass(frozen=True)
class GatedWeights:
    """Weights of a block's last step with a picture's gate and the block's input in them."""

    pooled: Tensor
    """The statistics of the picture that the gate follows from."""
    weight: Tensor
    joins: Tensor


class MergedBlock(nn.Module):
    """A ``GroupDistillationBlock``: four dense convolutions and three matrices.

    Where its pool holds a picture's statistics, the gate becomes a part of weights.
    """

    weight0: Tensor
    """Weights of the first step, its input added."""
    weight1: Tensor
    weight2: Tensor
    weight3: Tensor
    """Weights of the last step and the fusion behind it."""
    joins: Tensor
    """Matrices (3, width, width) of the fusion, for inputs of the first three steps."""
    exact_weight3: Tensor
    exact_joins: Tensor
    squeeze: Tensor
    squeeze_bias: Tensor
    expand: Tensor
    expand_bias: Tensor

    def __init__(
        self, block: GroupDistillationBlock, channels: int, half: torch.dtype
    ) -> None:
        super().__init__()
        self.slope = block.slope
        self.share = block.share.item()
        self.pool = block.attention.pool
        self.gated: GatedWeights | None = None
        exact: Any = copy.deepcopy(block).double().requires_grad_(requires_grad=False)
        width = _padded(channels)
        biased = channels + 1  # channels and the first of the ones
        fuse = exact.fuse.weight[..., 0, 0].split(channels, dim=1)
        joins = torch.zeros(3, width, width).double()
        weights = torch.zeros(4, width, width, 3, 3).double()
        for number in range(3):
            matrix = _widen_matrix(exact.pointwise[number], channels, biased)
            joins[number, :biased, :channels] = (fuse[number] @ matrix).T
            weights[number, :channels, :biased] = _behind(matrix, exact.grouped[number])
            weights[number, range(biased), range(biased), 1, 1] += 1
        identity = torch.eye(channels, biased).double()
        end = weights[3, :channels]
        end[:, :biased] = _behind(identity, exact.grouped[3])
        end.copy_(torch.einsum("oi,ijkl->ojkl", fuse[3], end))
        end[:, channels, 1, 1] += exact.fuse.bias
        for number, weight in enumerate(weights):
            _keep(self, half, **{f"weight{number}": weight})
        _keep(self, half, joins=joins)
        wide = torch.promote_types(half, torch.float32)
        _keep(self, wide, exact_weight3=weights[3], exact_joins=joins)
        squeeze = exact.attention.squeeze
        _keep(self, half, squeeze=squeeze.weight.flatten(1), squeeze_bias=squeeze.bias)
        expand = exact.attention.expand
        behind = (0, width - channels)  # whose gates are 0
        _keep(self, half, expand=F.pad(expand.weight.flatten(1), (0, 0, *behind)))
        _keep(self, half, expand_bias=F.pad(expand.bias, behind, value=-1e4))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        steps = [x]
        for weight in (self.weight0, self.weight1, self.weight2):
            step = _convolve(steps[-1], weight)
            steps.append(F.leaky_relu_(step, self.slope))
        pooled = None if self.pool.recording else self.pool.held
        # Input and gate in one weight, rounded to the 8 bits of bf16, cost a third more
        # error.
        if pooled is not None and self.weight3.dtype != torch.bfloat16:
            gated = self._gated_by(pooled)
            return _fuse(steps, gated.weight, gated.joins)
        fused = _fuse(steps, self.weight3, self.joins)
        channels = self.squeeze.shape[1]
        gate = self._gate(self.pool(fused[:, :channels]))
        return torch.addcmul(x, fused, gate[..., None, None], value=self.share)

    def _gate(self, pooled: Tensor) -> Tensor:
        """Return the gate (N, width) for pooled statistics; 0 behind the network's channels."""
        squeezed = F.linear(pooled.flatten(1), self.squeeze, self.squeeze_bias)
        return sigmoid(F.linear(F.relu(squeezed), self.expand, self.expand_bias))

    def _gated_by(self, pooled: Tensor) -> GatedWeights:
        """Return weights with gate and input, kept until the picture changes."""
        # Each pass is handed a new view of the same values; what is kept cannot be
        # overwritten.
        if self.gated is None or _memory(pooled) != _memory(self.gated.pooled):
            gate = self._gate(pooled.to(self.joins.dtype))[0] * self.share
            joins = self.exact_joins * gate
            joins[0].diagonal().add_(1)
            weight = self.exact_weight3 * gate[:, None, None, None]
            self.gated = GatedWeights(
                pooled, weight.to(gate.dtype), joins.to(gate.dtype)
            )
        return self.gated


def _padded(channels: int) -> int:
    """Return the number of channels, rounded up, of maps with ones behind the network's."""
    return channels // UNIT * UNIT + UNIT


def _keep(module: nn.Module, dtype: torch.dtype, **tensors: Tensor) -> None:
    """Register tensors, in a dtype, as buffers that are not saved with the network."""
    for name, value in tensors.items():
        module.register_buffer(name, value.to(dtype), persistent=False)


def _widen(layer: nn.Conv2d, out_width: int, in_width: int) -> Tensor:
    """Pad a convolution's weights; its bias stands behind its input channels."""
    assert layer.bias is not None
    out_channels, in_channels, *kernel = layer.weight.shape
    middle = kernel[0] // 2
    wide = layer.weight.new_zeros(out_width, in_width, *kernel)
    wide[:out_channels, :in_channels] = layer.weight
    wide[:out_channels, in_channels, middle, middle] = layer.bias
    return wide


def _widen_matrix(layer: nn.Conv2d, out_width: int, in_width: int) -> Tensor:
    """Pad the matrix of a 1x1 convolution as ``_widen`` does."""
    return _widen(layer, out_width, in_width)[..., 0, 0]


def _behind(matrix: Tensor, grouped: nn.Conv2d) -> Tensor:
    """Return dense weights of a matrix, as a 1x1 convolution, with a grouped one behind it."""
    assert grouped.bias is not None
    # The responses to impulses are the weights, mirrored.
    impulses = matrix.T[..., None, None]
    responses = F.conv2d(impulses, grouped.weight, padding=2, groups=grouped.groups)
    weight = responses.flip(2, 3)
    weight[-1, :, 1, 1] += grouped.bias
    return weight.transpose(0, 1)


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve maps to maps of the same size, channels last; biases are in the weight."""
    out = F.conv2d(x, weight, padding=1)
    return out.contiguous(memory_format=torch.channels_last)  # as cuDNN gives it


def _fuse(steps: list[Tensor], weight: Tensor, joins: Tensor) -> Tensor:
    """Return the last step's convolution plus matrix products of the steps before it."""
    fused = _convolve(steps.pop(), weight)
    for step, join in zip(steps, joins, strict=True):
        _rows(fused).addmm_(_rows(step), join)
    return fused


def _rows(maps: Tensor) -> Tensor:
    """View maps (N, C, H, W), channels last, as a matrix of pixels and channels."""
    return maps.permute(0, 2, 3, 1).view(-1, maps.shape[1])


def _memory(values: Tensor) -> tuple[int, int]:
    """Return where a tensor's values lie."""
    return values.untyped_storage()._cdata, int(values.storage_offset())
