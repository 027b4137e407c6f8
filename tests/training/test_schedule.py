"""Learning rates, computed by hand."""

from __future__ import annotations

import pytest

from srcli.recipes.training import Optimizer, Schedule, Stage
from srcli.training.schedule import rate_at, rate_factor


def test_steps_halve_after_each_milestone():
    schedule = Schedule(kind="step", milestones=(0.2, 0.4, 0.6, 0.8), gamma=0.5)
    factors = [rate_factor(schedule, p) for p in (0.0, 0.19, 0.2, 0.5, 0.6, 0.99, 1.0)]
    assert factors == [1, 1, 0.5, 0.25, 0.125, 0.0625, 0.0625]


@pytest.mark.parametrize("count", [3, 5, 6, 7, 10])
def test_halving_misses_no_milestone_by_rounding(count):
    schedule = Schedule(kind="halving", every=1 / count)
    for part in range(count):
        assert rate_factor(schedule, part / count) == 0.5**part
        assert rate_factor(schedule, (part + 0.99) / count) == 0.5**part


def test_halving_is_the_step_schedule_of_equal_steps_and_takes_another_factor():
    steps = Schedule(kind="step", milestones=(0.25, 0.5, 0.75), gamma=0.1)
    halving = Schedule(kind="halving", every=0.25, gamma=0.1)
    for done in (0.0, 0.1, 0.25, 0.6, 0.75, 0.99):
        assert rate_factor(halving, done) == rate_factor(steps, done)


def test_cosine_rises_in_the_warm_up_and_falls_to_its_floor():
    schedule = Schedule(kind="cosine", warmup=0.2, floor=0.1)
    factors = [rate_factor(schedule, p) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert factors == pytest.approx([0, 0.5, 1, 0.1 + 0.9 * 0.5, 0.1])


def test_cosine_may_stay_at_its_peak_first():
    schedule = Schedule(kind="cosine", warmup=0.1, hold=0.6, floor=0.2)
    factors = [rate_factor(schedule, p) for p in (0.05, 0.1, 0.35, 0.6, 0.8, 1.0)]
    assert factors == pytest.approx([0.5, 1, 1, 1, 0.2 + 0.8 * 0.5, 0.2])
    assert rate_factor(Schedule(kind="cosine", warmup=0.5, hold=0.2), 0.75) == pytest.approx(0.5)
    assert rate_factor(Schedule(kind="cosine", hold=1.0), 1.0) == pytest.approx(1)


def test_constant_stays_and_progress_is_clipped():
    assert rate_factor(Schedule(kind="constant"), 0.7) == 1
    assert rate_factor(Schedule(kind="cosine"), 1.7) == pytest.approx(0)
    assert rate_factor(Schedule(kind="cosine"), -1) == 1


def test_the_rate_is_the_factor_times_the_peak():
    stage = Stage(optimizer=Optimizer(learning_rate=4e-4), schedule=Schedule(kind="cosine"))
    assert rate_at(stage, 0.5) == pytest.approx(2e-4)
