"""Switch half precision off for parts of a network."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off within a ``with``; on the meta device, which has none, do nothing."""
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
