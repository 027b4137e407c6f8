"""The rounds of a benchmark: who runs when, and that the same is run that users get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from srcli.inference import device as device_module
from srcli.inference.engines import EngineOptions, choose_tiling
from srcli.models.weights import load_model
from srcli.pipelines.bench import (
    MOST_ROUNDS,
    busy_note,
    make_cases,
    make_speeds,
    real_picture,
    time_rounds,
)
from srcli.pipelines.upscale.array import upscale
from srcli.ports.progress import NoTask


class Runner:
    """Records when it runs."""

    def __init__(self, name, log):
        self.title = name
        self.log = log

    def warm_up(self):
        self.log.append(f"warm {self.title}")

    def time_round(self):
        self.log.append(self.title)


def runners(names, log) -> Any:
    """Runners in place of cases."""
    return [Runner(name, log) for name in names]


class Counting(NoTask):
    """Counts what was done and what was planned."""

    def __init__(self, planned):
        self.done = 0
        self.planned = planned

    def advance(self, amount=1.0):
        self.done += amount

    def grow(self, amount):
        self.planned += amount


def prepared(model, scale, precisions=("auto",), *, plain=False, tile=None, size=(8, 8)):
    """Everything that runs of one model on the CPU."""
    network = load_model(model, scale)
    return list(
        make_cases(
            network,
            EngineOptions(device="cpu"),
            precisions,
            [real_picture(*size)],
            plain=plain,
            tiling=choose_tiling(model, network, tile),
            label=model,
        )
    )


def test_cases_take_turns_and_every_second_round_goes_backwards():
    log: list[str] = []
    task = Counting(12)
    time_rounds(runners("abc", log), rounds=3, seconds=0, task=task)
    assert log == ["warm a", "warm b", "warm c", *"abc", *"cba", *"abc"]
    assert task.done == task.planned == 12


def test_without_a_number_rounds_fill_the_time():
    log: list[str] = []
    task = Counting(8)
    time_rounds(runners("ab", log), rounds=None, seconds=3600, task=task)
    assert len(log) == 2 * (1 + MOST_ROUNDS)
    assert task.done == task.planned == len(log)


@pytest.mark.parametrize("native", [True, False])
def test_number_formats_that_come_to_the_same_run_once(monkeypatch, native):
    monkeypatch.setattr(device_module, "cpu_has_bf16", lambda: native)
    found = prepared("bicubic", 2, ("auto", "fp32", "bf16", "fp32"))
    assert [each.format for each in found] == (["bf16", "fp32"] if native else ["fp32", "bf16"])
    (only, plain) = prepared("bicubic", 2, plain=True)
    assert (only.format, only.plain) == ("bf16" if native else "fp32", False)
    assert (plain.plain, plain.engine.half) == (True, None)
    assert plain.engine.batch_size(8, 8) == 1
    assert plain.title == "bicubic x2 plain"


def test_what_is_timed_is_what_users_get():
    (case,) = prepared("g-idrn", 4, tile=32, size=(30, 44))
    job = case.job()
    assert job.grid.count > 1
    case.job = lambda: job
    case.run()
    expected = upscale(case.picture, "g-idrn", 4, tile=32, device="cpu")
    np.testing.assert_array_equal(job.sink.sink.pixels, expected)


@pytest.mark.parametrize(
    ("load", "slowest", "signs"),
    [
        (None, 1.2, []),
        (0.5, 1.2, []),
        (1.5, 1.0, ["load average 1.5 on 2 processors"]),
        (0.1, 2.0, ["slowest round 2.0 times the median"]),
        (3.0, 1.5, ["load average 3.0", "slowest round 1.5 times"]),
    ],
)
def test_a_busy_machine_is_noticed(monkeypatch, load, slowest, signs):
    monkeypatch.setattr("srcli.pipelines.bench.processors", lambda: 2)
    cases = prepared("bicubic", 2)
    cases[0].seconds = [0.9, 1.0, slowest]
    note = busy_note(load, list(make_speeds(cases)))
    assert (note is None) == (not signs)
    assert all(sign in (note or "") for sign in signs)


def test_results_compare_with_the_plain_run_of_the_same_model():
    cases = prepared("bicubic", 3, ("fp32",), plain=True, tile=16, size=(24, 32))
    time_rounds(cases, rounds=2, seconds=0, task=NoTask())
    srx, plain = make_speeds(cases)
    assert (srx.plain, plain.plain) == (False, True)
    assert plain.times_plain is None
    assert srx.times_plain == pytest.approx(plain.median_seconds / srx.median_seconds)
    assert srx.size == (24, 32)
    assert (srx.tiles, srx.batch, plain.batch) == (6, 6, 1)  # 2 rows of 3
    assert 0 < srx.fastest_seconds <= srx.median_seconds <= srx.slowest_seconds
    assert srx.sr_megapixels_per_second == pytest.approx(24 * 32 * 9 / 1e6 / srx.median_seconds)
    assert srx.peak_memory is not None
    assert srx.peak_memory >= 72 * 96 * 3 * 4 / 3  # a band of the SR picture in fp32
