"""Fused convolutions of oneDNN, which are private in PyTorch and tried before they are used.

PyTorch's own compiler calls these operations, and a later version may rename or change
them. ``find_fault`` computes a small convolution by each of them and by the plain
layer; where one is missing, takes other arguments or gives other values, networks keep
their plain layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_SUM: list[Any] = ["add", None, None, [], None]
"""Arguments of a sum without an activation, as oneDNN's operations take them."""


@dataclass(frozen=True)
class Geometry:
    """Geometry of a convolution: how it walks over its input, as ``torch.nn.Conv2d`` has it."""

    padding: tuple[int, ...] = (1, 1)
    stride: tuple[int, ...] = (1, 1)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    @property
    def arguments(self) -> list[Any]:
        """Arguments in the order in which oneDNN's operations take them."""
        return [self.padding, self.stride, self.dilation, self.groups]


def pack_weight(weight: Tensor, geometry: Geometry) -> Tensor:
    """Lay weights out as oneDNN wants them."""
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight.contiguous(), *geometry.arguments
    )
    return packed


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    slope: float | None,
) -> Tensor:
    """Convolve by packed weights, and apply a leaky ReLU of ``slope``; None for none."""
    activation = ("none", []) if slope is None else ("leaky_relu", [slope])
    out: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, *geometry.arguments, *activation, ""
    )
    return out


def convolve_plus(
    x: Tensor, plus: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry
) -> Tensor:
    """Convolve by packed weights and add ``plus``, which stays as it is."""
    out: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
        x, plus, weight, bias, *geometry.arguments, *_SUM
    )
    return out


def add_convolution(
    total: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry
) -> Tensor:
    """Convolve by packed weights, add that to ``total`` in place, and return it."""
    out: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
        total, x, weight, bias, *geometry.arguments, *_SUM
    )
    return out


@cache
def find_fault(dtype: torch.dtype) -> str:
    """Return why the operations of this module cannot be used; empty if they can."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return "PyTorch was built without oneDNN"
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return "oneDNN has no bf16 on this processor"
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            errors = _errors(dtype)
    except Exception as error:  # noqa: BLE001 - of private operations any may come
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"PyTorch {torch.__version__}: {reason}"
    # NaN is no error of rounding either.
    wrong = [name for name, error in errors.items() if not error <= 1]
    if wrong:
        return f"PyTorch {torch.__version__}: other values from {', '.join(wrong)}"
    return ""


def describe_convolutions() -> str:
    """Say in words how networks convolve on this processor."""
    fault = find_fault(torch.float32)
    if fault:
        return f"plain layers ({fault})"
    return "fused by oneDNN"


def _errors(dtype: torch.dtype) -> dict[str, float]:
    """Return each operation's largest error, as a share of what rounding explains."""
    # torch.Generator needs what a shorter import of PyTorch leaves out
    random = np.random.default_rng(0)

    def draw(*shape: int) -> Tensor:
        return torch.from_numpy(random.random(shape, np.float32) - 0.5).to(dtype)

    x = draw(2, 16, 9, 7)
    weight = draw(8, 8, 3, 3)
    bias = draw(8)
    plus = draw(2, 8, 9, 7)
    geometry = Geometry(groups=2)
    packed = pack_weight(weight, geometry)

    def exact(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(x.double(), weight.double(), bias.double(), padding=1, groups=2)

    convolved = exact(x, weight, bias)
    summed = convolved + plus.double()
    # Each of so many products and sums, of so large values, is rounded once, the result
    # again.
    terms = weight[0].numel() + 2
    rounding = terms * torch.finfo(torch.float32).eps + torch.finfo(dtype).eps
    largest = exact(x.abs(), weight.abs(), bias.abs()) + plus.double().abs()
    allowed = largest * rounding

    def error(out: Tensor, expected: Tensor) -> float:
        return float(((out.double() - expected).abs() / allowed).max())

    return {
        "convolve": error(convolve(x, packed, bias, geometry, None), convolved),
        "convolve with an activation": error(
            convolve(x, packed, bias, geometry, 0.25), F.leaky_relu(convolved, 0.25)
        ),
        "convolve_plus": error(convolve_plus(x, plus, packed, bias, geometry), summed),
        "add_convolution": error(
            add_convolution(plus.clone(), x, packed, bias, geometry), summed
        ),
    }
