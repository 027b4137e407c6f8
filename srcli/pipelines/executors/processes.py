"""Run units one after another in this process, or side by side in processes of their own.

Their progress is sent by workers as events and shown by the parent.

Processes are spawned: a script that runs units in them needs ``if __name__ == "__main__":`` around
what it does.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partialmethod
from itertools import count
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from srcli.errors import DefectError, SrxError, one_file
from srcli.ports.progress import Progress, Task, show_traceback
from srcli.threads import interrupts_blocked

if TYPE_CHECKING:
    from collections.abc import Generator
    from multiprocessing.connection import Connection

WAIT_SECONDS = 0.2
"""Interval at which ``stop`` is called while no process reports anything."""
STOP_SECONDS = 10.0
"""Time that units have to stop after an exception in the parent."""
LARGEST_SHARE = 16
"""Items; reading the first and writing the last of so many costs little beside all of them."""
SPAWN = multiprocessing.get_context("spawn")
T = TypeVar("T")
JsonDict = Mapping[str, Any]
"""Names and plain values, which can be sent to another process."""
Unit = Any
"""A unit of work: a frozen dataclass of plain values, which can be sent to another process. Its
``label``, if it has one, names it in messages; without, its progress is part of that of all."""
Event = tuple[Any, ...]
"""Name and arguments of a method of a ``Progress`` or a task; or ``end``, result and failure."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The share of a machine that one unit at a time may use."""

    device: str
    """``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``."""
    threads: int
    """Threads of the processor; 0 leaves PyTorch's choice."""


Work = Callable[[Any, Place, Progress, Callable[[], bool]], JsonDict]
"""A function of a module, which another process can import: it takes a unit, its place, the
progress to report to and a function that tells whether to stop, and returns the result."""


def pack(value: object) -> bytes:
    """Turn a job or an event into bytes, as pipes do with what they are given."""
    return bytes(ForkingPickler.dumps(value))


