"""Devices and executors as the user names them."""

from __future__ import annotations

import pytest

from srcli.cli.options import several_workers
from srcli.pipelines.executors.processes import Place, ProcessExecutor


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--executor", "spark"), "'spark' is not local, ray or ray://HOST:PORT"),
        (("--device", "cpu,tpu"), "--device tpu: give auto, cpu, cuda, cuda:N"),
        (("--devices", "cuda:7,cpu"), "--device cuda:7: this machine has"),
        (("--executor", "ray", "--device", "cuda:1"), "--device cuda:1: Ray chooses the GPU"),
    ],
)
def test_devices_that_cannot_be_are_refused(srx, tmp_path, words, told):
    result = srx("upscale", tmp_path, tmp_path / "out", *words)
    assert result.code == 2
    assert told in result.err


def test_one_device_needs_no_executor():
    local = {"executor": "local"}
    assert several_workers(local | {"device": "auto"}) == (None, "auto")
    assert several_workers(local | {"device": "cpu"}, processes=1, fresh=True) == (None, "cpu")
    executor, first = several_workers(local | {"device": "cpu,cpu"}, threads=3)
    assert executor == ProcessExecutor([Place(device="cpu", threads=3)] * 2)
    assert first == "cpu"
