"""Run units of work in worker processes, whose progress and messages the parent shows.

The parent has an executor, which gives each ``Worker`` (the parent's end of a process) one
``Job`` after another; the process runs ``_run_in_worker`` and sends events back.

Processes are spawned: a script that runs units in them needs
``if __name__ == "__main__":`` around what it does.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial, partialmethod
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from srcli.errors import DefectError, SrxError, as_failure_of
from srcli.machine import keep_to_quota, own_process
from srcli.ports import ForwardedProgress, Progress, Stop, Task
from srcli.recipes.plugins import allow_code, named_code
from srcli.supervision import (
    OF_READINGS,
    Readings,
    announce_to,
    limit_reading,
    reading_limit,
)
from srcli.threads import interrupts_blocked

WAIT_SECONDS = 0.2
"""Interval at which ``stop`` is called while no process reports anything."""
STOP_SECONDS = 1.0
"""Time that units have to stop after an exception in the parent."""
SPAWN = multiprocessing.get_context("spawn")
JsonDict = Mapping[str, Any]
"""A result: names and plain values, which can be sent to another process."""
Unit = TypeVar("Unit")
"""A unit of work: values that can be sent to another process."""
Event = tuple[Any, ...]
"""Name and arguments of a method of a ``Progress`` or a task; or ``end``, result and
failure."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The share of a machine that one unit at a time may use."""

    device: str
    """``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``."""
    threads: int
    """Threads of the processor; 0 leaves PyTorch's choice."""


UnitFunction = Callable[[Unit, Slot, Progress, Stop], JsonDict]
"""Does a unit; a function of a module, which another process can import. It takes the
unit, its slot, the progress to report to and a function that tells whether to stop, and
returns the result."""


def no_label(unit: object) -> str:
    """Return no name: the progress of a unit is part of that of all."""
    return ""


def no_parts(unit: Unit) -> Iterable[Unit]:
    """Return nothing: a unit cannot be split."""
    return ()


class Outcome(NamedTuple, Generic[Unit]):
    """The end of a unit: its result, or why it failed."""

    unit: Unit
    result: JsonDict | None
    """The value that the work returned; None if it failed, or its process did."""
    failure: str | SrxError
    """Reason why it failed; empty if it did not."""


@dataclass
class ProcessExecutor:
    """Runs units in processes, one for each slot.

    The death of a process, for example when the kernel runs out of memory, is the
    failure of its unit alone; it would break a pool as a whole.
    """

    slots: Sequence[Slot]
    retries = 1
    """Times that a unit which failed unexpectedly is run again."""

    @property
    def slot_count(self) -> int:
        """Number of units that can run at once, at present."""
        return len(self.slots)

    def start(self, busy: Sequence[Slot]) -> Worker:
        """Start a worker in a free slot; ``busy`` are the others."""
        free = [*self.slots]
        for slot in busy:
            free.remove(slot)
        return Worker(free[0])

    def wait(self, workers: Sequence[Worker]) -> list[Worker]:
        """Return workers that have events, after a moment if there are none."""
        ready = wait([worker.pipe for worker in workers], WAIT_SECONDS)
        return [worker for worker in workers if worker.pipe in ready]

    def run(
        self,
        do_unit: UnitFunction[Unit],
        units: Iterable[Unit],
        *,
        progress: Progress,
        stop: Stop = lambda: False,
        task: Task | None = None,
        shared: Sequence[Path] = (),
        label_of: Callable[[Unit], str] = no_label,
        parts_of: Callable[[Unit], Iterable[Unit]] = no_parts,
    ) -> Generator[Outcome[Unit], None, None]:
        """Run all units and yield each when its result is there, in any order.

        A unit that fails unexpectedly, or whose process dies, is run again, or its
        parts one by one, so that the one to blame takes no other with it. Once ``stop``
        returns true, no further unit begins and running ones are asked to stop; their
        results are yielded, too. After an exception such as Ctrl-C they get some seconds
        to stop; no process is left behind. An SrxError that the work raises is a reason
        for which no unit can be done.

        Args:
            do_unit: Does a unit.
            units: What to do.
            progress: Receives the progress of all units.
            stop: Called often; true ends the run.
            task: Advanced and grown by all units, whose own tasks are not shown. A unit
                is interrupted when it advances after a stop; without a task it asks for
                itself.
            shared: Files and folders that all workers must see. A folder that is made
                first gets the results; the others are inputs.
            label_of: Names a unit in messages; see ``UnitProgress``.
            parts_of: Splits a unit into what is run again, each by itself.
        """
        waiting = deque((unit, self.retries) for unit in units)
        jobs: list[Job[Unit]] = []
        warned: set[str] = set()

        def begin(worker: Worker) -> None:
            unit, retries = waiting.popleft()
            unit_progress = UnitProgress(label_of(unit), progress, warned)
            unit_task = task or Task()
            job = Job(unit, retries, worker, unit_progress, unit_task, parts_of)
            jobs.append(job)
            worker.send((do_unit, unit, worker.slot, task is not None))

        try:
            while True:
                stopped = stop()
                while waiting and not stopped and len(jobs) < max(self.slot_count, 1):
                    begin(self.start([job.worker.slot for job in jobs]))
                if not jobs:
                    return
                if stopped:
                    _ask_to_stop(jobs)
                for job, outcome in self._collect_outcomes(jobs):
                    jobs.remove(job)
                    # a worker that is not needed makes room for another, which may wait
                    # for a node
                    if outcome.failure or job.is_asked_to_stop or stop() or not waiting:
                        job.worker.close()
                    else:
                        begin(job.worker)
                    if isinstance(outcome.failure, SrxError):
                        raise outcome.failure
                    retried = [] if stop() else job.units_to_retry(outcome)
                    waiting += retried
                    if not retried:
                        yield outcome
        finally:
            try:
                self._wait_for_end(_ask_to_stop(jobs))
            finally:
                for job in jobs:
                    job.worker.close()

    def _collect_outcomes(
        self, jobs: Sequence[Job[Unit]]
    ) -> list[tuple[Job[Unit], Outcome[Unit]]]:
        """Wait a moment, show what workers report, and return ended jobs with outcomes."""
        ready = self.wait([job.worker for job in jobs])
        ended = []
        for job in jobs:
            outcome = job.relay() if job.worker in ready else job.check_reading_time()
            if outcome is not None:
                ended.append((job, outcome))
        # what ends the run comes last: others that have ended count
        ended.sort(key=lambda end: isinstance(end[1].failure, SrxError))
        return ended

    def _wait_for_end(self, late: list[Job[Unit]]) -> None:
        """Give jobs that were just asked to stop ``STOP_SECONDS`` to do so."""
        until = time.monotonic() + STOP_SECONDS
        while late and time.monotonic() < until:
            for job, _ in self._collect_outcomes(late):
                late.remove(job)


