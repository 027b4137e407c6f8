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
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partialmethod
from itertools import count
from multiprocessing.connection import wait
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from srcli.errors import DefectError, SrxError, one_file
from srcli.ports.progress import NoTask, Progress, Task, show_traceback

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager
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
``label`` names it in messages; it is empty for one whose progress is part of the progress of all.
"""


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
Failure = str | SrxError
"""Of one unit, in words; or a reason for which no unit can be done."""


@dataclass(frozen=True, kw_only=True)
class UnitResult:
    """The result of one unit, or the reason why there is none."""

    index: int
    """Place of the unit in the sequence that was run."""
    result: JsonDict | None
    """The value that the work returned; None if it failed, or its process did."""
    failure: str = ""
    """Reason why it failed; empty if it did not."""


@dataclass(frozen=True, eq=False)
class Job:
    """A unit that is being run."""

    index: int
    work: Work
    unit: Unit
    receiver: Receiver
    stop: Callable[[], bool]
    interrupt: bool
    """It ends when its task advances after a stop."""


Ended = tuple[Job, JsonDict | None, Failure]
"""A job with its result, or without one and a failure; without both it was not to begin."""


Session = tuple[Callable[[Job], object], Callable[[bool], Iterable[Ended]]]
"""Two functions: one begins a job; the other waits a little and gives those that have ended, and
asks all to stop where its argument is true."""


class Executor(ABC):
    """Runs units of work, one after another or side by side."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Units that can run at once, at present."""

    @property
    def most(self) -> int:
        """Jobs that may be under way, at present."""
        return self.slots

    @abstractmethod
    def session(
        self, progress: Progress, shared: Sequence[Path]
    ) -> AbstractContextManager[Session]:
        """Return what runs jobs until the end of the block, which leaves none behind."""

    def run(
        self,
        work: Work,
        units: Sequence[Unit],
        *,
        progress: Progress,
        stop: Callable[[], bool] = lambda: False,
        task: Task | None = None,
        shared: Sequence[Path] = (),
    ) -> Generator[UnitResult, None, None]:
        """Run all units and yield each result when it is there, in any order.

        A unit that fails unexpectedly, or whose process does, does not affect the others. Once
        ``stop`` returns true, no further unit begins and running ones are asked to stop; their
        results are yielded, too. So they are by an exception such as Ctrl-C, which gives them some
        seconds for it.

        Args:
            work: Does a unit.
            units: More may be appended while results are taken.
            progress: Receives the progress of all units.
            stop: Called often; true ends the run.
            task: Shows the progress of all units, in the place of their own tasks. A unit is
                interrupted when it advances after a stop; others ask for themselves.
            shared: Files and folders that all workers must see. A folder that is made first gets
                the results; the others are inputs.

        Raises:
            SrxError: Raised by the work: a reason for which no unit can be done.
        """
        begun, ended, warned = 0, 0, set[str]()
        with self.session(progress, shared) as (begin, take):
            while True:
                stopped = stop()
                while begun < len(units) and not stopped and begun - ended < self.most:
                    unit = units[begun]
                    receiver = Receiver(progress, unit, task, warned)
                    begin(Job(begun, work, unit, receiver, stop, interrupt=task is not None))
                    begun += 1
                if begun == ended:
                    return
                for job, result, failure in take(stopped):
                    ended += 1
                    job.receiver.close()
                    if isinstance(failure, SrxError):
                        raise failure
                    if result is not None or failure:
                        yield UnitResult(index=job.index, result=result, failure=failure)


