"""Number format, memory layout and compilation of a training, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """Settings that change speed and rounding of a training; applied by the methods."""

    device: torch.device
    autocast: torch.dtype | None = None
    """Half precision of the network's forward pass; None for fp32."""
    channels_last: bool = False
    compile: bool = False
    threads: int = 0
    """Threads of the processor that the training computes with; 0 on a GPU."""

    @property
    def precision(self) -> str:
        """The number format of the forward pass: ``fp32``, or PyTorch's name of another."""
        return "fp32" if self.autocast is None else str(self.autocast).removeprefix("torch.")

    @property
    def layout(self) -> torch.memory_format:
        """Memory layout of weights and pictures."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def placed(self, network: Module) -> Module:
        """Move a network to the device and into the layout."""
        return network.to(self.device).to(memory_format=self.layout)  # type: ignore[call-overload,no-any-return]

    def compiled(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        """Return the forward pass of a network, compiled if that is wanted."""
        return torch.compile(network) if self.compile else network

    def arranged(self, lr_image: Tensor, hr_image: Tensor) -> tuple[Tensor, Tensor]:
        """Bring a batch into the layout; HR is compared only and may stay in channels_last."""
        if not self.channels_last:
            hr_image = hr_image.contiguous()
        return lr_image.contiguous(memory_format=self.layout), hr_image

    def autocasting(self) -> torch.autocast:
        """Return the context of a forward pass."""
        half = self.autocast
        return torch.autocast(self.device.type, dtype=half, enabled=half is not None)
