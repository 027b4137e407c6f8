"""Run units of work one after another in this process, or side by side in processes of their own.

Processes are spawned: a script that runs units in them needs ``if __name__ == "__main__":`` around
what it does.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import tempfile
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.pipelines.relay import RelayedProgress, Replay, UnitProgress
from srcli.ports.executor import Executor, JsonDict, Place, Unit, UnitResult, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from multiprocessing.connection import Connection

    from srcli.ports.progress import Progress

WAIT_SECONDS = 0.2
"""Interval at which ``stop`` is called while no process reports anything."""
SPAWN = multiprocessing.get_context("spawn")


def make_executor(device: str, processes: int, threads: int) -> Executor:
    """Return an executor for this process, or for as many processes as are asked for.

    Args:
        device: As given by the user.
        processes: Units at once; 1 works in this process.
        threads: Threads of each process; 0 divides the processors among them.

    Raises:
        UsageError: If the machine does not have the device.
    """
    if processes == 1:
        return SerialExecutor(Place(device=device, threads=threads))
    return ProcessExecutor(places(device, processes, threads))


def places(device: str, processes: int, threads: int) -> list[Place]:
    """Return the places of several processes, which share GPUs without a number.

    Args:
        device: As given by the user.
        processes: Their number.
        threads: Threads of each; 0 divides the processors among them.

    Raises:
        UsageError: If the machine does not have the device.
    """
    import torch  # here, so that workers whose work needs no torch start fast

    from srcli.inference.device import choose_device
    from srcli.metrics.machine import processors

    chosen = choose_device(device)
    own = threads or max(1, processors() // processes)
    names = [str(chosen)]
    if str(chosen) == "cuda":
        names = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [Place(device=names[i % len(names)], threads=own) for i in range(processes)]


class SerialExecutor:
    """Runs one unit after another in this process.

    Args:
        place: Device and threads of all units.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def run(
        self,
        work: Work,
        units: Sequence[Unit],
        *,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> Iterator[UnitResult]:
        """Run all units in order; unexpected errors of the work are raised."""
        warned: set[str] = set()
        for index, unit in enumerate(units):
            if stop():
                return
            own = UnitProgress(progress, unit.label, warned)
            yield UnitResult(index=index, result=work(unit, self._place, own, stop))


class ProcessExecutor:
    """Runs each unit in a pool of one new process, as many at once as there are places.

    The memory of a unit is free again after it, and the death of a process, for example when the
    kernel runs out of memory, is the failure of its unit alone.

    Args:
        places: Device and threads of each process.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = list(places)

    def run(
        self,
        work: Work,
        units: Sequence[Unit],
        *,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> Generator[UnitResult, None, None]:
        """Run all units; no process is left behind when this ends, however it ends."""
        waiting = deque(enumerate(units))
        free = list(reversed(self._places))
        running: list[_Worker] = []
        warned: set[str] = set()
        try:
            while True:
                stopped = stop()
                while waiting and free and not stopped:
                    index, unit = waiting.popleft()
                    own = UnitProgress(progress, unit.label, warned)
                    running.append(_Worker(index, work, unit, free.pop(), own))
                if not running:
                    return
                for worker in running if stopped else ():
                    worker.stop()
                ready = wait([worker.events for worker in running], WAIT_SECONDS)
                for worker in [each for each in running if each.events in ready]:
                    if worker.relay():
                        continue
                    running.remove(worker)
                    free.append(worker.place)
                    yield worker.result()
        finally:
            for worker in running:
                worker.kill()


class _Worker:
    """A process with its unit, seen from the parent."""

    def __init__(
        self, index: int, work: Work, unit: Unit, place: Place, progress: Progress
    ) -> None:
        self.place = place
        self.events, sender = SPAWN.Pipe(duplex=False)
        self._index = index
        self._replay = Replay(progress)
        # No lock, which a process that is killed could hold for ever.
        self._stop = SPAWN.RawValue(ctypes.c_bool, False)
        self._folder = tempfile.TemporaryDirectory(prefix="srx-")
        self._output = Path(self._folder.name, "output")
        self._pool = ProcessPoolExecutor(
            1, SPAWN, _start_worker, (sender, self._stop, str(self._output))
        )
        with _interrupts_blocked():
            before = set(multiprocessing.active_children())
            self._future = self._pool.submit(_do, work, unit, place)
            (self._process,) = set(multiprocessing.active_children()) - before
        sender.close()  # so that the pipe ends with the process

    def relay(self) -> bool:
        """Pass an event on to the progress; false at the end of the unit."""
        try:
            self._replay.take(self.events.recv())
        except (EOFError, OSError):
            return False
        return True

    def stop(self) -> None:
        """Ask the work to stop."""
        self._stop.value = True

    def result(self) -> UnitResult:
        """Return how the unit ended; the process ends, too."""
        error = self._future.exception()
        self._pool.shutdown()
        failure = ""
        if isinstance(error, BrokenProcessPool):
            failure = self._death()
        elif error is not None:
            text = " ".join(str(error).split())
            failure = f"its process failed: {type(error).__name__}: {text}"
        self._close()
        result = None if failure else self._future.result()
        return UnitResult(index=self._index, result=result, failure=failure)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._pool.shutdown()
        self._close()

    def _death(self) -> str:
        self._process.join()
        code = self._process.exitcode or 0
        if code < 0:
            memory = ", perhaps for want of memory" if code == -9 else ""
            return f"its process was killed by signal {-code}{memory}"
        try:
            lines = self._output.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:  # it died before it could open the file
            lines = []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        return f"its process ended with code {code}: {last}"

    def _close(self) -> None:
        self._replay.close()
        self.events.close()
        self._folder.cleanup()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Let processes start without Ctrl-C, which is for the parent; not on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_idle = threading.Event()
_channel: list[Any] = []
"""In a worker: the pipe for events, and the shared flag that asks to stop."""


def _start_worker(events: Connection, stop: Any, output: str) -> None:  # noqa: ANN401 - of ctypes
    """Prepare a new process: no signals of the terminal, prints into a file, no life of its own.

    Args:
        events: The pipe for progress.
        stop: Set to true when the work is to stop.
        output: File for what libraries print, whose last line may explain a death.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(AttributeError):  # Windows
        os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    _channel[:] = events, stop
    _idle.set()
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()


def _end_with_parent(stop: Any) -> None:  # noqa: ANN401 - of ctypes
    """Let the work stop in order once the parent has died."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    stop.value = True
    _idle.wait()
    os._exit(1)


def _do(work: Work, unit: Unit, place: Place) -> JsonDict:
    """Do a unit in a worker; the pipe ends with it."""
    events, stop = _channel
    _idle.clear()
    try:
        return dict(work(unit, place, RelayedProgress(events.send), lambda: bool(stop.value)))
    finally:
        events.close()
        _idle.set()
