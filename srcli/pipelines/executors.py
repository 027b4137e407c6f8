"""Run units of work one after another in this process, or side by side in processes of their own.

Processes are spawned: a script that runs units in them needs ``if __name__ == "__main__":`` around
what it does.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import wait
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.ports.executor import Executor, Place, Unit, UnitResult, Work
from srcli.ports.progress import NoTask, Progress

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from multiprocessing.connection import Connection

    from srcli.ports.progress import Task

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
    """Return the places of several processes, which share GPUs without a number."""
    import torch  # here, so that workers whose work needs no torch start fast

    from srcli.inference.device import choose_device
    from srcli.metrics.machine import processors

    chosen = choose_device(device)
    own = threads or max(1, processors() // processes)
    names = [str(chosen)]
    if str(chosen) == "cuda":
        names = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [Place(device=names[i % len(names)], threads=own) for i in range(processes)]


@dataclass(frozen=True)
class UnitProgress:
    """Progress of one unit among many: its tasks carry its label, its messages are left out."""

    progress: Progress
    label: str
    warned: set[str]
    """Warnings that were given already; all units read the same pictures."""

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a task under the label of the unit."""
        return self.progress.task(f"{self.label}: {label}", total=total, unit=unit)

    def message(self, text: str) -> None:
        """Ignore messages, which every unit would repeat."""

    def warn(self, text: str) -> None:
        """Pass a warning on once, whichever unit gives it first."""
        if text not in self.warned:
            self.warned.add(text)
            self.progress.warn(f"{self.label}: {text}")


@dataclass
class SerialExecutor:
    """Runs one unit after another in this process."""

    place: Place

    def run(
        self, work: Work, units: Sequence[Unit], *, progress: Progress, stop: Callable[[], bool]
    ) -> Iterator[UnitResult]:
        """Run all units in order; unexpected errors of the work are raised."""
        warned: set[str] = set()
        for index, unit in enumerate(units):
            if stop():
                return
            own = UnitProgress(progress, unit.label, warned)
            yield UnitResult(index=index, result=work(unit, self.place, own, stop))


@dataclass
class ProcessExecutor:
    """Runs each unit in a new process, as many at once as there are places.

    The memory of a unit is free again after it, and the death of a process, for example when the
    kernel runs out of memory, is the failure of its unit alone; it would break a pool as a whole.
    """

    places: Sequence[Place]

    def run(
        self, work: Work, units: Sequence[Unit], *, progress: Progress, stop: Callable[[], bool]
    ) -> Generator[UnitResult, None, None]:
        """Run all units; no process is left behind when this ends, however it ends."""
        waiting = deque(enumerate(units))
        free = list(reversed(self.places))
        running: dict[Connection, _Worker] = {}
        warned: set[str] = set()
        try:
            while True:
                stopped = stop()
                while waiting and free and not stopped:
                    index, unit = waiting.popleft()
                    own = UnitProgress(progress, unit.label, warned)
                    worker = _Worker(index, (work, unit, free.pop()), own)
                    running[worker.events] = worker
                if not running:
                    return
                for worker in running.values() if stopped else ():
                    worker.lifeline.close()
                for events in wait(list(running), WAIT_SECONDS):
                    worker = running[events]  # type: ignore[index] # typed as any waitable
                    if (result := worker.relay()) is not None:
                        del running[worker.events]
                        free.append(worker.place)
                        worker.close()
                        yield result
        finally:
            for worker in running.values():
                worker.close()


class _Worker:
    """A process with its unit, seen from the parent; closing ``lifeline`` asks it to stop."""

    def __init__(self, index: int, job: tuple[Work, Unit, Place], progress: Progress) -> None:
        self.place, self._index, self._progress = job[2], index, progress
        self._tasks: dict[int, Task] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="srx-")
        self._output = Path(self._folder.name, "output")
        self._output.touch()
        self.events, sender = SPAWN.Pipe(duplex=False)
        lifeline, self.lifeline = SPAWN.Pipe(duplex=False)
        arguments = (sender, lifeline, str(self._output))
        self._process = SPAWN.Process(target=_run_in_worker, args=arguments)
        with _interrupts_blocked():
            self._process.start()
        self.lifeline.send(job)  # unpickled once prints go to the file
        sender.close()  # so that the pipe ends with the process
        lifeline.close()

    def relay(self) -> UnitResult | None:
        """Take an event of the process; return the result of the unit if it is that."""
        try:
            event = self.events.recv()
        except (EOFError, OSError):
            self._process.join()
            return UnitResult(index=self._index, result=None, failure=self._death())
        match event:
            case ("end", result, failure):
                self._process.join()
                return UnitResult(index=self._index, result=result, failure=failure)
            case ("task", number, label, total, unit):
                self._tasks[number] = self._progress.task(label, total=total, unit=unit)
            case ("close", number):
                self._tasks.pop(number, NoTask()).close()
            case ("warn", text):
                self._progress.warn(text)
            case _:  # of a task; those of closed ones are ignored
                methodcaller(event[0], event[2])(self._tasks.get(event[1], NoTask()))
        return None

    def close(self) -> None:
        """End the process, if it still runs, and the tasks that it left open."""
        self._process.kill()
        self._process.join()
        for task in self._tasks.values():
            task.close()
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
    """Do a unit in a new process: no signals of the terminal, prints into a file.

    Args:
        events: Takes the progress and the result.
        lifeline: Gives work, unit and place; its end asks to stop.
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
            return lifeline.poll()  # true at the end of the pipe
        except OSError:  # Windows
            return True

    progress = RelayedProgress(events.send)
    try:
        work, unit, place = lifeline.recv()
        progress.send("end", dict(work(unit, place, progress, stop)), "")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the failure of this unit
        text = f"its process failed: {type(error).__name__}: {' '.join(str(error).split())}"
        progress.send("end", None, text)


class RelayedProgress:
    """Progress of a worker, sent to the parent as events; nothing is sent to a dead one.

    Args:
        send: Sends an event: the name of a method, then its arguments.
    """

    def __init__(self, send: Callable[[tuple[Any, ...]], None]) -> None:
        self._numbers = count()
        self._lock = threading.Lock()
        self._unlocked_send = send

    def send(self, *event: Any) -> None:  # noqa: ANN401 - arguments of any method
        """Send an event; threads take turns."""
        with self._lock, suppress(OSError):
            self._unlocked_send(event)

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a task in the parent."""
        number = next(self._numbers)
        self.send("task", number, label, total, unit)
        return _RelayedTask(self.send, number)

    def message(self, text: str) -> None:
        """Ignore messages, as the progress of a unit does."""

    def warn(self, text: str) -> None:
        """Send a warning."""
        self.send("warn", text)


@dataclass(frozen=True)
class _RelayedTask:
    send: Callable[..., None]
    number: int

    def advance(self, amount: float = 1.0) -> None:
        self.send("advance", self.number, amount)

    def grow(self, amount: float) -> None:
        self.send("grow", self.number, amount)

    def describe(self, text: str) -> None:
        self.send("describe", self.number, text)

    def close(self) -> None:
        self.send("close", self.number)
