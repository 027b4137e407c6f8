"""Losses by name, and weighted sums of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from torch import Tensor, nn

from srcli.errors import RecipeError
from srcli.recipes.fields import check_options, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.recipes.training import LossTerm

LOSSES: dict[str, str] = {
    "l1": "srcli.losses.pixel:L1Loss",
    "l2": "srcli.losses.pixel:L2Loss",
    "high-frequency": "srcli.losses.pixel:HighFrequencyLoss",
    "contrastive": "srcli.losses.contrastive:ContrastiveLoss",
}


class LossOnInput(nn.Module):
    """Base class of losses that compare SR and HR with the network's input too."""


class WeightedLoss(nn.Module):
    """A weighted sum of named losses.

    A :class:`LossOnInput` gets LR as well.

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
                raise unknown("loss", term.name, "the recipe", LOSSES)
            module, _, name = LOSSES[term.name].partition(":")
            constructor: type[nn.Module] = getattr(import_module(module), name)
            options = check_options(constructor, term.options, f"loss {term.name}")
            try:
                self.terms.append(constructor(**options))
            except (TypeError, ValueError) as error:
                raise RecipeError(f"loss {term.name}: {error}") from error

    def forward(self, sr: Tensor, hr: Tensor, lr: Tensor | None = None) -> Tensor:
        """Compare (N, C, sH, sW) with the same shape; a scalar.

        Args:
            sr: The network's output.
            hr: The target.
            lr: The network's input (N, C, H, W); needed by losses on it only.

        Raises:
            ValueError: If a loss takes LR and there is none.
        """
        values = [
            weight * self._value(term, sr, hr, lr)
            for weight, term in zip(self.weights, self.terms, strict=True)
        ]
        return sum(values[1:], values[0])

    def _value(self, term: nn.Module, sr: Tensor, hr: Tensor, lr: Tensor | None) -> Tensor:
        pictures = [sr, hr]
        if isinstance(term, LossOnInput):
            if lr is None:
                raise ValueError(f"{type(term).__name__} needs LR")
            pictures.append(lr)
        value: Tensor = term(*pictures)
        return value
