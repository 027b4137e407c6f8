"""Number format and memory layout of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """Number format and memory layout, chosen for the machine."""

    device: torch.device
    autocast: torch.dtype | None = None
    """Half precision of the network's forward pass; None for fp32."""
    channels_last: bool = False
    compile: bool = False

    @property
    def layout(self) -> torch.memory_format:
        """Memory layout of weights and pictures."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def placed(self, network: Network) -> Network:
        """Move a network to the device and into the layout."""
        return network.to(self.device).to(memory_format=self.layout)  # type: ignore[call-overload,no-any-return]

    def autocasting(self) -> torch.autocast:
        """Return the context of a forward pass."""
        half = self.autocast
        return torch.autocast(self.device.type, dtype=half, enabled=half is not None)
