"""Run units one after another in this process, or side by side in processes of their own.

Processes are spawned: a script that runs units in them needs ``if __name__ == "__main__":`` around
what it does.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import SrxError
from srcli.pipelines.executors.relay import Receiver, RelayedProgress, attempt, unit_progress
from srcli.ports.executor import Place, Unit, UnitResult, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from multiprocessing.connection import Connection

    from srcli.ports.progress import Progress

WAIT_SECONDS = 0.2
"""Interval at which ``stop`` is called while no process reports anything."""
STOP_SECONDS = 10.0
"""Time that units have to stop after an exception in the parent."""
SPAWN = multiprocessing.get_context("spawn")


@dataclass
class SerialExecutor:
    """Runs one unit after another in this process."""

    place: Place
    slots: int = 1

    def run(
        self,
        work: Work,
        units: Sequence[Unit],
        *,
        progress: Progress,
        stop: Callable[[], bool],
        shared: Sequence[Path] = (),
    ) -> Iterator[UnitResult]:
        """Run all units in order."""
        warned: set[str] = set()
        index = -1
        while (index := index + 1) < len(units) and not stop():
            unit = units[index]
            own = unit_progress(progress, unit, warned)
            result, failure = attempt(work, unit, self.place, own, stop)
            if isinstance(failure, SrxError):
                raise failure
            yield UnitResult(index=index, result=result, failure=failure)


@dataclass
class ProcessExecutor:
    """Runs units in processes, one for each place.

    The death of a process, for example when the kernel runs out of memory, is the failure of its
    unit alone; it would break a pool as a whole.
    """

    places: Sequence[Place]
    fresh: bool = False
    """Start a new process for each unit, so that its memory is free again after it."""

    @property
    def slots(self) -> int:
        """Number of processes."""
        return len(self.places)

    def run(
        self,
        work: Work,
        units: Sequence[Unit],
        *,
        progress: Progress,
        stop: Callable[[], bool],
        shared: Sequence[Path] = (),
    ) -> Generator[UnitResult, None, None]:
        """Run all units; no process is left behind when this ends, however it ends.

        An exception such as Ctrl-C asks running units to stop, and gives them some seconds for it.
        """
        begun = 0
        free = list(reversed(self.places))
        idle: list[_Worker] = []
        running: dict[Connection, _Worker] = {}
        warned: set[str] = set()
        with _ending(running, idle):
            while True:
                stopped = stop()
                while begun < len(units) and (idle or free) and not stopped:
                    worker = idle.pop() if idle else _Worker(free.pop())
                    running[worker.events] = worker
                    unit = units[begun]
                    worker.begin(begun, work, unit, unit_progress(progress, unit, warned))
                    begun += 1
                if not running:
                    return
                for worker in running.values() if stopped else ():
                    worker.lifeline.close()
                for events in wait(list(running), WAIT_SECONDS):
                    worker = running[events]  # type: ignore[index] # typed as any waitable
                    if (result := worker.relay()) is None:
                        continue
                    del running[worker.events]
                    if self.fresh or result.failure:
                        free.append(worker.place)
                        worker.close()
                    else:
                        idle.append(worker)
                    yield result


class _Worker:
    """A process, seen from the parent; closing ``lifeline`` asks it to stop."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._folder = tempfile.TemporaryDirectory(prefix="srx-")
        self._output = Path(self._folder.name, "output")
        self._output.touch()
        self.events, sender = SPAWN.Pipe(duplex=False)
        lifeline, self.lifeline = SPAWN.Pipe(duplex=False)
        arguments = (sender, lifeline, str(self._output))
        self._process = SPAWN.Process(target=_run_in_worker, args=arguments)
        with _interrupts_blocked():
            self._process.start()
        sender.close()  # so that the pipe ends with the process
        lifeline.close()

    def begin(self, index: int, work: Work, unit: Unit, progress: Progress) -> None:
        """Let the process do a unit."""
        self._index, self._receiver = index, Receiver(progress)
        with suppress(OSError):  # it is dead; so will ``relay`` find
            self.lifeline.send((work, unit, self.place))

    def relay(self) -> UnitResult | None:
        """Take an event of the process; return the result of the unit if it is that.

        Raises:
            SrxError: Raised by the work.
        """
        try:
            event = self.events.recv()
        except (EOFError, OSError):
            self._process.join()
            event = ("end", None, self._death())
        if event[0] != "end":
            self._receiver.take(event)
            return None
        self._receiver.close()
        _, result, failure = event
        if isinstance(failure, SrxError):
            raise failure
        return UnitResult(index=self._index, result=result, failure=failure)

    def join(self, seconds: float) -> None:
        """Wait for the end of the process."""
        self._process.join(seconds)

    def close(self) -> None:
        """End the process, if it still runs, and the tasks that it left open."""
        self._process.kill()
        self._process.join()
        self._receiver.close()
        self.events.close()
        self.lifeline.close()
        self._folder.cleanup()

    def _death(self) -> str:
        code = self._process.exitcode or 0
        if code < 0:
            memory = ", perhaps for want of memory" if code == -9 else ""
            return f"its process was killed by signal {-code}{memory}"
        last = self._output.read_text(encoding="utf-8", errors="replace").strip().split("\n")[-1]
        return f"its process ended with code {code}: {last.strip() or 'no message'}"


@contextmanager
def _ending(running: Mapping[Connection, _Worker], idle: Sequence[_Worker]) -> Iterator[None]:
    """Leave no process behind; let running units put their files in order.

    Those that were asked to stop before are not waited for: the wish is urgent now.
    """
    try:
        yield
    finally:
        asking = [worker for worker in running.values() if not worker.lifeline.closed]
        until = time.monotonic() + STOP_SECONDS
        try:
            for worker in asking:
                worker.lifeline.close()
            for worker in asking:
                worker.join(max(until - time.monotonic(), 0))
        finally:
            for worker in (*running.values(), *idle):
                worker.close()


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


def _run_in_worker(events: Connection, lifeline: Connection, output: str) -> None:
    """Do units in a new process: no signals of the terminal, prints into a file.

    Args:
        events: Takes the progress and the results.
        lifeline: Gives work, unit and place, again and again; its end asks to stop.
        output: File for what libraries print, whose last line may explain a death.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(AttributeError):  # Windows
        os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)

    def stop() -> bool:
        try:
            return lifeline.poll()  # true at the end of the pipe: no job comes during another
        except OSError:  # Windows
            return True

    progress = RelayedProgress(events.send)
    with suppress(EOFError, OSError):  # the parent needs no more, or is dead
        while True:
            work, unit, place = lifeline.recv()
            progress.send("end", *attempt(work, unit, place, progress, stop))
