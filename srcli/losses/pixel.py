"""Losses on pixels."""

from __future__ import annotations

from torch import Tensor, nn


class L1Loss(nn.Module):
    """Mean absolute error."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, C, H, W) with the same shape; a scalar."""
        return (sr - hr).abs().mean()


class L2Loss(nn.Module):
    """Mean squared error."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, C, H, W) with the same shape; a scalar."""
        return (sr - hr).square().mean()
