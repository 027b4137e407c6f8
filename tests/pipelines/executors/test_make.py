"""Executors and places by what the user asks for."""

from __future__ import annotations

import os

import pytest
import torch

from srcli.errors import UsageError
from srcli.pipelines.executors.make import make_executor, places
from srcli.pipelines.executors.processes import ProcessExecutor, SerialExecutor
from srcli.ports.executor import Place


def test_processes_share_the_processor():
    whole = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    assert places("cpu", 2, 0) == [Place(device="cpu", threads=max(1, whole // 2))] * 2
    assert places("cpu", 3, 4) == [Place(device="cpu", threads=4)] * 3


def test_processes_take_gpus_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices = [place.device for place in places("auto", 3, 1)]
    assert devices == ["cuda:0", "cuda:1", "cuda:0"]
    assert [place.device for place in places("cuda:1", 2, 1)] == ["cuda:1", "cuda:1"]
    with pytest.raises(UsageError, match="this machine has 2 CUDA devices"):
        places("cuda:2", 2, 1)


def test_one_process_is_this_one():
    assert isinstance(make_executor("cpu"), SerialExecutor)
    assert isinstance(make_executor("cpu", processes=2), ProcessExecutor)


def test_devices_are_a_list_with_a_process_for_each(monkeypatch):
    executor = make_executor("cpu, cpu,cpu", threads=1)
    assert executor == ProcessExecutor([Place(device="cpu", threads=1)] * 3)
    assert places("all", 0, 0) == places("auto", 0, 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [place.device for place in places("all", 0, 1)] == ["cuda:0", "cuda:1"]
    assert [place.device for place in places("auto", 0, 1)] == ["cuda"]
    with pytest.raises(UsageError, match=r"--device tpu: give auto, cpu, cuda, cuda:N"):
        make_executor("cpu,tpu")
