"""A recurrent unit on feature maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvGRU(nn.Module):
    """Gated recurrent unit whose products with weights are 3x3 convolutions (Ballas et al. 2016).

    ``z, r = sigmoid(W_z [h, x]), sigmoid(W_r [h, x])``; ``c = tanh(W [r h, x])``;
    ``h' = (1 - z) h + z c``, the products with z and r element by element.

    Args:
        channels: Channels of input and state.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        # W_z and W_r read the same maps: one convolution for both.
        self.gates = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.candidate = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        """Return the new state.

        Args:
            x: (N, C, H, W).
            state: h, of the same shape; None for zeros.
        """
        h = torch.zeros_like(x) if state is None else state
        update, reset = torch.sigmoid(self.gates(torch.cat([h, x], dim=1))).chunk(2, dim=1)
        candidate = torch.tanh(self.candidate(torch.cat([reset * h, x], dim=1)))
        return torch.lerp(h, candidate, update)
