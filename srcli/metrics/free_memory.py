"""What memory there is left, by the kernel's files; unknown on other systems than Linux."""

from __future__ import annotations

import re
from pathlib import Path


def free_memory() -> int | None:
    """Bytes that processes can still take, by the kernel and the group's limit; None if unknown."""
    free = _number(Path("/proc/meminfo"), r"MemAvailable:\s+(\d+) kB", 1024)
    group = Path("/sys/fs/cgroup")
    limit = _number(group / "memory.max", r"(\d+)")  # the word "max" where there is none
    used = _number(group / "memory.current", r"(\d+)")
    if limit is None or used is None:
        return free
    cache = _number(group / "memory.stat", r"inactive_file (\d+)") or 0
    left = max(limit - used + cache, 0)
    return left if free is None else min(free, left)


def address_space() -> int | None:
    """Bytes of addresses that this process holds, whether used or not; None if unknown."""
    return _number(Path("/proc/self/status"), r"VmSize:\s+(\d+) kB", 1024)


def _number(file: Path, pattern: str, unit: int = 1) -> int | None:
    try:
        found = re.search(pattern, file.read_text(encoding="utf-8"))
    except OSError:
        return None
    return int(found[1]) * unit if found else None
