"""The rounds of a benchmark: who runs when, and that the same is run that users get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from srcli.inference import device as device_module
from srcli.inference.engines import EngineOptions, choose_tiling
from srcli.models.weights import load_model
from srcli.pipelines.bench.run import real_picture
from srcli.pipelines.bench.timing import (
    MOST_ROUNDS,
    BenchCase,
    busy_note,
    make_speeds,
    prepare_models,
    rounds_within,
    runs_planned,
    time_rounds,
)
from srcli.pipelines.upscale.array import upscale
from srcli.ports.progress import NoTask


class Runner:
    """Records when it runs; the model of a case has only a title."""

    def __init__(self, name, log):
        self.model = self
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


def prepared(model, scale, precisions=("auto",), *, plain=False, tile=None):
    """Everything that runs of one model on the CPU."""
    network = load_model(model, scale)
    return list(
        prepare_models(
            network,
            EngineOptions(device="cpu"),
            precisions,
            plain=plain,
            tiling=choose_tiling(model, network, tile),
            label=model,
        )
    )


def test_cases_take_turns_and_every_second_round_goes_backwards():
    log: list[str] = []
    task = Counting(runs_planned(3, 3))
    time_rounds(runners("abc", log), rounds=3, seconds=0, task=task)
    assert log == ["warm a", "warm b", "warm c", *"abc", *"cba", *"abc"]
    assert task.done == task.planned == 12


def test_without_a_number_rounds_fill_the_time():
    log: list[str] = []
    task = Counting(runs_planned(2, None))
    time_rounds(runners("ab", log), rounds=None, seconds=3600, task=task)
    assert len(log) == 2 * (1 + MOST_ROUNDS)
    assert task.done == task.planned == len(log)


@pytest.mark.parametrize(
    ("seconds", "each", "rounds"), [(5, 0.3, 16), (5, 4, 3), (0, 1, 3), (5, 0, 100), (1e9, 1, 100)]
)
def test_rounds_within_a_time(seconds, each, rounds):
    assert rounds_within(seconds, each) == rounds


@pytest.mark.parametrize("native", [True, False])
def test_number_formats_that_come_to_the_same_run_once(monkeypatch, native):
    monkeypatch.setattr(device_module, "cpu_has_bf16", lambda: native)
    found = prepared("bicubic", 2, ("auto", "fp32", "bf16", "fp32"))
    assert [each.precision for each in found] == (["bf16", "fp32"] if native else ["fp32", "bf16"])
    (only, plain) = prepared("bicubic", 2, plain=True)
    assert (only.precision, only.plain) == ("bf16" if native else "fp32", False)
    assert (plain.precision, plain.plain, plain.engine.half) == ("fp32", True, None)
    assert plain.engine.batch_size(8, 8) == 1
    assert plain.title == "bicubic x2 plain"


def test_what_is_timed_is_what_users_get():
    (each,) = prepared("g-idrn", 4, tile=32)
    picture = real_picture(30, 44)
    work = BenchCase(model=each, picture=picture).work()
    assert work.grid.count > 1
    case = BenchCase(model=each, picture=picture)
    case.work = lambda: work  # type: ignore[method-assign]
    case.run()
    expected = upscale(picture, "g-idrn", 4, tile=32, device="cpu")
    np.testing.assert_array_equal(work.sink.sink.pixels, expected)  # type: ignore[attr-defined]


def test_engines_of_one_network_do_not_share_weights():
    fp32, bf16 = prepared("g-idrn", 2, ("fp32", "bf16"))
    a, b = (each.engine.network.get_parameter("head.weight") for each in (fp32, bf16))
    assert a.data_ptr() != b.data_ptr()
    assert a.is_contiguous()
    assert b.is_contiguous(memory_format=torch.channels_last)


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
    monkeypatch.setattr("srcli.pipelines.bench.timing.processors", lambda: 2)
    cases = [BenchCase(model=prepared("bicubic", 2)[0], picture=real_picture(8, 8))]
    cases[0].seconds = [0.9, 1.0, slowest]
    note = busy_note(load, list(make_speeds(cases)))
    assert (note is None) == (not signs)
    assert all(sign in (note or "") for sign in signs)


def test_results_compare_with_the_plain_run_of_the_same_model():
    cases = [
        BenchCase(model=each, picture=real_picture(24, 32))
        for each in prepared("bicubic", 3, ("fp32",), plain=True, tile=16)
    ]
    time_rounds(cases, rounds=2, seconds=0, task=NoTask())
    srx, plain = make_speeds(cases)
    assert (srx.plain, plain.plain) == (False, True)
    assert plain.times_plain is None
    assert srx.times_plain == pytest.approx(plain.median / srx.median)
    assert srx.size == (24, 32)
    assert (srx.tiles, srx.batch, plain.batch) == (6, 6, 1)  # 2 rows of 3
    figures = srx.as_json()
    assert 0 < figures["fastest_seconds"] <= srx.median <= figures["slowest_seconds"]
    assert srx.sr_megapixels_per_second == pytest.approx(24 * 32 * 9 / 1e6 / srx.median)
    assert srx.peak_memory is not None
    assert srx.peak_memory >= 72 * 96 * 3 * 4 / 3  # a band of the SR picture in fp32
