"""Losses between SR and HR pictures, by name, and weighted sums of them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.losses.features import ContrastiveLoss, FeatureLoss
from srcli.recipes.fields import construct, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.recipes.training import LossTerm


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


def gaussian(size: int, sigma: float) -> Tensor:
    """Return a normalised 1-D Gaussian of odd length ``size``; ``sigma`` is in samples."""
    if size < 1 or size % 2 == 0 or sigma <= 0:
        raise ValueError(f"expected an odd size and a sigma above 0, got {size} and {sigma}")
    x = torch.arange(size, dtype=torch.float64) - size // 2
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    return (kernel / kernel.sum()).float()


def high_pass(images: Tensor, kernel: Tensor) -> Tensor:
    """Subtract the Gaussian low-pass of (N, C, H, W), channel by channel, borders reflected.

    The odd-length 1-D kernel is applied along both axes, which are longer than half of it.
    """
    # Shifted sums, not convolutions: on a CPU, depthwise convolutions of three channels take 3x
    # as long, which was a tenth of a training iteration.
    half, taps = len(kernel) // 2, kernel.to(images.dtype)
    low = F.pad(images, (half, half, half, half), mode="reflect")
    for axis in (3, 2):
        length = images.shape[axis]
        shifted = (low.narrow(axis, i, length) * taps[i] for i in range(len(kernel)))
        low = functools.reduce(torch.add, shifted)
    return images - low


class HighFrequencyLoss(nn.Module):
    """Mean absolute difference of Gaussian high-pass images (G-IDRN, Acta Automatica Sinica, 2024).

    The kernel's odd edge ``size`` and its standard deviation ``sigma`` are in HR pixels.
    """

    kernel: Tensor

    def __init__(self, *, size: int = 9, sigma: float = 1.5) -> None:
        super().__init__()
        self.register_buffer("kernel", gaussian(size, sigma))

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, C, H, W) with the same shape; a scalar."""
        # The filter is linear: high-pass of the difference = difference of the high-passes.
        return high_pass((sr - hr).contiguous(), self.kernel).abs().mean()


LOSSES: dict[str, type[nn.Module]] = {
    "l1": L1Loss,
    "l2": L2Loss,
    "high-frequency": HighFrequencyLoss,
    "contrastive": ContrastiveLoss,
    "features": FeatureLoss,
}


class WeightedLoss(nn.Module):
    """A weighted sum of named losses; RecipeError for a name or an option that does not exist."""

    def __init__(self, terms: Sequence[LossTerm]) -> None:
        super().__init__()
        self.terms = nn.ModuleList()
        self.weights = [term.weight for term in terms]
        for term in terms:
            if term.name not in LOSSES:
                raise unknown("loss", term.name, "the recipe", LOSSES)
            self.terms.append(construct(LOSSES[term.name], term.options, f"loss {term.name}"))

    def forward(self, sr: Tensor, hr: Tensor, lr: Tensor | None = None) -> Tensor:
        """Compare SR (N, C, sH, sW) with HR; a scalar. Contrastive losses need LR (N, C, H, W)."""
        values: list[Tensor] = []
        for weight, term in zip(self.weights, self.terms, strict=True):
            if not isinstance(term, ContrastiveLoss):
                values.append(weight * term(sr, hr))
            elif lr is None:
                raise ValueError("ContrastiveLoss needs LR")
            else:
                values.append(weight * term(sr, hr, lr))
        return sum(values[1:], values[0])
