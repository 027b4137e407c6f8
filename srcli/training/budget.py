"""Length of a training: iterations (``40000``) or time (``90s``, ``25m``, ``2h``)."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from srcli.errors import RecipeError
from srcli.recipes.training import TrainRecipe

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Budget:
    """The length of a training or a stage: iterations, or seconds where ``timed``."""

    length: float
    """Above zero."""
    timed: bool = False

    def used(self, step: int, elapsed: float) -> float:
        """Return what is used of ``length`` after so many iterations and seconds."""
        return elapsed if self.timed else float(step)

    def fraction(self, step: int, elapsed: float) -> float:
        """Return the fraction of ``length`` that is used, 0..1; see ``used``."""
        return min(self.used(step, elapsed) / self.length, 1.0)


def parse_budget(text: str) -> Budget:
    """Read ``40000`` (iterations) or ``90s``, ``25m``, ``2h``, ``1.5d`` (time)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if not match or float(match[1]) <= 0 or (not match[2] and "." in match[1]):
        raise RecipeError(
            f"budget {text!r}: give iterations (40000) or time (90s, 25m, 2h)"
        )
    return Budget(float(match[1]) * _SECONDS.get(match[2], 1.0), timed=bool(match[2]))


def parse_interval(text: str) -> float:
    """Read the time (``90s``, ``5m``) of ``--checkpoint-every`` as seconds."""
    with suppress(RecipeError):
        if (budget := parse_budget(text)).timed:
            return budget.length
    raise RecipeError(f"--checkpoint-every {text}: give a time (90s, 5m, 2h)")


def stage_budgets(recipe: TrainRecipe, text: str | None) -> list[Budget]:
    """Divide a budget among the stages in proportion to their iterations; None keeps those.

    Iterations sum to those of the budget, by the largest remainders, with one at least
    for each.
    """
    parts = [stage.steps for stage in recipe.stages]
    if text is None:
        return [Budget(steps) for steps in parts]
    budget = parse_budget(text)
    total = sum(parts)
    if budget.timed:
        return [Budget(budget.length * steps / total, timed=True) for steps in parts]
    steps = int(budget.length)
    stages = range(len(parts))
    if steps < len(parts):
        raise RecipeError(
            f"budget {steps}: fewer iterations than the {len(parts)} stages of the recipe; "
            f"give at least {len(parts)}"
        )
    shares = [max(steps * part // total, 1) for part in parts]
    while sum(shares) < steps:
        shares[max(stages, key=lambda i: steps * parts[i] - shares[i] * total)] += 1
    while sum(shares) > steps:  # those that were raised to one are paid by the largest
        shares[max(stages, key=lambda i: shares[i])] -= 1
    return [Budget(share) for share in shares]
