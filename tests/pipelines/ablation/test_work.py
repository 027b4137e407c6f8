"""One unit at a time: what fails for its own reasons is a figure, what is broken comes out."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from srcli.errors import DataError, InferenceError
from srcli.pipelines.ablation import work
from srcli.pipelines.ablation.store import Store
from srcli.pipelines.ablation.units import Measuring, TrainingUnit
from srcli.pipelines.ablation.work import run_unit
from srcli.training.report import DIVERGED


@pytest.fixture
def unit(tmp_path, pictures):
    """A training of nothing in particular."""
    return TrainingUnit(
        label="a",
        key="training",
        store=str(tmp_path),
        recipe="g-idrn-short",
        scale=2,
        seed=0,
        budget="2",
        data=(str(pictures),),
        hold_out=None,
        exclude=(),
        validate=(),
        measure=(Measuring(key="scores", dataset="Faces", protocol="y"),),
        device="cpu",
        precision="fp32",
        threads=1,
    )


def run(unit, notes, stop=lambda: False):
    return run_unit(asdict(unit), notes, stop)["ended"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InferenceError(DIVERGED), "the training has diverged: the loss or a weight is not a"),
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
    found = Store(Path(unit.store)).get("training")
    assert found["failure"].startswith(reason)
    assert "--set" not in found["failure"]


def test_a_bug_comes_out(unit, notes, monkeypatch):
    def fail(*_):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(work, "train", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run(unit, notes)
    assert Store(Path(unit.store)).get("training") == {}


def test_a_set_that_cannot_be_measured_keeps_the_training(unit, notes, tmp_path):
    store = Store(tmp_path)
    store.put("training", {"iterations": 2, "weights": "last.safetensors"})
    gone = replace(unit, measure=(Measuring(key="scores", dataset="nowhere", protocol="y"),))
    assert run(gone, notes) == "failed"
    assert "nowhere" in store.get("scores")["failure"]
    assert store.has("training")


def test_nothing_is_measured_once_stopped(unit, notes, tmp_path):
    store = Store(tmp_path)
    store.put("training", {"iterations": 2, "weights": "last.safetensors"})
    assert run(unit, notes, stop=lambda: True) == "stopped"
    assert store.get("scores") == {}


def test_threads_are_given_back(unit, notes, monkeypatch):
    before = torch.get_num_threads()
    seen = []

    def fail(*_):
        seen.append(torch.get_num_threads())
        raise DataError("enough")

    monkeypatch.setattr(work, "train", fail)
    run(replace(unit, threads=before + 1), notes)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
