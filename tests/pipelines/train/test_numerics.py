"""Number format and layout for a machine."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import UsageError
from srcli.pipelines.train import numerics as module
from srcli.pipelines.train.numerics import choose_numerics, device_for, resolve_precision
from srcli.training.parallel import ALONE, Team


@pytest.mark.parametrize("native", [True, False])
def test_a_processor_gets_half_precision_only_where_it_is_native(monkeypatch, native):
    monkeypatch.setattr(module, "cpu_has_bf16", lambda: native)
    chosen = choose_numerics("cpu", "auto")
    assert chosen.autocast == (torch.bfloat16 if native else None)
    assert chosen.channels_last is native


def test_fp32_on_a_processor_keeps_the_default_layout():
    chosen = choose_numerics("cpu", "fp32", compiled=True)
    assert (chosen.autocast, chosen.channels_last, chosen.compile) == (None, False, True)


def test_bf16_may_be_asked_for(monkeypatch):
    monkeypatch.setattr(module, "cpu_has_bf16", lambda: False)
    chosen = choose_numerics("cpu", "bf16")
    assert (chosen.autocast, chosen.channels_last) == (torch.bfloat16, True)


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_settled_by_the_machine_and_what_was_asked_for_stays(monkeypatch, native):
    monkeypatch.setattr(module, "cpu_has_bf16", lambda: native)
    device = torch.device("cpu")
    assert resolve_precision("auto", device) == ("bf16" if native else "fp32")
    assert resolve_precision("bf16", device) == "bf16"
    assert resolve_precision("fp32", device) == "fp32"


def test_threads_are_set():
    before = torch.get_num_threads()
    choose_numerics("cpu", "fp32")
    assert torch.get_num_threads() == before
    choose_numerics("cpu", "fp32", threads=1)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_what_cannot_train_is_refused():
    with pytest.raises(UsageError, match="bf16 or fp32"):
        choose_numerics("cpu", "fp16")
    with pytest.raises(UsageError, match="--threads"):
        choose_numerics("cpu", threads=-1)
    with pytest.raises(UsageError, match="--device"):
        choose_numerics("tpu")


@pytest.mark.gpu
def test_a_gpu_trains_in_bf16_and_channels_last():
    chosen = choose_numerics("cuda")
    assert (chosen.autocast, chosen.channels_last) == (torch.bfloat16, True)


def test_each_of_several_processes_gets_a_gpu_of_its_own(monkeypatch):
    second = Team(connected=True, rank=5, local_rank=1, size=8, local_size=4)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert device_for(ALONE, "cuda:3") == "cuda:3"
    assert device_for(second, "cpu") == "cpu"
    assert device_for(second, "cuda") == "cuda:1"
    for there, device in ((True, "cuda:1"), (False, "cpu")):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=there: there)
        assert device_for(second, "auto") == device
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    with pytest.raises(UsageError, match=r"4 processes .* 3 GPUs; .*--nproc-per-node 3,"):
        device_for(second, "cuda")
    for name in ("cuda:0", "mps"):
        with pytest.raises(UsageError, match="several processes"):
            device_for(second, name)
