"""Convolutions with what follows them, which processors infer by single operations of oneDNN.

``convolve`` and ``convolve_joined`` are the plain layers wherever gradients are
recorded and on GPUs. ``pack_convolutions`` makes a network ready for inference on the
processor: weights are laid out once, and sums and activations are computed while values
are still in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers import onednn
from srcli.layers.network import is_half
from srcli.layers.onednn import Geometry


def convolve(
    layer: nn.Module,
    x: Tensor,
    *,
    plus: Tensor | None = None,
    slope: float | None = None,
) -> Tensor:
    """Convolve (N, C, H, W), add ``plus``, and apply a leaky ReLU of a slope, a ReLU for 0."""
    if isinstance(layer, PackedConv2d) and layer.is_ready(x):
        return layer.run((x,), plus, slope)
    out: Tensor = layer(x)
    if plus is not None:
        out = out + plus
    return _activate(out, slope)


def convolve_joined(
    layer: nn.Module, parts: Sequence[Tensor], *, slope: float | None = None
) -> Tensor:
    """Convolve maps (N, C, H, W) as if concatenated along their channels; see ``convolve``."""
    if (
        isinstance(layer, PackedConv2d)
        and layer.groups == 1
        and layer.is_ready(parts[0])
    ):
        return layer.run(parts, None, slope)
    # To add to the output moves less than a concatenation does, unless the parts are
    # narrow.
    if isinstance(layer, HalfConv2d) and layer.is_product(parts[0]):
        concatenated = layer.in_channels <= (len(parts) - 1) * layer.out_channels
        given = [torch.cat(list(parts), dim=1)] if concatenated else parts
        return _activate(layer.multiply(given), slope)
    joined = parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)
    return convolve(layer, joined, slope=slope)


def _activate(out: Tensor, slope: float | None) -> Tensor:
    # In place: nothing else needs what a convolution or a sum gave.
    if slope is None:
        return out
    return F.leaky_relu_(out, slope) if slope else F.relu_(out)


class PackedConv2d(nn.Conv2d):
    """A convolution whose weights are laid out as oneDNN wants them, when it is first called."""

    slope: float | None
    """Of a leaky ReLU that follows; None for none."""
    packed: dict[object, tuple[list[Tensor], Tensor | None]]
    """Weights, a part of them for each of several inputs, and biases, by dtype and
    channels."""

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy takes: what is laid out cannot be copied."""
        return self.__dict__ | {"packed": {}}

    def is_ready(self, x: Tensor) -> bool:
        """Return True if its operation can run; else PyTorch's must."""
        if x.device.type != "cpu" or torch.is_grad_enabled():
            return False
        return not onednn.find_fault(self._dtype())

    def _dtype(self) -> torch.dtype:
        if torch.is_autocast_enabled("cpu"):
            return torch.get_autocast_dtype("cpu")
        return self.weight.dtype

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        if self.is_ready(x):
            return self.run((x,), None, None)
        return _activate(super().forward(x), self.slope)

    def run(
        self, parts: Sequence[Tensor], plus: Tensor | None, slope: float | None
    ) -> Tensor:
        """Sum up the convolutions of parts of the input, and ``plus``; see ``convolve``."""
        dtype = self._dtype()
        geometry = Geometry(self.padding, self.stride, self.dilation, self.groups)  # type: ignore[arg-type]
        weights, bias = self._pack(
            dtype, tuple(part.shape[1] for part in parts), geometry
        )
        if slope is None:
            slope = self.slope
        first, *others = (part.to(dtype) for part in parts)
        if plus is not None:
            out = onednn.convolve_plus(
                first, plus.to(dtype), weights[0], bias, geometry
            )
        elif others:
            out = onednn.convolve(first, weights[0], bias, geometry, None)
        else:
            return onednn.convolve(first, weights[0], bias, geometry, slope)
        for part, weight in zip(others, weights[1:], strict=True):
            out = onednn.add_convolution(out, part, weight, None, geometry)
        return _activate(out, slope)

    def _pack(
        self, dtype: torch.dtype, widths: tuple[int, ...], geometry: Geometry
    ) -> tuple[list[Tensor], Tensor | None]:
        if (dtype, widths) not in self.packed:
            weight = self.weight.detach().to(dtype)
            parts = (
                torch.split(weight, list(widths), dim=1)
                if len(widths) > 1
                else (weight,)
            )
            bias = None if self.bias is None else self.bias.detach().to(dtype)
            packed = [onednn.pack_weight(part, geometry) for part in parts]
            self.packed[dtype, widths] = packed, bias
        return self.packed[dtype, widths]


class HalfConv2d(nn.Conv2d):
    """A convolution that keeps its weights rounded, which autocast would round in every pass.

    One of single pixels is a product of matrices, which adds the bias by itself, where
    cuDNN leaves that to another kernel. Outside autocast, as in the image path of
    networks and in second tries, it computes in fp32.
    """

    half_weight: Tensor
    half_bias: Tensor | None

    def is_product(self, x: Tensor) -> bool:
        """Return True where an output pixel is of one input pixel, and autocast is on."""
        alone = self.kernel_size == self.stride == (1, 1) and self.groups == 1
        return alone and not self.padding[0] and is_half(x)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        if self.is_product(x):
            return self.multiply((x,))
        if is_half(x):
            return self._conv_forward(x, self.half_weight, self.half_bias)
        return super().forward(x)

    def multiply(self, parts: Sequence[Tensor]) -> Tensor:
        """Convolve pixel by pixel as if parts of the input were concatenated."""
        rows = [each.permute(0, 2, 3, 1).to(self.half_weight.dtype) for each in parts]
        weights = torch.split(
            self.half_weight.flatten(1), [each.shape[3] for each in rows], dim=1
        )
        out = F.linear(rows[0], weights[0], self.half_bias)
        for row, weight in zip(rows[1:], weights[1:], strict=True):
            out.view(-1, out.shape[3]).addmm_(row.reshape(-1, row.shape[3]), weight.T)
        return out.permute(0, 3, 1, 2)


def pack_convolutions(network: nn.Module) -> bool:
    """Let a network infer by ``PackedConv2d``; False where oneDNN's operations do not work.

    Activations that follow convolutions within ``nn.Sequential`` become a part of them,
    but not in code of others, which may use the layers of one in other ways.
    """
    if onednn.find_fault(torch.float32):
        return False
    for module in list(network.modules()):
        numbers = isinstance(module, nn.Conv2d) and isinstance(
            module.padding, tuple
        )  # not "same"
        if type(module) is nn.Conv2d and numbers and module.padding_mode == "zeros":
            module.__class__ = PackedConv2d
            module.slope, module.packed = None, {}  # type: ignore[assignment]
    for module in network.modules():
        if isinstance(module, nn.Sequential) and not getattr(network, "reference", ""):
            for (_, layer), (name, act) in pairwise(list(module.named_children())):
                if isinstance(layer, PackedConv2d) and isinstance(
                    act, nn.ReLU | nn.LeakyReLU
                ):
                    layer.slope = (
                        act.negative_slope if isinstance(act, nn.LeakyReLU) else 0.0
                    )
                    setattr(module, name, nn.Identity())
    return True
