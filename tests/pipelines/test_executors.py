"""Where units run: in this process in order, or in processes with a place each."""

from __future__ import annotations

import os

import pytest
import torch

from srcli.errors import UsageError
from srcli.pipelines.ablate.options import AblateOptions
from srcli.pipelines.executors import HereExecutor, make_executor, places
from srcli.pipelines.process_executor import ProcessExecutor


def test_units_run_in_order_until_stopped(notes):
    done = []

    def work(unit, progress, stop):
        progress.warn("heard")
        done.append(unit["value"])
        return {"value": unit["value"]}

    units = [{"label": f"u{i}", "value": i} for i in range(4)]
    running = HereExecutor().run(work, units, progress=notes, stop=lambda: len(done) >= 2)
    assert [(each.index, each.result) for each in running] == [(0, {"value": 0}), (1, {"value": 1})]
    assert notes.warnings == ["u0: heard"]


def test_an_error_that_nobody_expects_comes_out(notes):
    def work(unit, progress, stop):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(HereExecutor().run(work, [{"label": ""}], progress=notes, stop=lambda: False))


def test_processes_share_the_processor():
    whole = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    assert places("cpu", 2, 0) == [{"device": "cpu", "threads": max(1, whole // 2)}] * 2
    assert places("cpu", 3, 4) == [{"device": "cpu", "threads": 4}] * 3


def test_processes_take_gpus_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices = [place["device"] for place in places("auto", 3, 1)]
    assert devices == ["cuda:0", "cuda:1", "cuda:0"]
    assert [place["device"] for place in places("cuda:1", 2, 1)] == ["cuda:1", "cuda:1"]
    with pytest.raises(UsageError, match="this machine has 2 CUDA devices"):
        places("cuda:2", 2, 1)


def test_one_process_is_this_one():
    assert isinstance(make_executor(AblateOptions(train=False)), HereExecutor)
    two = AblateOptions(train=False, processes=2, device="cpu")
    assert isinstance(make_executor(two), ProcessExecutor)