def _ask_to_stop(jobs: Iterable[Job[Unit]]) -> list[Job[Unit]]:
    """Ask jobs to stop, and return those that were not asked before."""
    running = []
    for job in jobs:
        if not job.is_asked_to_stop:
            job.is_asked_to_stop = True
            job.worker.send(None)
            running.append(job)
    return running


class Worker:
    """A process that does one unit after another, seen from its parent.

    The pipe gives it jobs and brings its events; on a node of a cluster the parent is
    an actor, which hands them on. Whatever comes during a job asks it to stop, and so
    does the end of the pipe.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.pipe, far_end = SPAWN.Pipe()
        self.process = SPAWN.Process(
            target=_run_in_worker, args=(far_end, reading_limit(), named_code())
        )
        with interrupts_blocked():
            self.process.start()
        far_end.close()  # so that the pipe ends with the process

    def send(self, job: tuple[Any, ...] | None) -> None:
        """Send a job, or None to ask the process to stop.

        A job is a function, a unit, its slot and whether a stop interrupts the unit.
        """
        with suppress(OSError):  # it is dead; so will ``events`` find
            self.pipe.send(job)

    def events(self, seconds: float = 0) -> list[Event]:
        """Return what the process reports, after so many seconds at most; its end is a failure."""
        events: list[Event] = []
        try:
            while self.pipe.poll(0 if events else seconds):
                events.append(self.pipe.recv())
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            reason = f"its process ended with code {code}"
            if code < 0:
                reason = f"its process was killed by signal {-code}"
            if code == -9:
                reason += ", perhaps for want of memory"
            events.append(("end", None, reason))
        return events

    def close(self) -> None:
        """End the process, if it still runs."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _run_in_worker(pipe: Connection, read_seconds: float, code: Sequence[str]) -> None:
    """Do units in a new process, without the terminal: its signals, and what libraries print."""
    limit_reading(read_seconds)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(AttributeError):  # Windows
        os.setsid()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)

    def stop() -> bool:
        try:
            return pipe.poll()
        except OSError:  # Windows, at the end of the pipe
            return True

    own_process()
    keep_to_quota()
    allow_code(*code)
    # the parent needs no more, or is dead
    with suppress(EOFError, OSError):
        while job := pipe.recv():
            do_unit, unit, slot, interrupted = job
            progress = RelayedProgress(pipe.send, stop if interrupted else bool)
            announce_to(partial(_relay_reading, progress))
            progress.send("end", *try_unit(do_unit, unit, slot, progress, stop))


