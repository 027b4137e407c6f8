"""How long a training lasts: iterations or wall-clock time, given as ``40000``, ``90s``, ``25m``, ``2h``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from srcli.errors import RecipeError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The end of a stage: one of both is set."""

    steps: int | None = None
    seconds: float | None = None

    def progress(self, step: int, elapsed: float) -> float:
        """Fraction that is done after ``step`` iterations and ``elapsed`` seconds of training."""
        if self.seconds is not None:
            return min(elapsed / self.seconds, 1.0)
        assert self.steps is not None
        return min(step / self.steps, 1.0)

    def share(self, fraction: float) -> Budget:
        """Part of the budget, for one of several stages."""
        if self.seconds is not None:
            return Budget(seconds=self.seconds * fraction)
        assert self.steps is not None
        return Budget(steps=max(round(self.steps * fraction), 1))


def parse_budget(text: str) -> Budget:
    """Read ``40000`` (iterations) or ``90s``, ``25m``, ``2h``, ``1.5d`` (time).

    Raises:
        RecipeError: If the text is neither, or not above zero.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if not match or float(match[1]) <= 0 or (not match[2] and "." in match[1]):
        raise RecipeError(f"budget {text!r}: give iterations (40000) or time (90s, 25m, 2h)")
    if not match[2]:
        return Budget(steps=int(match[1]))
    return Budget(seconds=float(match[1]) * _SECONDS[match[2]])
