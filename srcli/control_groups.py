"""Limits of Linux's control groups for this process, as containers and batch systems set them.

A limit holds for all groups below that which has it, so that the whole way up counts
from the group of this process. Both versions of groups are read (see cgroups(7), and in
the kernel's documentation cgroup-v2.rst and sched-bwc.rst); what cannot be read is no
limit.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache
from pathlib import Path

PROCESS = Path("/proc/self")
"""Where the kernel says to which groups this process belongs, and where they are."""
_LARGEST_LIMIT = 2**60
"""Bytes; with more, version 1 says that there is no limit."""
_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of versions 2 and 1: files of limit and use, and the entry of files that are not used."""


def processor_quota(process: Path = PROCESS) -> float | None:
    """Return the processors whose time this process may take, such as 0.5; None for no limit.

    ``process`` holds the files ``cgroup`` and ``mountinfo``, for tests.
    """
    quotas = []
    for folder in _folders("cpu", process):
        # both in microseconds; version 2 has "max", version 1 has -1 for no limit
        words = _read(folder / "cpu.max").split() or [
            _read(folder / "cpu.cfs_quota_us").strip(),
            _read(folder / "cpu.cfs_period_us").strip(),
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
    for folder in _folders("memory", process):
        for limit_file, usage_file, unused in _MEMORY_FILES:
            limit = _number(folder / limit_file, r"\d+")
            if limit is None or limit > _LARGEST_LIMIT:
                continue
            used = _number(folder / usage_file, r"\d+")
            cached = _number(folder / "memory.stat", rf"(?m)^{unused} (\d+)")
            if used is not None:
                room.append(max(limit - used + (cached or 0), 0))
    return min(room, default=None)


@cache  # asked for every picture, and a process stays in its groups
def _folders(controller: str, process: Path) -> list[Path]:
    """Return the folders of a controller's groups, from that of a process upwards."""
    folders = []
    for hierarchy in _read(process / "cgroup").splitlines():
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
    for line in _read(process / "mountinfo").splitlines():
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


def _number(file: Path, pattern: str) -> int | None:
    found = re.search(pattern, _read(file))
    return int(found[found.lastindex or 0]) if found else None


def _read(file: Path) -> str:
    with suppress(OSError):
        return file.read_text("utf-8", "replace")
    return ""