def shares(items: Sequence[T], slots: int) -> list[Sequence[T]]:
    """Cut items into runs that become shorter, so that all workers end at about the same time."""
    groups: list[Sequence[T]] = []
    at = 0
    while at < len(items):
        size = max(1, min(LARGEST_SHARE, (len(items) - at) // (2 * max(slots, 1))))
        groups.append(items[at : at + size])
        at += size
    return groups


@dataclass
class SerialExecutor:
    """Runs one unit after another in this process, as ``ProcessExecutor`` does in others."""

    place: Place
    slots = 1

    def run(
        self,
        work: Work,
        units: Iterable[Unit],
        *,
        progress: Progress,
        stop: Callable[[], bool] = lambda: False,
        task: Task | None = None,
        shared: Sequence[Path] = (),
    ) -> Generator[Job, None, None]:
        """Run all units in order; see ``ProcessExecutor.run``."""
        warned: set[str] = set()
        for unit in units:
            if stop():
                return
            job = Job(unit, progress, task, warned)
            own = RelayedProgress(job.take, stop if task else None)
            own.send("end", *attempt(work, unit, self.place, own, stop))
            if isinstance(job.failure, SrxError):
                raise job.failure
            yield job


@dataclass
class ProcessExecutor:
    """Runs units in processes, one for each place.

    The death of a process, for example when the kernel runs out of memory, is the failure of its
    unit alone; it would break a pool as a whole.
    """

    places: Sequence[Place]
    fresh: bool = False
    """Start a new process for each unit, so that its memory is free again after it."""
    repeats = 1
    """Times that a unit is run again which failed unexpectedly."""

    @property
    def slots(self) -> int:
        """Units that can run at once, at present."""
        return len(self.places)

    def start(self, taken: Sequence[Place]) -> Worker:
        """Start a worker at a place that is free."""
        free = [*self.places]
        for place in taken:
            free.remove(place)
        return Worker(free[0])

    def wait(self, workers: Sequence[Worker]) -> list[Worker]:
        """Return workers that have events, after a moment if there are none."""
        ready = wait([worker.pipe for worker in workers], WAIT_SECONDS)
        return [worker for worker in workers if worker.pipe in ready]

    def run(
        self,
        work: Work,
        units: Iterable[Unit],
        *,
        progress: Progress,
        stop: Callable[[], bool] = lambda: False,
        task: Task | None = None,
        shared: Sequence[Path] = (),
    ) -> Generator[Job, None, None]:
        """Run all units and yield each when its result is there, in any order.

        A unit that fails unexpectedly, or whose process dies, is run again, and its ``items``, if
        it has some, one by one, so that the one to blame takes no other with it. Once ``stop``
        returns true, no further unit begins and running ones are asked to stop; their results are
        yielded, too. After an exception such as Ctrl-C they get some seconds to stop; no process is
        left behind.

        Args:
            work: Does a unit.
            units: What to do.
            progress: Receives the progress of all units.
            stop: Called often; true ends the run.
            task: Shows the progress of all units, in the place of their own tasks. A unit is
                interrupted when it advances after a stop; others ask for themselves.
            shared: Files and folders that all workers must see. A folder that is made first gets
                the results; the others are inputs.

        Raises:
            SrxError: Raised by the work: a reason for which no unit can be done.
        """
        waiting = deque((unit, self.repeats) for unit in units)
        jobs: list[Job] = []
        idle: list[Worker] = []
        warned: set[str] = set()
        try:
            while True:
                stopped = stop()
                while waiting and not stopped and len(jobs) < max(self.slots, 1):
                    worker = idle.pop() if idle else self.start([job.worker.place for job in jobs])
                    unit, repeats = waiting.popleft()
                    jobs.append(Job(unit, progress, task, warned, worker, repeats))
                    worker.send(pack((work, unit, worker.place, task is not None)))
                if not jobs:
                    return
                if stopped:
                    _ask_to_stop(jobs)
                for job in self._ended(jobs):
                    jobs.remove(job)
                    # one that is not needed makes room for another, which may wait for a node
                    if self.fresh or job.failure or job.asked or not waiting:
                        job.worker.close()
                    else:
                        idle.append(job.worker)
                    if isinstance(job.failure, SrxError):
                        raise job.failure
                    if job.failure and job.repeats and not stop():
                        waiting += [(each, job.repeats - 1) for each in _pieces(job.unit)]
                    else:
                        yield job
        finally:
            self._end(jobs, idle)

    def _ended(self, jobs: Sequence[Job]) -> list[Job]:
        """Wait a moment, show what workers report, and return the jobs that have ended."""
        ready = self.wait([job.worker for job in jobs])
        return [job for job in jobs if job.worker in ready and job.relay()]

    def _end(self, jobs: Sequence[Job], idle: Sequence[Worker]) -> None:
        """End all processes; jobs get some seconds, but for those that were asked to stop before.

        These are not waited for: the wish is urgent now.
        """
        late = _ask_to_stop(jobs)
        until = time.monotonic() + STOP_SECONDS
        try:
            while late and time.monotonic() < until:
                ended = self._ended(late)
                late = [job for job in late if job not in ended]
        finally:
            for worker in (*idle, *(job.worker for job in jobs)):
                worker.close()
            for job in jobs:
                job.close()


Executor = SerialExecutor | ProcessExecutor


def _pieces(unit: Unit) -> list[Unit]:
    """Return a unit as several, each with one of its ``items``, or as it is if it has none."""
    return [replace(unit, items=[item]) for item in getattr(unit, "items", ())] or [unit]


def _ask_to_stop(jobs: Iterable[Job]) -> list[Job]:
    """Ask jobs to stop, and return those that were not asked before."""
    found = [job for job in jobs if not job.asked]
    for job in found:
        job.asked = True
        job.worker.send(b"")
    return found


class Worker:
    """A process that does one unit after another, seen from its parent.

    The pipe gives it jobs and brings its events, as bytes: on a node of a cluster the parent is an
    actor, which hands them on. Whatever comes during a job asks it to stop, and so does the end of
    the pipe.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._folder = tempfile.TemporaryDirectory(prefix="srx-")
        self._output = Path(self._folder.name, "output")
        self._output.touch()
        self.pipe, far_end = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_run_in_worker, args=(far_end, str(self._output)))
        with interrupts_blocked():
            self.process.start()
        far_end.close()  # so that the pipe ends with the process

    def send(self, job: bytes) -> None:
        """Let the process do a job; an empty one asks it to stop."""
        with suppress(OSError):  # it is dead; so will ``events`` find
            self.pipe.send_bytes(job)

    def events(self, seconds: float = 0) -> list[bytes]:
        """Return what the process reports, after so many seconds at most; its end is a failure."""
        events: list[bytes] = []
        try:
            while self.pipe.poll(0 if events else seconds):
                events.append(self.pipe.recv_bytes())
        except (EOFError, OSError):
            self.process.join()
            events.append(pack(("end", None, self._death())))
        return events

    def close(self) -> None:
        """End the process, if it still runs."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self._folder.cleanup()

    def _death(self) -> str:
        code = self.process.exitcode or 0
        if code < 0:
            memory = ", perhaps for want of memory" if code == -9 else ""
            return f"its process was killed by signal {-code}{memory}"
        last = self._output.read_text(encoding="utf-8", errors="replace").strip().split("\n")[-1]
        return f"its process ended with code {code}: {last.strip() or 'no message'}"


def _run_in_worker(pipe: Connection, output: str) -> None:
    """Do units in a new process: no signals of the terminal, what libraries print into a file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(AttributeError):  # Windows
        os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)

    def stop() -> bool:
        try:
            return pipe.poll()
        except OSError:  # Windows, at the end of the pipe
            return True

    with suppress(EOFError, OSError):  # the parent needs no more, or is dead
        while job := pipe.recv_bytes():
            work, unit, place, interrupted = ForkingPickler.loads(job)
            progress = RelayedProgress(
                lambda event: pipe.send_bytes(pack(event)), stop if interrupted else None
            )
            progress.send("end", *attempt(work, unit, place, progress, stop))


class Job:
    """A unit that is run, seen from its parent, and what came of it.

    Args:
        unit: The unit.
        progress: Shows tasks and warnings with the label of the unit; its messages are left out,
            which all units would repeat. Without a label everything is passed on.
        task: Shown in the place of the unit's tasks, with those of all others.
        warned: Warnings that were given already; all units read the same pictures.
        worker: Does it; None in this process.
        repeats: Times that it may be run again.
    """

    result: JsonDict | None = None
    """The value that the work returned; None if it failed, or its process did."""
    failure: str | SrxError = ""
    """Reason why it failed; empty if it did not."""
    asked = False
    """It was asked to stop."""

    def __init__(
        self,
        unit: Unit,
        progress: Progress,
        task: Task | None,
        warned: set[str],
        worker: Any = None,  # noqa: ANN401 - there is always one where it is used
        repeats: int = 0,
    ) -> None:
        label = getattr(unit, "label", "")
        self.unit, self.worker, self.repeats = unit, worker, repeats
        self._prefix = f"{label}: " if label else ""
        self._progress, self._shared, self._warned = progress, task, warned
        self._tasks: dict[int, Task] = {}
        self._grown = 0.0
        """What was added to the total of the shared task and is not done yet."""
        self.ended = False

    def relay(self) -> bool:
        """Show what the worker reports; return True once the unit has ended."""
        for event in self.worker.events():
            if not self.ended:  # a process that was asked to stop ends after its result
                self.take(ForkingPickler.loads(event))
        return self.ended

    def take(self, event: Event) -> None:
        """Show one event, or take what came of the unit; events of closed tasks are ignored."""
        match event:
            case ("end", result, failure):
                self.result, self.failure, self.ended = result, failure, True
                self.close()
            case ("task", number, label, total, unit):
                self._tasks[number] = self._shared or self._progress.task(
                    self._prefix + label, total=total, unit=unit
                )
            case ("close", number):
                self._close(self._tasks.pop(number, Task()))
            case ("message", text):
                if not self._prefix:
                    self._progress.message(text)
            case ("warn", text):
                if text not in self._warned:
                    self._warned.add(text)
                    self._progress.warn(self._prefix + text)
            case ("detail", text):
                self._progress.detail(text)
            case ("describe", number, text):
                if self._shared is None:
                    self._tasks.get(number, Task()).describe(text)
            case _:
                what, number, amount = event
                self._grown += amount if what == "grow" else -amount
                getattr(self._tasks.get(number, Task()), what)(amount)

    def close(self) -> None:
        """Close the tasks that are still open."""
        while self._tasks:
            self._close(self._tasks.popitem()[1])

    def _close(self, task: Task) -> None:
        if task is not self._shared:
            task.close()
        elif self._grown > 0:  # a unit that is repeated adds it again
            task.grow(-self._grown)
            self._grown = 0.0


class RelayedProgress(Progress):
    """Progress of a worker, sent to the parent as events; nothing is sent to a dead one.

    Args:
        send: Sends an event: the name of a method, then its arguments.
        interrupt: Where given, a task that advances when this is true is interrupted, as by Ctrl-C.
    """

    def __init__(
        self, send: Callable[[Event], None], interrupt: Callable[[], bool] | None = None
    ) -> None:
        self._numbers = count()
        self._lock = threading.Lock()
        self._unlocked_send = send
        self.interrupt = interrupt

    def send(self, *event: Any) -> None:  # noqa: ANN401 - arguments of any method
        """Send an event; threads take turns."""
        with self._lock, suppress(OSError):
            self._unlocked_send(event)

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a task in the parent."""
        number = next(self._numbers)
        self.send("task", number, label, total, unit)
        return _RelayedTask(self, number)

    message = partialmethod(send, "message")
    warn = partialmethod(send, "warn")
    detail = partialmethod(send, "detail")


@dataclass(frozen=True)
class _RelayedTask(Task):
    progress: RelayedProgress
    number: int

    def advance(self, amount: float = 1.0) -> None:
        if self.progress.interrupt is not None and self.progress.interrupt():
            raise KeyboardInterrupt
        self._send("advance", amount)

    def _send(self, what: str, *arguments: Any) -> None:  # noqa: ANN401 - of any method
        self.progress.send(what, self.number, *arguments)

    grow = partialmethod(_send, "grow")
    describe = partialmethod(_send, "describe")
    close = partialmethod(_send, "close")


def attempt(
    work: Work, unit: Unit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> tuple[JsonDict | None, str | SrxError]:
    """Do a unit; return its result, or None and the failure.

    That is an error for the user, for which no unit can be done, or, in words, one that nobody
    foresaw, which is that of this unit alone.
    """
    try:
        with one_file("failed"):
            return dict(work(unit, place, progress, stop)), ""
    except DefectError as error:
        show_traceback(error, progress)
        return None, str(error)
    except SrxError as error:
        return None, error
    except KeyboardInterrupt:
        if not stop():
            raise
        return None, "interrupted"