def shares(items: Sequence[T], slots: int) -> list[Sequence[T]]:
    """Cut items into runs that become shorter, so that all workers end at about the same time."""
    groups: list[Sequence[T]] = []
    at = 0
    while at < len(items):
        size = max(1, min(LARGEST_SHARE, (len(items) - at) // (2 * max(slots, 1))))
        groups.append(items[at : at + size])
        at += size
    return groups


def run_units(
    executor: Executor,
    work: Work,
    units: list[Unit],
    **context: Any,  # noqa: ANN401 - keyword arguments of ``run``
) -> Iterator[tuple[Unit, UnitResult]]:
    """Run units, some of which have ``items``; yield each with its result.

    A unit whose process died is run once more, its items one by one, so that one that kills its
    process takes no other with it.
    """
    for done in executor.run(work, units, **context):
        unit = units[done.index]
        if done.result is not None or unit.again:
            yield unit, done
        elif items := getattr(unit, "items", ()):
            units += [replace(unit, items=[item], again=True) for item in items]
        else:
            units.append(replace(unit, again=True))


@dataclass
class SerialExecutor(Executor):
    """Runs one unit after another in this process."""

    place: Place
    slots: int = 1
    most = 1

    @contextmanager
    def session(self, progress: Progress, shared: Sequence[Path]) -> Iterator[Session]:
        """Yield what runs a job when its result is asked for."""
        jobs: list[Job] = []

        def take(stopped: bool) -> Iterator[Ended]:
            job = jobs.pop()
            own = RelayedProgress(job.receiver.take, job.stop if job.interrupt else None)
            yield job, *attempt((job.work, job.unit, self.place), own, job.stop)

        yield jobs.append, take


@dataclass
class ProcessExecutor(Executor):
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

    @contextmanager
    def session(self, progress: Progress, shared: Sequence[Path]) -> Iterator[Session]:
        """Yield what runs jobs in processes; none is left behind, however the block ends."""
        free = [*reversed(self.places)]
        idle: list[_Worker] = []
        running: dict[Connection, _Worker] = {}

        def begin(job: Job) -> None:
            worker = idle.pop() if idle else _Worker(free.pop())
            running[worker.pipe] = worker
            worker.begin(job)

        def take(stopped: bool) -> Iterator[Ended]:
            for worker in running.values() if stopped else ():
                worker.ask_to_stop()
            for pipe in wait(list(running), WAIT_SECONDS):
                worker = running[pipe]  # type: ignore[index] # typed as any waitable
                if (ended := worker.relay()) is None:
                    continue
                del running[worker.pipe]
                if self.fresh or stopped or ended[2]:
                    free.append(worker.place)
                    worker.close()
                else:
                    idle.append(worker)
                yield ended

        try:
            yield begin, take
        finally:
            # those that were asked to stop before are not waited for: the wish is urgent now
            until = time.monotonic() + STOP_SECONDS
            asked = [worker for worker in running.values() if worker.ask_to_stop()]
            try:
                for worker in asked:
                    worker.process.join(max(until - time.monotonic(), 0))
            finally:
                for worker in (*running.values(), *idle):
                    worker.close()


class _Worker:
    """A process, seen from the parent.

    The pipe gives it jobs and brings its events. Whatever comes during a job asks it to stop, and
    so does the end of the pipe.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._folder = tempfile.TemporaryDirectory(prefix="srx-")
        self._output = Path(self._folder.name, "output")
        self._output.touch()
        self._asked = False
        self.pipe, far_end = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_run_in_worker, args=(far_end, str(self._output)))
        with _interrupts_blocked():
            self.process.start()
        far_end.close()  # so that the pipe ends with the process

    def begin(self, job: Job) -> None:
        """Let the process do a unit."""
        self.job = job
        with suppress(OSError):  # it is dead; so will ``relay`` find
            self.pipe.send(((job.work, job.unit, self.place), job.interrupt))

    def ask_to_stop(self) -> bool:
        """Ask it to stop, once; false if it was asked before."""
        first, self._asked = not self._asked, True
        if first:
            with suppress(OSError):
                self.pipe.send(None)
        return first

    def relay(self) -> Ended | None:
        """Take an event of the process; return how the job has ended if it is that."""
        try:
            event = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            event = ("end", None, self._death())
        if event[0] == "end":
            return self.job, event[1], event[2]
        self.job.receiver.take(event)
        return None

    def close(self) -> None:
        """End the process, if it still runs, and the tasks that it left open."""
        self.process.kill()
        self.process.join()
        self.job.receiver.close()
        self.pipe.close()
        self._folder.cleanup()

    def _death(self) -> str:
        code = self.process.exitcode or 0
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
        while (given := pipe.recv()) is not None:
            job, interrupt = given
            progress = RelayedProgress(pipe.send, stop if interrupt else None)
            progress.send("end", *attempt(job, progress, stop))


class Receiver:
    """The parent's end: shows the events of one ``RelayedProgress``.

    Args:
        progress: Shows tasks and warnings with the label of the unit; its messages are left out,
            which all units would repeat. Without a label everything is passed on.
        unit: The unit.
        task: Shown in the place of the unit's tasks, with those of all others.
        warned: Warnings that were given already; all units read the same pictures.
    """

    def __init__(self, progress: Progress, unit: Unit, task: Task | None, warned: set[str]) -> None:
        self._progress, self._label = progress, unit.label
        self._shared, self._warned = task, warned
        self._tasks: dict[int, Task] = {}
        self._grown = 0.0
        """What was added to the total of the shared task and is not done yet."""

    def take(self, event: tuple[Any, ...]) -> None:
        """Show one event; those of closed tasks are ignored."""
        match event:
            case ("task", number, label, total, unit):
                own = f"{self._label}: {label}" if self._label else label
                self._tasks[number] = self._shared or self._progress.task(
                    own, total=total, unit=unit
                )
            case ("close", number):
                self._close(self._tasks.pop(number, NoTask()))
            case ("begin",):
                self.close()  # what an earlier attempt left open
            case ("warn", text) if self._label:
                if text not in self._warned:
                    self._warned.add(text)
                    self._progress.warn(f"{self._label}: {text}")
            case ("message" | "warn" | "detail", text):
                if event[0] != "message" or not self._label:
                    methodcaller(event[0], text)(self._progress)
            case ("describe", number, text):
                if self._shared is None:
                    self._tasks.get(number, NoTask()).describe(text)
            case _:
                what, number, amount = event
                self._grown += amount if what == "grow" else -amount
                methodcaller(what, amount)(self._tasks.get(number, NoTask()))

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


class RelayedProgress:
    """Progress of a worker, sent to the parent as events; nothing is sent to a dead one.

    Args:
        send: Sends an event: the name of a method, then its arguments.
        interrupt: Where given, a task that advances when this is true is interrupted, as by Ctrl-C.
    """

    def __init__(
        self, send: Callable[[tuple[Any, ...]], None], interrupt: Callable[[], bool] | None = None
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
class _RelayedTask:
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
    job: tuple[Work, Unit, Place], progress: Progress, stop: Callable[[], bool]
) -> tuple[JsonDict | None, Failure]:
    """Do a unit.

    Returns:
        The result and no failure; or None and the failure: an error for the user, or in words one
        that nobody foresaw, which is that of this unit alone.
    """
    work, unit, place = job
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
