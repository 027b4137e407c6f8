"""The learning rate as a function of the progress of a stage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srcli.recipes.training import Schedule, Stage


def rate_factor(schedule: Schedule, progress: float) -> float:
    """Return the factor on the peak learning rate.

    Args:
        schedule: Kind, warm-up and milestones, all in fractions of the stage.
        progress: Fraction of the stage that is done, 0..1.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < schedule.warmup:
        return progress / schedule.warmup
    if schedule.kind == "constant":
        return 1.0
    if schedule.kind == "step":
        return schedule.gamma ** sum(progress >= m for m in schedule.milestones)
    if schedule.kind == "halving":
        # 0.6 / 0.2 is just below 3: a milestone must not be missed by a rounding error.
        return schedule.gamma ** math.floor(progress / schedule.every + 1e-9)
    peak_ends = max(schedule.warmup, schedule.hold)
    if progress < peak_ends:
        return 1.0
    rest = (progress - peak_ends) / max(1.0 - peak_ends, 1e-9)
    return schedule.floor + (1.0 - schedule.floor) * 0.5 * (1.0 + math.cos(math.pi * rest))


def rate_at(stage: Stage, done: float) -> float:
    """Return the learning rate after the fraction ``done`` of a stage."""
    return stage.optimizer.learning_rate * rate_factor(stage.schedule, done)
