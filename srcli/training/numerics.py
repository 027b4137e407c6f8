"""Number format and memory layout of a training."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """Number format and memory layout, chosen for the machine."""

    device: torch.device
    autocast: torch.dtype | None = None
    """Half precision of the network's forward pass; None for fp32."""
    channels_last: bool = False
    compile: bool = False
