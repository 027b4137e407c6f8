"""Convolutions fused with the sums and activations after them, by oneDNN on processors.

``convolve`` and ``convolve_joined`` are the plain layers wherever gradients are
recorded and on GPUs. Packed layers (``PackedConv2d``, into which
``srcli.inference.fusing`` turns those of a network) lay out their weights once, and
compute sums and activations while values are still in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers import onednn
from srcli.layers.network import is_autocast
from srcli.layers.onednn import Geometry


def convolve(
    layer: nn.Module,
    x: Tensor,
    *,
    plus: Tensor | None = None,
    may_overwrite: bool = False,
    slope: float | None = None,
) -> Tensor:
    """Convolve (N, C, H, W), add ``plus``, and apply a leaky ReLU; 0 is a ReLU.

    ``may_overwrite`` says that nothing else needs ``plus``, so that the result may take
    its memory: in place a sum costs packed convolutions nothing, else a pass of its
    own where they have groups.
    """
    if isinstance(layer, PackedConv2d) and layer.is_ready(x):
        return layer.run((x,), plus, slope, may_overwrite=may_overwrite)
    out: Tensor = layer(x)
    if plus is not None:
        out = out + plus
    return _activate(out, slope)


def convolve_joined(
    layer: nn.Module,
    parts: Sequence[Tensor],
    *,
    slope: float | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Convolve maps (N, C, H, W) as if concatenated, into ``out``; see ``convolve``."""
    if (
        isinstance(layer, PackedConv2d)
        and layer.groups == 1
        and layer.is_ready(parts[0])
    ):
        zeros = None if out is None else out.zero_()
        convolved = layer.run(parts, zeros, slope, may_overwrite=True)
    elif isinstance(layer, HalfConv2d) and layer.is_product(parts[0]):
        # To add to the output moves less than a concatenation does, unless the parts
        # are narrow.
        if layer.in_channels <= (len(parts) - 1) * layer.out_channels:
            parts = [torch.cat(list(parts), dim=1)]
        convolved = _activate(layer.multiply(parts), slope)
    else:
        if len(parts) > 1:
            parts = [torch.cat(list(parts), dim=1)]
        convolved = convolve(layer, parts[0], slope=slope)
    if out is None or convolved is out:
        return convolved
    return out.copy_(convolved)


def _activate(out: Tensor, slope: float | None) -> Tensor:
    # In place: nothing else needs what a convolution or a sum gave.
    if slope is None:
        return out
    if slope == 0:
        return F.relu_(out)
    return F.leaky_relu_(out, slope)


class PackedConv2d(nn.Conv2d):
    """A convolution whose weights are laid out for oneDNN when it is first called."""

    slope: float | None
    """Of a leaky ReLU that follows; None for none."""
    packed: dict[object, tuple[list[Tensor], Tensor | None]]
    """Weights, a part of them for each of several inputs, and biases, by dtype and
    channels."""

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to copy, without packed weights, which cannot be copied."""
        return self.__dict__ | {"packed": {}}

    def is_ready(self, x: Tensor) -> bool:
        """Return True if oneDNN's packed operation can run on an input."""
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
        self,
        parts: Sequence[Tensor],
        plus: Tensor | None,
        slope: float | None,
        *,
        may_overwrite: bool = False,
    ) -> Tensor:
        """Sum up convolutions of parts of the input, and ``plus``; see ``convolve``."""
        dtype = self._dtype()
        geometry = Geometry(self.padding, self.stride, self.dilation, self.groups)  # type: ignore[arg-type]
        widths = tuple(part.shape[1] for part in parts)
        weights, bias = self._pack(dtype, widths, geometry)
        if slope is None:
            slope = self.slope
        x = parts[0].to(dtype)
        if plus is not None:
            plus = plus.to(dtype)
        if plus is not None and may_overwrite:
            # Maps whose pictures lie apart, oneDNN adds in another order.
            total = plus.contiguous(memory_format=torch.channels_last)
            onednn.add_convolution(total, x, weights[0], bias, geometry)
        elif plus is not None:
            total = onednn.convolve_plus(x, plus, weights[0], bias, geometry)
        elif len(parts) > 1:
            total = onednn.convolve(x, weights[0], bias, geometry, None)
        else:
            total = onednn.convolve(x, weights[0], bias, geometry, slope)
            slope = None
        for part, weight in zip(parts[1:], weights[1:], strict=True):
            onednn.add_convolution(total, part.to(dtype), weight, None, geometry)
        return _activate(total, slope)

    def _pack(
        self, dtype: torch.dtype, widths: tuple[int, ...], geometry: Geometry
    ) -> tuple[list[Tensor], Tensor | None]:
        """Return packed weights for parts of the input of some widths, and the bias."""
        if (dtype, widths) not in self.packed:
            parts = [self.weight.detach().to(dtype)]
            if len(widths) > 1:
                parts = list(torch.split(parts[0], list(widths), dim=1))
            bias = None if self.bias is None else self.bias.detach().to(dtype)
            packed = [onednn.pack_weight(part, geometry) for part in parts]
            self.packed[dtype, widths] = packed, bias
        return self.packed[dtype, widths]


class HalfConv2d(nn.Conv2d):
    """A convolution that keeps the rounded weights that autocast would make in every pass.

    One of single pixels is a product of matrices, which adds the bias by itself, where
    cuDNN leaves that to another kernel. Outside autocast, as in the image path of
    networks and in repeats of what failed in half precision, it computes in fp32.
    """

    half_weight: Tensor
    half_bias: Tensor | None

    def is_product(self, x: Tensor) -> bool:
        """Return True for a 1x1 convolution under autocast."""
        if self.kernel_size != (1, 1) or self.stride != (1, 1) or self.groups != 1:
            return False
        return not self.padding[0] and is_autocast(x)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        if self.is_product(x):
            return self.multiply((x,))
        if is_autocast(x):
            return self._conv_forward(x, self.half_weight, self.half_bias)
        return super().forward(x)

    def multiply(self, parts: Sequence[Tensor]) -> Tensor:
        """Convolve pixel by pixel as if parts of the input were concatenated."""
        weight = self.half_weight.flatten(1)
        out: Tensor | None = None
        start = 0
        for part in parts:
            rows = part.permute(0, 2, 3, 1).to(weight.dtype)
            width = rows.shape[3]
            matrix = weight[:, start : start + width]
            start += width
            if out is None:
                out = F.linear(rows, matrix, self.half_bias)
            else:
                total = out.view(-1, out.shape[3])
                total.addmm_(rows.reshape(-1, width), matrix.T)
        assert out is not None
        return out.permute(0, 3, 1, 2)
