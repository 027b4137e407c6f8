"""What counts for a whole process: whose it is, how threads wait, what the allocator keeps."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD = -1
_TOP_PAD = -2
_MMAP_THRESHOLD = -3
_MMAP_MAX = -4
_ARENA_MAX = -8
_LARGEST_BLOCK = 32 << 20
"""The largest threshold that glibc accepts; tensors of a tile are below it."""

_is_own = False


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
