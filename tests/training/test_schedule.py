"""Learning rates, computed by hand."""

from __future__ import annotations

import pytest

from srcli.recipes.training import Optimizer, Schedule, Stage
from srcli.training.schedule import rate_at, rate_factor


def test_steps_halve_after_each_milestone():
    schedule = Schedule(kind="step", milestones=(0.2, 0.4, 0.6, 0.8), gamma=0.5)
    factors = [rate_factor(schedule, p) for p in (0.0, 0.19, 0.2, 0.5, 0.6, 0.99, 1.0)]
    assert factors == [1, 1, 0.5, 0.25, 0.125, 0.0625, 0.0625]


def test_cosine_rises_in_the_warm_up_and_falls_to_its_floor():
    schedule = Schedule(kind="cosine", warmup=0.2, floor=0.1)
    factors = [rate_factor(schedule, p) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert factors == pytest.approx([0, 0.5, 1, 0.1 + 0.9 * 0.5, 0.1])


def test_constant_stays_and_progress_is_clipped():
    assert rate_factor(Schedule(kind="constant"), 0.7) == 1
    assert rate_factor(Schedule(kind="cosine"), 1.7) == pytest.approx(0)
    assert rate_factor(Schedule(kind="cosine"), -1) == 1


def test_the_rate_is_the_factor_times_the_peak():
    stage = Stage(optimizer=Optimizer(learning_rate=4e-4), schedule=Schedule(kind="cosine"))
    assert rate_at(stage, 0.5) == pytest.approx(2e-4)
