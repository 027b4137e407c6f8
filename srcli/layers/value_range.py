"""The range of values that a network was trained on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean RGB of DIV2K's training pictures, which EDSR and its descendants subtract."""


class ValueRange(nn.Module):
    """Subtract a mean RGB in [0, 1] from pictures in [0, 1] and multiply by ``top``; or undo it."""

    mean: Tensor

    def __init__(self, *, top: float = 255.0, mean: tuple[float, ...] = (0.0, 0.0, 0.0)) -> None:
        super().__init__()
        self.top = top
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)

    def extra_repr(self) -> str:
        """Return the range, which belongs to the settings that a network's digest covers."""
        return f"top={self.top:g}"

    def forward(self, x: Tensor) -> Tensor:
        """Shift and scale (N, C, H, W)."""
        return (x - self.mean) * self.top

    def undo(self, x: Tensor) -> Tensor:
        """Bring (N, C, H, W) back, in fp32 at least: half precision would cost 8-bit steps."""
        return x.to(torch.promote_types(x.dtype, torch.float32)) / self.top + self.mean


def range_of(network: nn.Module) -> float:
    """Return the value that white has inside a network, 1 unless it declares another."""
    tops = [each.top for each in network.modules() if isinstance(each, ValueRange)]
    return tops[0] if tops else 1.0


def set_value_range(network: nn.Module, top: float) -> None:
    """Let a network see pictures in [0, 1] as 0..``top``, and give them back in [0, 1]."""
    if range_of(network) == top:
        return
    declared = [each for each in network.modules() if isinstance(each, ValueRange)]
    for each in declared:
        each.top = top
    if not declared:
        network.add_module("value_range", ValueRange(top=top, mean=(0.0,)))
        network.register_forward_pre_hook(_enter)
        network.register_forward_hook(_leave)


def _enter(network: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # noqa: ANN401
    return network.value_range(given[0]), *given[1:]


def _leave(network: Any, given: tuple[Tensor, ...], out: Tensor) -> Tensor:  # noqa: ANN401
    undone: Tensor = network.value_range.undo(out)
    return undone
