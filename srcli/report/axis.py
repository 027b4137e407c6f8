"""Where a value lies on the axis of a chart, and which round values are written beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MARGIN = 0.06
"""Part of an axis left free on either side, so that marks and their labels stay inside."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A range of values with its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the place of a value, 0 at the low end and 1 at the high end."""
        low, high, here = self.low, self.high, value
        if self.logarithmic:
            low, high, here = math.log(low), math.log(high), math.log(value)
        return (here - low) / (high - low)

    @property
    def digits(self) -> int:
        """Digits behind the point that tell ticks apart."""
        return next((n for n in range(6) if all(_has(tick, n) for tick in self.ticks)), 6)


def linear_axis(values: Iterable[float], *, zero: bool = False, count: int = 4) -> Axis:
    """Return an axis that holds all finite values.

    Args:
        values: Others than finite ones are left out; without any, the axis is 0..1.
        zero: Hold zero too, as bars must.
        count: About so many ticks.
    """
    held = [value for value in values if math.isfinite(value)] + [0.0] * zero
    low, high = (min(held), max(held)) if held else (0.0, 1.0)
    if high - low < 1e-9 * max(1.0, abs(high)):  # one value, or digits that are noise
        low, high = (low, low + 1.0) if zero else (low - 0.5, high + 0.5)
    space = (high - low) * MARGIN
    low, high = low - space, high + space
    step = _round_step((high - low) / count)
    first = math.ceil(low / step)
    ticks = tuple(step * n for n in range(first, math.floor(high / step) + 1))
    return Axis(low=low, high=high, ticks=ticks)


def log_axis(values: Iterable[float]) -> Axis:
    """Return a logarithmic axis that holds all values, which are above 0; at least one."""
    held = list(values)
    low, high = min(held), max(held)
    space = max(high / low, 2.0) ** (2 * MARGIN)
    low, high = low / space, high * space
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks: list[float] = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [s * 10.0**n for n in decades for s in steps if low <= s * 10.0**n <= high]
        if len(ticks) <= 6:
            break
    return Axis(low=low, high=high, ticks=tuple(ticks), logarithmic=True)


def _round_step(step: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * each for each in (1, 2, 5, 10) if power * each >= step * (1 - 1e-9))


def _has(tick: float, digits: int) -> bool:
    return math.isclose(round(tick, digits), tick, rel_tol=1e-9, abs_tol=1e-12)
