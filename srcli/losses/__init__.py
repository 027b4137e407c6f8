"""Losses by name, and weighted sums of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from torch import Tensor, nn

from srcli.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.recipes.training import LossTerm

LOSSES: dict[str, str] = {
    "l1": "srcli.losses.pixel:L1Loss",
    "l2": "srcli.losses.pixel:L2Loss",
    "high-frequency": "srcli.losses.high_frequency:HighFrequencyLoss",
}


class WeightedLoss(nn.Module):
    """A weighted sum of named losses.

    Args:
        terms: Names, weights and options.

    Raises:
        RecipeError: If a name or an option does not exist.
    """

    def __init__(self, terms: Sequence[LossTerm]) -> None:
        super().__init__()
        self.terms = nn.ModuleList()
        self.weights = [term.weight for term in terms]
        for term in terms:
            if term.name not in LOSSES:
                raise RecipeError(f"no loss {term.name!r}; there are: {', '.join(LOSSES)}")
            module, _, name = LOSSES[term.name].partition(":")
            try:
                self.terms.append(getattr(import_module(module), name)(**term.options))
            except (TypeError, ValueError) as error:
                raise RecipeError(f"loss {term.name}: {error}") from error

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, C, H, W) with the same shape; a scalar."""
        values = [w * term(sr, hr) for w, term in zip(self.weights, self.terms, strict=True)]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total
