"""Make PyTorch's threads wait for each other: spinning while alone, asleep beside others.

PyTorch's operations end with all threads of OpenMP waiting for the slowest. GNU's
library (libgomp, in PyTorch's packages for Linux) spins for milliseconds then, which is
fastest while every thread has a processor. Beside other programs one of them often has
none, and the others burn theirs until it gets one: an operation of a millisecond takes
a time slice of the scheduler, 25. Asleep they would cost 4 to 6 % on an idle machine.

The library reads its settings when it is loaded. But it nearly stops spinning by itself
while the process has more OpenMP threads than processors, and asks that at every wait
(``do_spin`` in libgomp's config/linux/wait.h). So a few more threads, which sleep, are
kept for as long as the kernel says that threads of this process wait for processors.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

INTERVAL_SECONDS = 0.1
"""Time between two looks at the kernel's statistics."""
WAITING_SHARE = 0.2
"""Seconds of waiting for a processor, of all threads in each second, that mean company.

Alone on two processors a network's threads have 0.01 to 0.08, beside one busy process 0.4
at least.
"""
QUIET_SECONDS = 1.0
"""Time without waiting after which a process counts as alone."""
SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Variables of the environment by which a user decides how threads wait."""
_PAUSE = 1
"""OpenMP's ``omp_pause_soft``: settings of threads stay."""
_TASKS = Path("/proc/self/task")
_LOCK = threading.Lock()
_BLOCKS: set[object] = set()
"""One thing for each block that has not ended."""
_WATCH: LoadWatch | None = None


@contextmanager
def considerate_waiting() -> Iterator[None]:
    """Let OpenMP's threads sleep while they wait, until the block ends, beside other work.

    Blocks may overlap, in any threads. Nothing happens where the user has decided (see
    ``SETTINGS``), nor on other systems than Linux, nor with other libraries for OpenMP.
    """
    global _WATCH  # one for the process, as OpenMP's threads are
    block = object()
    with _LOCK:
        _BLOCKS.add(block)
        is_decided = any(name in os.environ for name in SETTINGS)
        if _WATCH is None and sys.platform == "linux" and not is_decided:
            watch = LoadWatch()
            # at the interpreter's end, and where the system has no more, none starts
            with suppress(RuntimeError):
                watch.start()
                _WATCH = watch
    try:
        yield
    finally:
        with _LOCK:
            _BLOCKS.discard(block)  # a fork has forgotten it
            if not _BLOCKS and _WATCH is not None:
                _WATCH.stop()
                _WATCH = None


def _begin_without_blocks() -> None:
    """Forget, in a forked process, blocks of its parent: those of other threads never end."""
    global _LOCK, _WATCH
    _LOCK = threading.Lock()  # one that another thread held would stay closed
    _BLOCKS.clear()
    _WATCH = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_without_blocks)


def describe_waiting() -> str:
    """Say in words how threads of this process wait for each other, for bug reports."""
    for name in SETTINGS:
        if name in os.environ:
            return f"as {name}={os.environ[name]} says"
    if find_libgomp() is None:
        return "as the library for OpenMP does; it is not GNU's"
    if seconds_without_processor() is None:
        return "asleep: the kernel does not tell of other work"
    return "spinning while alone, asleep beside other work"


def seconds_without_processor() -> float | None:
    """Return how long threads of this process have waited for processors; None if unknown.

    It is the sum of all threads that live, by /proc/PID/task/TID/schedstat, of which
    the second number counts nanoseconds on a run queue.
    """
    total = 0
    with suppress(OSError, ValueError, IndexError):
        for task in os.listdir(_TASKS):  # noqa: PTH208 - ten times a second
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                total += int((_TASKS / task / "schedstat").read_bytes().split()[1])
        return total / 1e9
    return None


