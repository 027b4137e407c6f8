"""The machine that this runs on: its name, processors, PyTorch's threads and free memory.

torch is imported late: a dry run does without it.
"""

from __future__ import annotations

import math
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.control_groups import memory_below_limit, processor_quota

if TYPE_CHECKING:
    import torch

IDLE_PRIORITY_CLASS = 0x40
"""Of Windows: runs when the system is idle (SetPriorityClass)."""
PRIO_DARWIN_PROCESS = 4
PRIO_DARWIN_BG = 0x1000
"""Of macOS, <sys/resource.h>: background, for processor, disk and network."""


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
    """Return the number of processors that this process may use.

    A quota of a control group, as of a container, counts in full processors: of a half
    and of one and a half, one and two threads make the most.
    """
    count = allowed_processors()
    quota = processor_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def allowed_processors() -> int:
    """Return the number of processors on which this process may run, whatever their share."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_to_quota() -> None:
    """Let libraries start no more threads than a quota feeds; before they are loaded.

    They count processors, and know nothing of quotas: threads beyond one use up its
    time, and then all stand still until the next period. ``OMP_NUM_THREADS`` of the
    user stays.
    """
    count = processor_count()
    if count < allowed_processors():
        os.environ.setdefault("OMP_NUM_THREADS", str(count))


def run_in_background() -> None:
    """Let this process, and those that it starts, run on what others leave.

    Linux has a class of its own for that, which others displace at once; Windows and
    macOS as well. Elsewhere it is the lowest priority.
    """
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            return
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), IDLE_PRIORITY_CLASS)
    elif sys.platform == "darwin":
        with suppress(OSError):
            os.setpriority(PRIO_DARWIN_PROCESS, 0, PRIO_DARWIN_BG)
    else:
        os.nice(19)


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
    """Return the bytes that the kernel and the control groups leave free; None if unknown.

    They are looked at ten times a second at most: small pictures ask more often.
    """
    return _free_memory(int(10 * time.monotonic()))


@lru_cache(maxsize=1)
def _free_memory(tenth_of_second: int) -> int | None:
    known = [memory_below_limit()]
    with suppress(OSError):
        text = Path("/proc/meminfo").read_text("utf-8")
        if match := re.search(r"MemAvailable:\s+(\d+) kB", text):
            known.append(int(match[1]) * 1024)
    return min((room for room in known if room is not None), default=None)