def _relay_reading(progress: RelayedProgress, event: str, *values: Any) -> None:
    """Tell the parent which files are being read, and no other event."""
    if event in OF_READINGS:
        progress.send("reading", event, *values)


@dataclass(eq=False)
class Job(Generic[Unit]):
    """A unit that a worker does."""

    unit: Unit
    retries: int
    """Times that it may be run again."""
    worker: Worker
    progress: UnitProgress
    task: Task
    parts_of: Callable[[Unit], Iterable[Unit]]
    """Splits the unit into what may be run again."""
    is_asked_to_stop: bool = False
    readings: Readings = field(default_factory=Readings)

    def units_to_retry(self, outcome: Outcome[Unit]) -> list[tuple[Unit, int]]:
        """Return units to run again, each with its retries: the parts of the unit, or itself."""
        if not outcome.failure or not self.retries:
            return []
        units = [*self.parts_of(self.unit)] or [self.unit]
        return [(unit, self.retries - 1) for unit in units]

    def relay(self) -> Outcome[Unit] | None:
        """Show what the worker reports; return the outcome once the unit has ended."""
        for name, *values in self.worker.events():
            if name == "reading":
                self.readings.take(*values)
            elif name == "end":  # after which a process that was asked to stop ends
                return Outcome(self.unit, *values)
            elif name in ("advance", "grow", "extend", "add_waiting"):
                getattr(self.task, name)(*values)
            else:
                getattr(self.progress, name)(*values)
        return self.check_reading_time()

    def check_reading_time(self) -> Outcome[Unit] | None:
        """Return the outcome of a unit that has read a file for too long: a failure; else None."""
        reason = self.readings.find_late()
        if reason:
            return Outcome(self.unit, None, reason)
        return None


class UnitProgress(ForwardedProgress):
    """Progress of one unit, shown with its label in front; no warning is shown twice.

    Messages of units with labels are dropped, as all units would repeat them. ``warned``
    are the warnings so far, shared by all units.
    """

    def __init__(self, label: str, progress: Progress, warned: set[str]) -> None:
        super().__init__(progress)
        self._prefix = f"{label}: " if label else ""
        self._warned = warned

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a task."""
        return super().task(self._prefix + label, total=total, unit=unit)

    def message(self, text: str) -> None:
        """Pass a message on."""
        if not self._prefix:
            super().message(text)

    def warn(self, text: str) -> None:
        """Pass a warning on, the first time."""
        if text not in self._warned:
            self._warned.add(text)
            super().warn(self._prefix + text)


class RelayedProgress(Task, Progress):
    """Progress in a worker, and its only task: each call is sent to the parent as an event.

    Args:
        send: Sends an event: the name of a method, then its arguments.
        interrupt: A task that advances when this returns true is interrupted, as by
            Ctrl-C; ``bool``, the default, never does.
    """

    def __init__(self, send: Callable[[Event], None], interrupt: Stop = bool) -> None:
        self._lock = threading.Lock()
        self._unlocked_send = send
        self._interrupt = interrupt

    def send(self, *event: Any) -> None:
        """Send an event; threads take turns."""
        with self._lock, suppress(OSError):
            self._unlocked_send(event)

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Return the task."""
        return self

    def advance(self, amount: float = 1.0) -> None:
        """Advance the task that the parent shows."""
        if self._interrupt():
            raise KeyboardInterrupt
        self.send("advance", amount)

    grow = partialmethod(send, "grow")
    extend = partialmethod(send, "extend")
    add_waiting = partialmethod(send, "add_waiting")
    message = partialmethod(send, "message")
    warn = partialmethod(send, "warn")
    detail = partialmethod(send, "detail")


def try_unit(
    do_unit: UnitFunction[Unit], unit: Unit, slot: Slot, progress: Progress, stop: Stop
) -> tuple[JsonDict | None, str | SrxError]:
    """Do a unit; return its result and no failure, or None and the failure.

    The failure is an SrxError if no unit can be done, such as a wrong option; text if an
    unforeseen error concerns this unit alone.
    """
    try:
        with as_failure_of("failed"):
            return dict(do_unit(unit, slot, progress, stop)), ""
    except DefectError as error:
        progress.detail(*error.details)
        return None, str(error)
    except SrxError as error:
        return None, error
    except KeyboardInterrupt:
        if not stop():
            raise
        return None, "interrupted"
