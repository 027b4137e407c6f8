"""The machine and this process on it: processors, threads, memory, limits of containers.

torch is imported late: a dry run does without it. Limits are those of Linux's control
groups, as containers and batch systems set them: one holds for all groups below that
which has it, so that the whole way up counts from the group of this process. Both
versions of groups are read (see cgroups(7), and in the kernel's documentation
cgroup-v2.rst and sched-bwc.rst); what cannot be read is no limit.
"""

from __future__ import annotations

import atexit
import ctypes
import math
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

IDLE_PRIORITY_CLASS = 0x40
"""Of Windows: runs when the system is idle (SetPriorityClass)."""
PRIO_DARWIN_PROCESS = 4
PRIO_DARWIN_BG = 0x1000
"""Of macOS, <sys/resource.h>: background, for processor, disk and network."""
PROCESS = Path("/proc/self")
"""Where the kernel says to which groups this process belongs, and where they are."""
_LARGEST_LIMIT = 2**60
"""Bytes; with more, version 1 says that there is no limit."""
_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of versions 2 and 1: files of limit and use, and the entry of files that are not used."""
# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD = -1
_TOP_PAD = -2
_MMAP_THRESHOLD = -3
_MMAP_MAX = -4
_ARENA_MAX = -8
_LARGEST_BLOCK = 32 << 20
"""The largest threshold that glibc accepts; tensors of a tile are below it."""

_is_own = False


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
    _give_way_to_other_sessions()
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            return
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), IDLE_PRIORITY_CLASS)
    elif sys.platform == "darwin":
        with suppress(OSError):
            os.setpriority(PRIO_DARWIN_PROCESS, 0, PRIO_DARWIN_BG)
    else:
        os.nice(19)


def _give_way_to_other_sessions() -> None:
    """Let programs of other terminals displace this one's, until this process ends.

    Where Linux groups processes by sessions (autogroups, sched(7)), a class or priority
    counts only among those of one terminal, and terminals share the processors evenly.
    """
    group = PROCESS / "autogroup"
    with suppress(OSError):  # a kernel without such groups
        former = group.read_text("ascii").split()[-1]
        group.write_text("19", "ascii")
        owner = os.getpid()

        def give_back() -> None:
            if os.getpid() == owner:
                with suppress(OSError):
                    group.write_text(former, "ascii")

        atexit.register(give_back)


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


def processor_quota(process: Path = PROCESS) -> float | None:
    """Return the processors whose time this process may take, such as 0.5; None for no limit.

    ``process`` holds the files ``cgroup`` and ``mountinfo``, for tests.
    """
    quotas = []
    for folder in _group_folders("cpu", process):
        # both in microseconds; version 2 has "max", version 1 has -1 for no limit
        words = _read_text(folder / "cpu.max").split() or [
            _read_text(folder / "cpu.cfs_quota_us").strip(),
            _read_text(folder / "cpu.cfs_period_us").strip(),
        ]
        with suppress(ValueError):
            quota, period = map(int, words)
            if quota > 0 and period > 0:
                quotas.append(quota / period)
    return min(quotas, default=None)


def memory_below_limit(process: Path = PROCESS) -> int | None:
    """Return the bytes that this process may still take; None for no limit.

    What the kernel keeps of files and has not used for a while is free when it is
    needed.
    """
    room = []
    for folder in _group_folders("memory", process):
        for limit_file, usage_file, unused in _MEMORY_FILES:
            limit = _number_in(folder / limit_file, r"\d+")
            if limit is None or limit > _LARGEST_LIMIT:
                continue
            used = _number_in(folder / usage_file, r"\d+")
            cached = _number_in(folder / "memory.stat", rf"(?m)^{unused} (\d+)")
            if used is not None:
                room.append(max(limit - used + (cached or 0), 0))
    return min(room, default=None)


@cache  # asked for every picture, and a process stays in its groups
def _group_folders(controller: str, process: Path) -> list[Path]:
    """Return the folders of a controller's groups, from that of a process upwards."""
    folders = []
    for hierarchy in _read_text(process / "cgroup").splitlines():
        _, controllers, group = hierarchy.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = _find_mount(controller if controllers else "", process)
        if mount is None:
            continue
        root, folder = mount
        # A container may see its own part alone, whose upper end has another name.
        inner = Path(group.removeprefix(root).lstrip("/"))
        if ".." in inner.parts:
            inner = Path()
        folders.append(folder / inner)
        folders += [folder / parent for parent in inner.parents if parent != inner]
    return folders


def _find_mount(controller: str, process: Path) -> tuple[str, Path] | None:
    """Return which group a hierarchy shows at its upper end, and where that is a folder.

    An empty controller stands for version 2, which has one hierarchy for all.
    """
    for line in _read_text(process / "mountinfo").splitlines():
        head, _, tail = line.partition(" - ")
        kind, _, options = (tail.split() + [""] * 3)[:3]
        if controller:
            is_found = kind == "cgroup" and controller in options.split(",")
        else:
            is_found = kind == "cgroup2"
        if is_found:
            root, folder = head.split()[3:5]
            return root.rstrip("/"), Path(folder)
    return None


def _number_in(file: Path, pattern: str) -> int | None:
    found = re.search(pattern, _read_text(file))
    return int(found[found.lastindex or 0]) if found else None


def _read_text(file: Path) -> str:
    with suppress(OSError):
        return file.read_text("utf-8", "replace")
    return ""


def own_process() -> None:
    """Take over this process, which is of ``srx`` alone; before PyTorch is loaded.

    Threads of OpenMP sleep while they wait for each other. GNU's library, in PyTorch's
    packages for Linux, lets them spin for milliseconds otherwise, which is no faster on
    an idle machine, and beside other programs burns the time that the slowest thread
    needs (``benchmarks/busy.py``). ``OMP_WAIT_POLICY`` of the user stays.
    """
    global _is_own
    _is_own = True
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def is_own_process() -> bool:
    """Return True where no code but ours decides what is of the whole process.

    Elsewhere the allocator, the environment and the like stay as users have them.
    """
    return _is_own


@cache
def keep_freed_memory(*, whole_pictures: bool = False) -> bool:
    """Tell glibc to keep freed blocks; return False where that fails or there is no glibc.

    A user's own process stays as it is, see ``own_process``. Equal calls after the first
    do nothing. By default large tensors are mapped, zeroed page by page and unmapped
    again: measured for g-idrn on one core, a tile then takes 1.4 to 1.6 times as long.
    The process stays at its peak of memory instead of shrinking between tiles. With
    ``whole_pictures`` their tensors stay as well, which are above the largest threshold:
    1.5 to 1.8 times as fast at 512x512. Blocks of all sizes then share one heap, whose
    gaps take a quarter more memory with large rasters.
    """
    if not (sys.platform.startswith("linux") and is_own_process()):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    settings = {
        _TRIM_THRESHOLD: 2**31 - 1,
        _TOP_PAD: 64 << 20,
        _MMAP_THRESHOLD: _LARGEST_BLOCK,
        # heaps of threads of their own give memory back all the same
        _ARENA_MAX: 1,
    }
    if whole_pictures:
        settings[_MMAP_MAX] = 0
    return all(mallopt(*setting) == 1 for setting in settings.items())
