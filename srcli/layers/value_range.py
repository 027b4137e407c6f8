"""Ranges of values that networks were published with, such as 0..255 less a mean colour."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean RGB of DIV2K's training pictures, which EDSR and its descendants subtract."""


class ValueRange(nn.Module):
    """Bring pictures in [0, 1] to another range, and back by ``undo``.

    Args:
        top: Value that 1 becomes, before the mean is subtracted.
        mean: Mean RGB in [0, 1] that is subtracted.
    """

    mean: Tensor

    def __init__(self, *, top: float = 255.0, mean: tuple[float, ...] = (0.0, 0.0, 0.0)) -> None:
        super().__init__()
        self.top = top
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shift and scale (N, C, H, W)."""
        return (x - self.mean) * self.top

    def undo(self, x: Tensor) -> Tensor:
        """Bring (N, C, H, W) back, in fp32 at least: half precision would cost 8-bit steps."""
        return x.to(torch.promote_types(x.dtype, torch.float32)) / self.top + self.mean
