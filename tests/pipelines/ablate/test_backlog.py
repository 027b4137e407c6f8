"""What is missing is worked off; what another process is at comes last and is used."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import pytest

from srcli.files import lock_file
from srcli.pipelines.ablate.backlog import work_off
from srcli.pipelines.ablate.plan import Plan
from srcli.pipelines.ablate.store import Store
from srcli.pipelines.ablate.units import CostUnit, Measuring, TrainingUnit
from srcli.ports.executor import UnitResult

COST = {"parameters": 1, "macs": 1, "memory": []}
SCORES = {"pictures": {"cat": {"psnr": 30.0, "ssim": 0.9}}, "seconds": None}


def trained(iterations):
    return {"iterations": iterations, "seconds": None, "curves": {}}


class Fake:
    """Does units by putting their figures, unless another process is at them."""

    def __init__(self, store, results=()):
        self.store, self.results = store, dict(results)
        self.done = []

    def run(self, work, units, *, progress, stop):
        for index, unit in enumerate(units):
            with lock_file(self.store.claim_file(unit["key"])) as own:
                if own and unit["key"] not in self.results:
                    self.done.append(unit["key"])
                    self.store.put(unit["key"], COST)
                known: dict[str, Any] = self.results.get(unit["key"], {"ended": "done"})
                yield UnitResult(index=index, result=known if own else {"ended": "busy"})


def costs(*keys):
    units = {
        key: CostUnit(
            label=f"unit {key}",
            key=key,
            store="",
            recipe="",
            scale=2,
            sizes=(),
            gradients=False,
            device="cpu",
            threads=1,
        )
        for key in keys
    }
    return Plan(costs=units)


def training(key="t"):
    unit = TrainingUnit(
        label="a training",
        key=key,
        store="",
        recipe="",
        scale=2,
        seed=0,
        budget=None,
        data=(),
        hold_out=None,
        exclude=(),
        validate=(),
        measure=(Measuring(key="scores", dataset="Faces", protocol="y"),),
        device="cpu",
        precision="fp32",
        threads=1,
    )
    return Plan(trainings={key: unit})


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.mark.parametrize("finishes", [True, False])
def test_the_work_of_another_process_is_waited_for_or_taken_over(
    store, notes, monkeypatch, finishes
):
    fake, sleeps = Fake(store), []
    with ExitStack() as other:
        assert other.enter_context(lock_file(store.claim_file("a")))

        def sleep(seconds):
            sleeps.append(list(fake.done))
            if len(sleeps) == 3:
                if finishes:
                    store.put("a", COST)
                other.close()

        monkeypatch.setattr(time, "sleep", sleep)
        work_off(costs("a", "b", "c"), store, fake, notes, lambda: False)
    assert sleeps == [["b", "c"]] * 3
    assert fake.done == ["b", "c"] + ["a"] * (not finishes)
    assert store.get("a") == COST
    assert [text for text in notes.messages if "another process" in text] == [
        "unit a: another process measures it; waiting for that"
    ]
    assert [(label, done) for label, done, _ in notes.closed] == [("results", 3)]


def test_who_waits_can_be_stopped(store, notes, monkeypatch):
    asked = iter([False, True])
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with lock_file(store.claim_file("a")):
        work_off(costs("a"), store, Fake(store), notes, lambda: next(asked))
    assert store.get("a") == {}
    assert notes.closed[0][1] == 0


def test_a_stopped_unit_does_not_count(store, notes):
    fake = Fake(store, {"b": {"ended": "stopped"}})
    work_off(costs("a", "b"), store, fake, notes, lambda: False)
    assert notes.closed[0][1] == 1


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"ended": "done", "did": "trained"}, "a training: trained 1 iteration"),
        ({"ended": "done", "did": "measured"}, "a training: measured"),
        ({"ended": "failed", "did": "trained"}, "a training: trained 1 iteration"),
        ({"ended": "stopped", "did": ""}, None),
        ({"ended": "failed", "did": ""}, None),
    ],
)
def test_what_was_done_is_told(store, notes, result, told):
    store.put("t", trained(1))
    work_off(training(), store, Fake(store, {"t": result}), notes, lambda: False)
    assert notes.messages == [told] * (told is not None)


def test_what_is_there_is_not_done_again(store, notes):
    store.put("a", COST)
    store.put("t", trained(2))
    store.put("scores", SCORES)
    plan = Plan(costs=costs("a", "b").costs, trainings=training().trainings)
    fake = Fake(store)
    work_off(plan, store, fake, notes, lambda: False)
    assert fake.done == ["b"]
    assert notes.messages == ["2 of 3 results are there already"]
