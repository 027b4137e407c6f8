"""One unit at a time: failures of its own are figures, bugs come out; costs against known sums."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace

import pytest
import torch

from srcli.errors import DataError
from srcli.pipelines.ablate import work
from srcli.pipelines.ablate.results import TRAINING, SetScores, Trained
from srcli.pipelines.ablate.store import Store
from srcli.pipelines.ablate.units import AblateOptions, CostUnit, Measurement, TrainingUnit
from srcli.pipelines.ablate.work import (
    read_training,
    run_unit,
)
from srcli.ports.executor import Place
from srcli.recipes.ablations import resolve
from srcli.recipes.table import RECIPES
from srcli.training.checkpoint import diverged


@pytest.fixture
def unit(tmp_path, pictures):
    """A training of nothing in particular."""
    return TrainingUnit(
        label="a",
        key="training",
        options=AblateOptions(
            data=(pictures,), budget="2", device="cpu", precision="fp32", store=tmp_path
        ),
        recipe=RECIPES["g-idrn-short"],
        scale=2,
        seed=0,
        validate=(),
        measure=(Measurement(key="scores", dataset="Faces", protocol="y"),),
    )


@pytest.fixture
def small(unit, tiny, faces):
    """A training of a tiny network, and its scores."""
    measure = (Measurement(key="scores", dataset=str(faces), protocol="y"),)
    options = replace(unit.options, budget="3", hold_out=())
    recipe = resolve(tiny, tiny.variants[0])
    return replace(unit, recipe=recipe, options=options, measure=measure)


def run(unit, notes, stop=lambda: False, *, threads=1):
    return run_unit(unit, Place(device="cpu", threads=threads), notes, stop)["ended"]


def outcome(unit, notes):
    return run_unit(unit, Place(device="cpu", threads=1), notes, lambda: False)


def trained(store, key="training"):
    """Make a store look as if a training had ended."""
    store.put(key, TRAINING, Trained(iterations=2, seconds=None, curves={}))
    store.training(key).mkdir(parents=True)
    (store.training(key) / "last.safetensors").touch()


def result_of(unit):
    return Store(unit.options.store).read("training")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (diverged(), "the training has diverged: the loss or a weight is not a"),
        (DataError("photos: no such file or folder"), "photos: no such file or folder"),
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
    ],
)
def test_a_failure_is_a_figure(unit, notes, monkeypatch, error, reason):
    def fail(*_):
        raise error

    monkeypatch.setattr(work, "train", fail)
    assert run(unit, notes) == "failed"
    failure = result_of(unit).failures[TRAINING]
    assert failure.startswith(reason)
    assert "--set" not in failure


def test_a_defect_is_the_failure_of_its_unit(unit, notes, monkeypatch):
    def fail(*_):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(work, "train", fail)
    assert run(unit, notes) == "failed"
    reason = "failed: RuntimeError: shapes differ; this is a defect of srx: please report it"
    assert result_of(unit).failures[TRAINING] == reason
    assert notes.details[-1] == "RuntimeError: shapes differ"


def test_a_set_that_cannot_be_measured_keeps_the_training(unit, notes, tmp_path):
    store = Store(tmp_path)
    trained(store)
    gone = replace(unit, measure=(Measurement(key="scores", dataset="nowhere", protocol="y"),))
    assert run(gone, notes) == "failed"
    assert "nowhere" in result_of(gone).failures["scores"]
    assert result_of(gone).has(TRAINING)


def test_nothing_is_measured_once_stopped(unit, notes, tmp_path):
    store = Store(tmp_path)
    trained(store)
    assert run(unit, notes, stop=lambda: True) == "stopped"
    assert not result_of(unit).has("scores")


def test_threads_are_given_back(unit, notes, monkeypatch):
    before = torch.get_num_threads()
    seen = []

    def fail(*_):
        seen.append(torch.get_num_threads())
        raise DataError("enough")

    monkeypatch.setattr(work, "train", fail)
    run(unit, notes, threads=before + 1)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def stopped_after(count):
    asked = iter(range(1000))
    return lambda: next(asked) >= count - 1


def folder_of(unit):
    return Store(unit.options.store).training(unit.key)


def test_a_checkpoint_for_another_set_is_dropped_and_trained_anew(small, notes, faces):
    assert run(replace(small, validate=(str(faces),)), notes, stopped_after(1)) == "stopped"
    assert (folder_of(small) / "state.safetensors").is_file()
    assert run(small, notes) == "done"
    (line,) = notes.warnings
    assert "best weights are those for Faces" in line
    assert line.endswith("; the training starts over")
    assert "\n" not in line
    assert result_of(small).has("scores")


@pytest.mark.parametrize("name", ["state.safetensors", "run.json"])
def test_a_damaged_checkpoint_is_dropped_and_trained_anew(small, notes, name):
    assert run(small, notes, stopped_after(1)) == "stopped"
    file = folder_of(small) / name
    file.write_bytes(file.read_bytes()[:20])
    assert run(small, notes) == "done"
    (line,) = notes.warnings
    assert f"{file}: cannot be re" in line
    assert result_of(small).training.iterations == 3


def test_no_other_error_costs_a_checkpoint(small, notes, tmp_path):
    assert run(small, notes, stopped_after(1)) == "stopped"
    lost = replace(small, options=replace(small.options, data=(tmp_path / "gone",)))
    assert run(lost, notes) == "failed"
    assert (folder_of(small) / "state.safetensors").is_file()


def test_lost_weights_are_trained_again(small, notes):
    assert outcome(small, notes) == {"ended": "done", "did": "trained"}
    first = result_of(small).scores["scores"].pictures
    more = replace(small, measure=(replace(small.measure[0], key="more"),))
    (folder_of(small) / "last.safetensors").unlink()
    assert run(more, notes, stopped_after(1)) == "stopped"
    assert not result_of(more).has(TRAINING)  # what is there is a part of it
    assert outcome(more, notes) == {"ended": "done", "did": "trained"}
    assert result_of(more).scores["more"].pictures == first
    again = replace(small, measure=(replace(small.measure[0], key="rgb", protocol="rgb"),))
    assert outcome(again, notes) == {"ended": "done", "did": "measured"}


def test_pictures_that_cannot_be_read_are_kept_in_the_figure(small, notes, faces, tmp_path):
    copy = tmp_path / "val2"
    shutil.copytree(faces, copy)
    (copy / "bbb.png").write_bytes(b"nothing")
    measure = (replace(small.measure[0], dataset=str(copy)),)
    own = replace(small, measure=measure, validate=(str(copy),))
    assert run(own, notes) == "done"
    scores = result_of(own).scores["scores"]
    assert (sorted(scores.pictures), scores.of) == (["aaa", "ccc"], 3)
    assert scores.left_out == ("bbb",)
    assert sum("bbb" in text for text in notes.warnings) == 2  # for the curve, and the score
    assert list(result_of(own).training.curves) == ["val2"]


def test_what_another_process_is_at_is_left_to_it(small, notes):
    store = Store(small.options.store)
    with store.lock(small.key):
        assert run(small, notes) == "busy"
    assert not folder_of(small).exists()


def test_what_another_process_has_done_by_now_is_not_done_again(unit, notes, tmp_path):
    store = Store(tmp_path)
    trained(store)
    pictures = {"cat": {"psnr": 30.0, "ssim": 0.9}}
    store.put("training", "scores", SetScores(pictures=pictures, seconds=None))
    assert outcome(unit, notes) == {"ended": "done"}


def test_units_survive_the_way_to_another_process(unit):
    cost = CostUnit(
        label="b",
        key="k",
        options=unit.options,
        recipe=RECIPES["rrlfn"],
        scale=4,
        sizes=((128, 96),),
        gradients=True,
    )
    for each in (unit, cost):
        assert pickle.loads(pickle.dumps(each)) == each


def test_curves_by_set_and_the_median_time(tmp_path):
    entries = [
        {"event": "train", "total": 50, "per_second": 10.0},
        {"event": "validation", "total": 50, "sets": {"held-out": 30.5, "Set5": 31.0}},
        {"event": "train", "total": 100, "per_second": 8.0},
        {"event": "train", "total": 150, "per_second": 2.0, "iterations": 50},
        {"event": "train", "total": 151, "per_second": 0.1, "iterations": 1},
        {"event": "train", "total": 152, "per_second": 0.1, "iterations": 1},
        {"event": "validation", "total": 150, "sets": {"held-out": 31.5, "Set5": None}},
    ]
    file = tmp_path / "log.jsonl"
    lines = [json.dumps(entry) for entry in entries]
    file.write_text("\n".join([*lines, "[]", '{"event": "val']), encoding="utf-8")
    log = read_training(file, 152)
    assert log.curves == {"held-out": ((50, 30.5), (150, 31.5)), "Set5": ((50, 31.0),)}
    assert log.iterations == 152
    assert log.seconds == pytest.approx(1 / 8)


def test_no_log_tells_nothing(tmp_path):
    assert read_training(tmp_path / "log.jsonl", 3) == Trained(
        iterations=3, curves={}, seconds=None
    )
