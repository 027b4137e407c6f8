"""Devices and precisions: what is asked for, what the machine has."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import UsageError
from srcli.inference import device as module
from srcli.inference.device import choose_device, half_type

CPU = torch.device("cpu")


def test_auto_takes_the_best_there_is():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cpu:x", "meta", ""])
def test_what_is_not_there_is_refused(name):
    with pytest.raises(UsageError, match="--device"):
        choose_device(name)


@pytest.mark.parametrize("native", [True, False])
def test_auto_takes_half_precision_only_where_it_is_native_and_harmless(monkeypatch, native):
    monkeypatch.setattr(module, "cpu_has_bf16", lambda: native)
    assert half_type(CPU, "auto", bits=8) == (torch.bfloat16 if native else None)
    assert half_type(CPU, "auto", bits=16) is None
    assert half_type(CPU, "fp32") is None
    assert half_type(CPU, "bf16", bits=16) == torch.bfloat16
    assert half_type(torch.device("cuda"), "auto") == torch.float16


def test_fp16_needs_a_gpu():
    with pytest.raises(UsageError, match="bf16 or fp32"):
        half_type(CPU, "fp16")
