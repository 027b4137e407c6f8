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
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing.connection import wait
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from srcli.errors import DefectError, SrxError, one_file
from srcli.ports.executor import Place, Unit, UnitResult, Work
from srcli.ports.progress import NoTask, Progress, Task, show_traceback

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from multiprocessing.connection import Connection

    from srcli.ports.executor import Executor, JsonDict

WAIT_SECONDS = 0.2
"""Interval at which ``stop`` is called while no process reports anything."""
STOP_SECONDS = 10.0
"""Time that units have to stop after an exception in the parent."""
LARGEST_SHARE = 16
"""Items; reading the first and writing the last of so many costs little beside all of them."""
SPAWN = multiprocessing.get_context("spawn")
T = TypeVar("T")


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

    The items of a unit whose process died are run again, one by one, so that one that kills its
    process takes no other with it.
    """
    for done in executor.run(work, units, **context):
        unit = units[done.index]
        items = getattr(unit, "items", ())
        if done.result is None and len(items) > 1:
            units += [replace(unit, items=[item]) for item in items]
        else:
            yield unit, done


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
        stop: Callable[[], bool] = lambda: False,
        task: Task | None = None,
        shared: Sequence[Path] = (),
    ) -> Iterator[UnitResult]:
        """Run all units in order."""
        warned: set[str] = set()
        index = -1
        while (index := index + 1) < len(units) and not stop():
            receiver = Receiver(progress, units[index], task, warned)
            own = RelayedProgress(receiver.take, stop if task is not None else None)
            result, failure = attempt((work, units[index], self.place), own, stop)
            receiver.close()
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
        stop: Callable[[], bool] = lambda: False,
        task: Task | None = None,
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
        try:
            while True:
                stopped = stop()
                while begun < len(units) and (idle or free) and not stopped:
                    worker = idle.pop() if idle else _Worker(free.pop())
                    running[worker.pipe] = worker
                    receiver = Receiver(progress, units[begun], task, warned)
                    job = (work, units[begun], worker.place)
                    worker.begin(begun, job, receiver, interrupt=task is not None)
                    begun += 1
                if not running:
                    return
                for worker in running.values() if stopped else ():
                    worker.ask_to_stop()
                for pipe in wait(list(running), WAIT_SECONDS):
                    worker = running[pipe]  # type: ignore[index] # typed as any waitable
                    if (result := worker.relay()) is None:
                        continue
                    del running[worker.pipe]
                    if self.fresh or stopped or result.failure:
                        free.append(worker.place)
                        worker.close()
                    else:
                        idle.append(worker)
                    yield result
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

    def begin(
        self, index: int, job: tuple[Work, Unit, Place], receiver: Receiver, *, interrupt: bool
    ) -> None:
        """Let the process do a unit."""
        self._index, self._receiver = index, receiver
        with suppress(OSError):  # it is dead; so will ``relay`` find
            self.pipe.send((job, interrupt))

    def ask_to_stop(self) -> bool:
        """Ask it to stop, once; false if it was asked before."""
        first, self._asked = not self._asked, True
        if first:
            with suppress(OSError):
                self.pipe.send(None)
        return first

    def relay(self) -> UnitResult | None:
        """Take an event of the process; return the result of the unit if it is that."""
        try:
            event = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            event = ("end", None, self._death())
        if event[0] != "end":
            self._receiver.take(event)
            return None
        self._receiver.close()
        _, result, failure = event
        if isinstance(failure, SrxError):
            raise failure
        return UnitResult(index=self._index, result=result, failure=failure)

    def close(self) -> None:
        """End the process, if it still runs, and the tasks that it left open."""
        self.process.kill()
        self.process.join()
        self._receiver.close()
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
        self,
        send: Callable[[tuple[Any, ...]], None],
        interrupt: Callable[[], bool] | None = None,
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

    def message(self, text: str) -> None:
        """Send a message."""
        self.send("message", text)

    def warn(self, text: str) -> None:
        """Send a warning."""
        self.send("warn", text)

    def detail(self, text: str) -> None:
        """Send a line for --verbose."""
        self.send("detail", text)


@dataclass(frozen=True)
class _RelayedTask:
    progress: RelayedProgress
    number: int

    def advance(self, amount: float = 1.0) -> None:
        if self.progress.interrupt is not None and self.progress.interrupt():
            raise KeyboardInterrupt
        self.progress.send("advance", self.number, amount)

    def grow(self, amount: float) -> None:
        self.progress.send("grow", self.number, amount)

    def describe(self, text: str) -> None:
        self.progress.send("describe", self.number, text)

    def close(self) -> None:
        self.progress.send("close", self.number)


def attempt(
    job: tuple[Work, Unit, Place], progress: Progress, stop: Callable[[], bool]
) -> tuple[JsonDict | None, str | SrxError]:
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