class LoadWatch(threading.Thread):
    """Looks ten times a second whether others want the processors, and lets threads sleep."""

    def __init__(self) -> None:
        super().__init__(name="load watch", daemon=True)
        self._stopped = threading.Event()
        self._sleepers: SleepingThreads | None = None
        self._last_wait = -QUIET_SECONDS
        """When a thread last waited for a processor for longer than a moment."""

    @property
    def lets_threads_sleep(self) -> bool:
        """True while OpenMP's threads sleep when they wait."""
        return self._sleepers is not None

    def run(self) -> None:
        """Look until it is stopped."""
        before = time.monotonic()
        waited_before = seconds_without_processor()
        while not self._stopped.wait(INTERVAL_SECONDS):
            now = time.monotonic()
            waited = seconds_without_processor()
            if waited is None or waited_before is None:
                # without the kernel's word, what costs little at most
                self._last_wait = now
            elif waited - waited_before > WAITING_SHARE * (now - before):
                self._last_wait = now
            before, waited_before = now, waited
            self._choose(is_alone=now - self._last_wait > QUIET_SECONDS)
        self._choose(is_alone=True)

    def stop(self) -> None:
        """Let threads wait as they did before."""
        self._stopped.set()
        self.join()

    def _choose(self, *, is_alone: bool) -> None:
        if is_alone and self._sleepers is not None:
            self._sleepers.end()
            self._sleepers = None
        if not is_alone and self._sleepers is None:
            library = find_libgomp()
            if library is not None and can_start_threads(SleepingThreads.count()):
                self._sleepers = SleepingThreads(library)


def find_libgomp() -> ctypes.CDLL | None:
    """Return GNU's library for OpenMP, if PyTorch has loaded it; else None.

    Other packages may have loaded copies of their own, whose threads are no concern of
    PyTorch's: what PyTorch calls decides.
    """
    torch_path = getattr(sys.modules.get("torch._C"), "__file__", None)
    if torch_path is None:
        return None
    with suppress(OSError, AttributeError):
        # looks into the libraries that it needs, too
        called = _address(ctypes.CDLL(torch_path))
        maps = Path("/proc/self/maps").read_text("utf-8", "replace")
        # folders may have spaces in their names
        for path in set(re.findall(r"/.*libgomp[^/\n]*\.so[^/\s]*", maps)):
            with suppress(OSError, AttributeError):
                library = ctypes.CDLL(path)
                if _address(library) == called:
                    return library
    return None


def end_openmp_threads() -> bool:
    """End the threads of OpenMP that wait for this one, which starts others when it needs them.

    A fork does not copy them, and its OpenMP would wait for them for ever. Return False
    where they may be there still.
    """
    library = find_libgomp()
    with suppress(AttributeError):  # before GCC 9
        if library is not None:
            return int(library.omp_pause_resource_all(_PAUSE)) == 0
    return sys.platform != "linux"


def can_start_threads(count: int) -> bool:
    """Tell if the system allows so many threads more; libgomp would end the process if not."""
    ended = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=ended.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        return False
    finally:
        ended.set()
        for thread in started:
            thread.join()
    return True


def _address(library: ctypes.CDLL) -> int | None:
    return ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value


class SleepingThreads:
    """Threads of OpenMP, one more than there are processors, which wait for nothing.

    They belong to a thread of this process, and end with it.
    """

    @staticmethod
    def count() -> int:
        """Return how many are started: libgomp counts the processors of this process."""
        return len(os.sched_getaffinity(0)) + 1

    def __init__(self, library: ctypes.CDLL) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._sleep, args=(library,), name="sleepers", daemon=True
        )
        self._thread.start()

    def _sleep(self, library: ctypes.CDLL) -> None:
        # What the threads are started for does nothing, and may be called by any.
        nothing = ctypes.CDLL(None).getpid
        count = ctypes.c_uint(self.count())
        library.GOMP_parallel(nothing, None, count, ctypes.c_uint(0))
        self._ended.wait()

    def end(self) -> None:
        """End the threads."""
        self._ended.set()
        self._thread.join()


_is_own = False


def own_process() -> None:
    """Note that this process is of ``srx`` alone, and no Python of a user's.

    Elsewhere what is of the whole process, such as the allocator and the environment,
    stays as it is.
    """
    global _is_own
    _is_own = True


def is_own_process() -> bool:
    """Return True where no code but ours decides what is of the whole process."""
    return _is_own
