"""The fastest form of a network on a device: merged layers, packed or half convolutions.

Packed ones, of processors, lay out their weights for oneDNN once, and compute sums and
activations while values are still in registers. In place a sum costs them nothing, else a
pass of its own where they have groups. Half ones, of GPUs, round their weights once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.inference.fusing import onednn
from srcli.inference.fusing.g_idrn import merge_layers
from srcli.inference.fusing.onednn import Geometry
from srcli.inference.fusing.strips import use_strips
from srcli.layers.network import Mixture, Network, is_autocast
from srcli.layers.operations import FusedConv2d, activate
from srcli.models.g_idrn import GIDRN


class PackedConv2d(FusedConv2d):
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

    def convolve_fused(
        self,
        parts: Sequence[Tensor],
        plus: Tensor | None,
        slope: float | None,
        *,
        may_overwrite: bool,
    ) -> Tensor | None:
        """Sum up convolutions of the parts; None with groups, or where oneDNN cannot."""
        if not self.is_ready(parts[0]) or (len(parts) > 1 and self.groups > 1):
            return None
        return self.run(parts, plus, slope, may_overwrite=may_overwrite)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        if self.is_ready(x):
            return self.run((x,), None, None)
        return activate(super().forward(x), self.slope)

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
        return activate(total, slope)

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


class HalfConv2d(FusedConv2d):
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

    def convolve_fused(
        self,
        parts: Sequence[Tensor],
        plus: Tensor | None,
        slope: float | None,
        *,
        may_overwrite: bool,
    ) -> Tensor | None:
        """Add up products of the parts; None for what is no concatenation."""
        del may_overwrite
        if len(parts) == 1 or plus is not None or not self.is_product(parts[0]):
            return None
        # To add to the output moves less than a concatenation does, unless the parts
        # are narrow.
        if self.in_channels <= (len(parts) - 1) * self.out_channels:
            parts = [torch.cat(list(parts), dim=1)]
        return activate(self.multiply(parts), slope)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        if self.is_product(x):
            return self.multiply((x,))
        if is_autocast(x):
            out: Tensor = self._conv_forward(x, self.half_weight, self.half_bias)
            return out
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


def fuse(network: Network, device: torch.device, half: torch.dtype | None) -> Network:
    """Return a network's fastest form on a device, a new network for inference alone.

    ``half`` is the type of its forward pass; None for fp32.
    """
    if isinstance(network, Mixture):
        members = [fuse(member, device, half) for member in network.members]
        return Mixture(members, network.share)
    fused = network.for_inference()
    if device.type == "cpu":
        pack_convolutions(fused)
        if isinstance(fused, GIDRN):
            use_strips(fused)
    elif device.type == "cuda" and half is not None:
        keep_half_weights(fused, half)
    return fused


def keep_half_weights(network: Network, half: torch.dtype) -> None:
    """Make convolutions ``HalfConv2d``, with weights that are rounded to ``half`` once."""
    for module in network.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = HalfConv2d
            for name in ("weight", "bias"):
                value = getattr(module, name)
                if value is not None:
                    value = value.detach().to(half)
                module.register_buffer(f"half_{name}", value, persistent=False)
    if isinstance(network, GIDRN):
        merge_layers(network, half)


def pack_convolutions(network: nn.Module) -> bool:
    """Make a network's convolutions ``PackedConv2d``; return False where these fail.

    Activations that follow convolutions within ``nn.Sequential`` become a part of them,
    but not in networks of users' code, which may call the layers of a ``Sequential`` one
    by one.
    """
    if onednn.find_fault(torch.float32):
        return False
    for module in list(network.modules()):
        if type(module) is not nn.Conv2d or module.padding_mode != "zeros":
            continue
        if isinstance(module.padding, tuple):  # not "same"
            module.__class__ = PackedConv2d
            module.slope = None  # type: ignore[assignment]
            module.packed = {}  # type: ignore[assignment]
    if not getattr(network, "origin", ""):
        for module in network.modules():
            if isinstance(module, nn.Sequential):
                _absorb_activations(module)
    return True


def _absorb_activations(layers: nn.Sequential) -> None:
    """Let packed convolutions compute the activations that directly follow them."""
    for (_, layer), (name, activation) in pairwise(list(layers.named_children())):
        if not isinstance(layer, PackedConv2d):
            continue
        if isinstance(activation, nn.LeakyReLU):
            layer.slope = activation.negative_slope
        elif isinstance(activation, nn.ReLU):
            layer.slope = 0.0
        else:
            continue
        setattr(layers, name, nn.Identity())
