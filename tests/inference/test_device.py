"""Devices and precisions: what is asked for, what the machine has, what goes there."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from srcli.errors import UsageError
from srcli.inference import device as module
from srcli.inference.device import choose_device, half_type
from srcli.layers.network import full_precision
from srcli.layers.transfer import HostCopy, upload, upload_stack

CPU = torch.device("cpu")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def test_auto_takes_the_best_there_is():
    best = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == best
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cpu:x", "meta", ""])
def test_what_is_not_there_is_refused(name):
    with pytest.raises(UsageError, match="--device"):
        choose_device(name)


@pytest.mark.parametrize(("native", "half"), [(True, torch.bfloat16), (False, None)])
def test_auto_takes_half_precision_only_where_it_is_native_and_harmless(
    monkeypatch, native, half
):
    monkeypatch.setattr(module, "cpu_has_bf16", lambda: native)
    assert half_type(CPU, "auto", bits=8) == half
    assert half_type(CPU, "auto", bits=16) is None
    assert half_type(CPU, "fp32") is None
    assert half_type(CPU, "bf16", bits=16) == torch.bfloat16
    assert half_type(torch.device("cuda"), "auto") == torch.float16
    with pytest.raises(UsageError, match="bf16 or fp32"):
        half_type(CPU, "fp16")


FAULTS = """
import resource, torch
from srcli.machine import keep_freed_memory
from srcli.machine import own_process
own_process()
def tile(size):
    return [torch.ones(size) for _ in range(10)]
for size, whole in ((1_000_000, False), (9_000_000, True)):
    taken = keep_freed_memory(whole_pictures=whole)
    for _ in range(3):
        tile(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(2):
        tile(size)
    print(taken, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_tensors_reuse_memory_instead_of_faulting_it_in_again():
    command = [sys.executable, "-c", FAULTS]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in run.stdout.splitlines():
        is_told, faults = line.split()
        assert is_told == "True"
        # 40 MB a round are 10,000 pages, and 360 MB 90,000; without the settings mostly
        # all of them come anew each time. Blocks of 36 MB are above the threshold where
        # glibc maps.
        assert int(faults) < 1000


def test_autocast_is_off_inside_a_block_of_full_precision_and_on_again_after():
    a = torch.rand(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        with full_precision(a.device):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16
    a = a.to("meta")
    with full_precision(a.device):
        assert (a @ a).is_meta


@pytest.mark.parametrize("name", DEVICES)
def test_uploads_keep_numbers_and_layout(name):
    device = torch.device(name)
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert_array_equal(upload(array, device).cpu(), array)
    tensor = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    uploaded = upload(tensor, device)
    assert torch.equal(uploaded.cpu(), tensor)
    assert uploaded.is_contiguous(memory_format=torch.channels_last)
    assert uploaded.device.type == name


@pytest.mark.parametrize("name", DEVICES)
def test_stacks_go_to_a_device_and_back(name):
    arrays = list(np.arange(24, dtype=np.int32).reshape(2, 3, 4))
    stack = upload_stack(arrays, torch.device(name))
    assert stack.device.type == name
    assert_array_equal(HostCopy(stack).wait(), arrays)
