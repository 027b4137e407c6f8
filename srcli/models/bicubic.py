"""Bicubic interpolation as a network without parameters: the baseline of every table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.layers.network import Network, full_precision, widened
from srcli.layers.resize import bicubic_resize

if TYPE_CHECKING:
    from torch import Tensor


class Bicubic(Network):
    """MATLAB-compatible bicubic enlargement."""

    def __init__(self, *, scale: int = 4) -> None:
        super().__init__(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, C, H, W) in [0, 1] to (N, C, scale H, scale W).

        With a ``white_level`` both passes are rounded and clipped, as MATLAB's are;
        floats are not.
        """
        with full_precision(x.device):
            return bicubic_resize(widened(x), self.scale, levels=self.white_level)
