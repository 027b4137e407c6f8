"""Freed memory stays in the process where the C library can be told so."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from srcli.inference import allocator

FAULTS = """
import resource, torch
from srcli.inference.allocator import keep_freed_memory
print(keep_freed_memory(whole_pictures={whole}))
def tile():
    return [torch.ones({size}) for _ in range(10)]
for _ in range(20):
    tile()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    tile()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr("srcli.inference.allocator.sys.platform", "win32")
    assert allocator.keep_freed_memory.__wrapped__() is False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
@pytest.mark.parametrize(("size", "whole"), [(1_000_000, False), (9_000_000, True)])
def test_tensors_reuse_memory_instead_of_faulting_it_in_again(size, whole):
    code = FAULTS.format(size=size, whole=whole)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    taken, faults = done.stdout.split()
    assert taken == "True"
    # 40 MB a round are 10,000 pages, and 360 MB 90,000; without the settings mostly all of them
    # come anew each time. Blocks of 36 MB are above the threshold from which glibc maps.
    assert int(faults) < 1000
