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
print(keep_freed_memory())
def tile():
    return [torch.ones(1_000_000) for _ in range(10)]
for _ in range(50):
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
def test_tensors_reuse_memory_instead_of_faulting_it_in_again():
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    taken, faults = done.stdout.split()
    assert taken == "True"
    # 40 MB a round are 10,000 pages; without the settings mostly all of them come anew each time.
    assert int(faults) < 1000
