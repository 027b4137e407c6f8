"""What the kernel says of memory: between nothing and all of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from srcli.metrics.free_memory import address_space, free_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_the_kernel_says_what_is_free():
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal"))
    assert 0 < (free_memory() or 0) <= total


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_addresses_are_taken_with_memory():
    before = address_space()
    held = bytearray(512 << 20)
    after = address_space()
    assert before is not None
    assert after is not None
    assert after - before >= len(held) // 2
