"""Bicubic interpolation as a network without parameters: the baseline of every table."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srcli.layers.resize import bicubic_resize


class Bicubic(nn.Module):
    """MATLAB-compatible bicubic enlargement.

    Args:
        scale: 2, 3 or 4.
    """

    colour = "rgb"
    minimum = 1
    multiple_of = 1

    def __init__(self, *, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, C, H, W) to (N, C, scale H, scale W), not clipped."""
        with torch.autocast(x.device.type, enabled=False):
            return bicubic_resize(x.float(), self.scale)
