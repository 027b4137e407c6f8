"""A stage watched: means in the log and on the screen, and its own clock."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from srcli.errors import InferenceError
from srcli.ports.progress import NoProgress
from srcli.recipes.training import Stage, TrainRecipe
from srcli.training import monitor as module
from srcli.training.budget import Budget
from srcli.training.checkpoint import CheckpointManager, Hooks
from srcli.training.monitor import AverageMeter, StageMonitor
from srcli.training.state import Position


class Shown(NoProgress):
    """Progress and its only task."""

    def __init__(self):
        self.done, self.texts, self.closed = 0.0, [], False

    def task(self, label, *, total=None, unit=""):
        return self

    def advance(self, amount=1.0):
        self.done += amount

    def grow(self, amount):
        pytest.fail("a budget does not grow")

    def describe(self, text):
        self.texts.append(text)

    def close(self):
        self.closed = True


class Time:
    """A clock that goes on when told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Time()
    monkeypatch.setattr(module, "time", found)
    return found


def watched(folder, budget, *, position=None, every=1e9):
    shown, saved = Shown(), []
    state = SimpleNamespace(position=position or Position())
    recipe = TrainRecipe(model="none", stages=(Stage(),))
    keeper = CheckpointManager(
        state,  # type: ignore[arg-type]
        recipe=recipe,
        hooks=Hooks(progress=shown),
        folder=folder,
        checkpoint_seconds=every,
    )
    keeper.checkpoint = lambda: saved.append(state.position.total)  # type: ignore[method-assign]
    return StageMonitor(keeper, recipe.stages[0], budget), state.position, shown, saved


def iterate(watch, position, value=1.0, *, stop=False):
    position.step += 1
    position.total += 1
    return watch.after_iteration({"loss": torch.tensor(value)}, 0.0, stop)


def test_the_log_has_the_mean_of_its_span_whatever_was_shown_between(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(module, "LOG_STEPS", 4)
    watch, position, shown, _ = watched(tmp_path, Budget(steps=100))
    for value in (1.0, 2.0, 3.0, 6.0):
        clock.now += 1.5
        iterate(watch, position, value)
    (entry,) = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert entry["loss"] == 3.0
    assert entry["per_second"] == pytest.approx(4 / 6, abs=1e-3)
    assert entry["iterations"] == 4
    assert [text.split("  ")[0] for text in shown.texts] == ["loss 1.50000", "loss 4.50000"]


def test_entries_say_over_how_many_iterations_they_are_and_the_rest_of_a_stage_has_one(
    tmp_path, clock, monkeypatch
):
    monkeypatch.setattr(module, "LOG_STEPS", 4)
    resumed = Position(step=3, total=13)
    watch, position, _, _ = watched(tmp_path, Budget(steps=100), position=resumed)
    for value in (7.0, 1.0, 2.0):
        clock.now += 0.5
        iterate(watch, position, value)
    watch.manager.validate = lambda: None
    for _ in range(2):  # what is written once is not written again
        watch.end()
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    found = [(e["total"], e["iterations"], e["loss"]) for e in map(json.loads, lines)]
    assert found == [(14, 1, 7.0), (16, 2, 1.5)]


def test_a_rest_that_is_not_a_number_ends_the_training_too(tmp_path, clock):
    watch, position, _, _ = watched(tmp_path, Budget(steps=100))
    iterate(watch, position, float("nan"))
    with pytest.raises(InferenceError, match="diverged"):
        watch.end()
    assert not (tmp_path / "log.jsonl").exists()


def test_iterations_and_seconds_are_counted_from_where_it_stood(tmp_path, clock):
    watch, position, shown, _ = watched(
        tmp_path, Budget(seconds=60), position=Position(step=3, elapsed=10.0)
    )
    assert shown.done == 10.0
    clock.now += 2.5
    assert iterate(watch, position) is False
    assert position.elapsed == 12.5
    assert shown.done == 12.5
    watch.close()
    assert shown.closed


def test_checkpoints_come_by_the_clock_and_at_a_stop(tmp_path, clock):
    watch, position, _, saved = watched(tmp_path, Budget(steps=100), every=10)
    for _ in range(5):
        clock.now += 4
        iterate(watch, position)
    assert saved == [3]
    assert iterate(watch, position, stop=True) is True
    assert saved == [3, 6]


def test_the_meter_gives_the_mean_since_the_last_report():
    meter = AverageMeter()
    assert meter.take() is None
    for value in (1.0, 2.0, 6.0):
        meter.add({"loss": torch.tensor(value), "k_t": torch.tensor(value / 10)})
    news = meter.take()
    assert news is not None
    means, iterations, per_second = news
    assert means == pytest.approx({"loss": 3.0, "k_t": 0.3})
    assert per_second > 0
    assert iterations == 3
    assert meter.take() is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_meter_refuses_what_is_not_finite(value):
    meter = AverageMeter()
    meter.add({"loss": torch.tensor(1.0), "M": torch.tensor(value)})
    with pytest.raises(InferenceError, match="diverged"):
        meter.take()
