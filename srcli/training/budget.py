"""Length of a training: iterations (``40000``) or time (``90s``, ``25m``, ``2h``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.errors import RecipeError

if TYPE_CHECKING:
    from srcli.recipes.training import TrainRecipe

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The length of a stage: one of both is set, above zero."""

    steps: int | None = None
    seconds: float | None = None

    @property
    def total(self) -> float:
        """The whole budget, in iterations or seconds."""
        return float(self.steps or self.seconds or 0)

    def done(self, step: int, elapsed: float) -> float:
        """The part of ``total`` that is used after ``step`` iterations and ``elapsed`` seconds."""
        return float(step) if self.seconds is None else elapsed

    def progress(self, step: int, elapsed: float) -> float:
        """The used fraction of the budget, 0..1; see ``done``."""
        return min(self.done(step, elapsed) / self.total, 1.0)


def parse_budget(text: str) -> Budget:
    """Read ``40000`` (iterations) or ``90s``, ``25m``, ``2h``, ``1.5d`` (time)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if not match or float(match[1]) <= 0 or (not match[2] and "." in match[1]):
        raise RecipeError(f"budget {text!r}: give iterations (40000) or time (90s, 25m, 2h)")
    if not match[2]:
        return Budget(steps=int(match[1]))
    return Budget(seconds=float(match[1]) * _SECONDS[match[2]])


def parse_seconds(text: str) -> float:
    """Read a time (``90s``, ``5m``) as seconds."""
    seconds = parse_budget(text).seconds
    if seconds is None:
        raise RecipeError(f"{text!r} has no unit; give a time (90s, 5m, 2h)")
    return seconds


def stage_budgets(recipe: TrainRecipe, text: str | None) -> list[Budget]:
    """Divide a budget among the stages in proportion to their iterations; None keeps those.

    Each is above zero; iterations sum to those of the budget.
    """
    parts = [stage.steps for stage in recipe.stages]
    if text is None:
        return [Budget(steps=steps) for steps in parts]
    budget = parse_budget(text)
    if budget.seconds is not None:
        return [Budget(seconds=budget.seconds * steps / sum(parts)) for steps in parts]
    whole = budget.steps or 0
    if whole < len(parts):
        raise RecipeError(
            f"budget {whole}: fewer iterations than the {len(parts)} stages of the recipe; "
            f"give at least {len(parts)}"
        )
    return [Budget(steps=steps) for steps in _divide(whole, parts)]


def _divide(whole: int, parts: list[int]) -> list[int]:
    """Divide a number in proportion by the largest remainders, with at least one for each part."""
    total = sum(parts)
    shares = [max(whole * part // total, 1) for part in parts]
    places = range(len(parts))
    while sum(shares) < whole:
        shares[max(places, key=lambda i: whole * parts[i] - shares[i] * total)] += 1
    while sum(shares) > whole:  # those that were raised to one are paid by the largest
        shares[max(places, key=lambda i: shares[i])] -= 1
    return shares
