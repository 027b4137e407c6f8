"""The machine that this runs on: its name, processors, PyTorch's threads and free memory.

torch is imported late: a dry run does without it.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def describe_machine(device: torch.device) -> str:
    """Return device, processor, PyTorch's threads and its version, in a line."""
    import torch

    processor = platform.processor() or platform.machine()
    with suppress(OSError):  # not Linux
        text = Path("/proc/cpuinfo").read_text("utf-8")
        if match := re.search(r"(?m)^model name\s*:(.*)", text):
            processor = match[1].strip()
    if device.type == "cuda":
        processor = f"{torch.cuda.get_device_name(device)}; {processor}"
    count = torch.get_num_threads()
    threads = f"{count} thread{'' if count == 1 else 's'}"
    return f"{device} ({processor}), {threads}, torch {torch.__version__}"


def processor_count() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Return the mean number of running processes in the last minute; None if unknown."""
    if not hasattr(os, "getloadavg"):  # on Windows
        return None
    return os.getloadavg()[0]


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let PyTorch use ``count`` threads until the block ends; None changes nothing."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def free_memory() -> int | None:
    """Return the bytes that the kernel and the control group leave free; None if unknown."""
    free = _number(Path("/proc/meminfo"), r"MemAvailable:\s+(\d+) kB", 1024)
    group = Path("/sys/fs/cgroup")
    # where there is no limit, the file holds the word "max"
    limit = _number(group / "memory.max", r"(\d+)")
    used = _number(group / "memory.current", r"(\d+)")
    if limit is None or used is None:
        return free
    cache = _number(group / "memory.stat", r"inactive_file (\d+)") or 0
    below_limit = max(limit - used + cache, 0)
    if free is None:
        return below_limit
    return min(free, below_limit)


def _number(file: Path, pattern: str, unit: int = 1) -> int | None:
    with suppress(OSError):
        if match := re.search(pattern, file.read_text(encoding="utf-8")):
            return int(match[1]) * unit
    return None
