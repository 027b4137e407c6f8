"""Exponential moving average of a network's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


class Ema:
    """Averages of all floating-point parameters and buffers; integers (counters) are copied.

    Args:
        network: Its weights are averaged.
        decay: Share of the old average that is kept at each step; 0 follows the weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.averages: dict[str, Tensor] = {
            key: value.detach().clone() for key, value in network.state_dict().items()
        }
        self._smooth = [key for key, value in self.averages.items() if value.is_floating_point()]
        self._exact = [key for key in self.averages if key not in self._smooth]

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Average in the weights after iteration ``step`` (from 0); the decay is lower at first."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = network.state_dict()
        torch._foreach_lerp_(
            [self.averages[key] for key in self._smooth],
            [current[key] for key in self._smooth],
            1.0 - decay,
        )
        for key in self._exact:
            self.averages[key].copy_(current[key])
