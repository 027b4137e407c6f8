"""Freed memory stays in the process where the C library can be told so."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from srcli.inference import allocator

FAULTS = """
import resource, sys, torch
from srcli.inference.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
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
    faults = {}
    for mode in ("keep", "default"):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True
        )
        faults[mode] = int(done.stdout)
    assert faults["default"] > 1000  # else there is nothing to gain
    assert faults["keep"] < faults["default"] / 10
