"""Progress that crosses processes: sent by workers as events, shown by the parent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from srcli.errors import DefectError, SrxError, one_file
from srcli.ports.progress import NoTask, Progress, Task, show_traceback

if TYPE_CHECKING:
    from srcli.ports.executor import JsonDict, Place, Unit, Work


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

    def detail(self, text: str) -> None:
        """Pass on a line for --verbose."""
        self.progress.detail(text)


def unit_progress(progress: Progress, unit: Unit, warned: set[str]) -> Progress:
    """Return the progress of a unit; that of all units where it has no label."""
    return UnitProgress(progress, unit.label, warned) if unit.label else progress


@dataclass(frozen=True)
class SharedTasks:
    """Progress of units that advance the same tasks; tasks of other labels are not shown."""

    progress: Progress
    tasks: Mapping[str, Task]
    """By label."""

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Return a share of the task of this label."""
        return _TaskShare(self.tasks.get(label, NoTask()))

    def message(self, text: str) -> None:
        """Pass on a message."""
        self.progress.message(text)

    def warn(self, text: str) -> None:
        """Pass on a warning."""
        self.progress.warn(text)

    def detail(self, text: str) -> None:
        """Pass on a line for --verbose."""
        self.progress.detail(text)


@dataclass
class _TaskShare:
    task: Task
    grown: float = 0.0
    """What was added to the total and is not done yet."""

    def advance(self, amount: float = 1.0) -> None:
        self.grown -= amount
        self.task.advance(amount)

    def grow(self, amount: float) -> None:
        self.grown += amount
        self.task.grow(amount)

    def describe(self, text: str) -> None:
        self.task.describe(text)

    def close(self) -> None:
        """Take what was not done off the total: a unit that is repeated adds it again."""
        if self.grown > 0:
            self.grow(-self.grown)


@dataclass(frozen=True)
class StoppingTask:
    """A task of a worker that is interrupted, as by Ctrl-C, when it advances after a stop."""

    task: Task
    stop: Callable[[], bool]

    def advance(self, amount: float = 1.0) -> None:
        """Add to the work that is done.

        Raises:
            KeyboardInterrupt: If the work is to stop.
        """
        if self.stop():
            raise KeyboardInterrupt
        self.task.advance(amount)

    def grow(self, amount: float) -> None:
        """Add to the total."""
        self.task.grow(amount)

    def describe(self, text: str) -> None:
        """Replace the text beside the bar."""
        self.task.describe(text)

    def close(self) -> None:
        """End the task."""
        self.task.close()


class Receiver:
    """The parent's end: passes the events of one ``RelayedProgress`` on to a progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[int, Task] = {}

    def take(self, event: tuple[Any, ...]) -> None:
        """Pass one event on; those of closed tasks are ignored."""
        match event:
            case ("task", number, label, total, unit):
                self._tasks[number] = self._progress.task(label, total=total, unit=unit)
            case ("close", number):
                self._tasks.pop(number, NoTask()).close()
            case ("begin",):
                self.close()  # what an earlier attempt left open
            case ("message" | "warn" | "detail", text):
                methodcaller(event[0], text)(self._progress)
            case _:
                methodcaller(event[0], event[2])(self._tasks.get(event[1], NoTask()))

    def close(self) -> None:
        """Close the tasks that are still open."""
        while self._tasks:
            self._tasks.popitem()[1].close()


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


def attempt(
    work: Work, unit: Unit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> tuple[JsonDict | None, str | SrxError]:
    """Do a unit.

    Returns:
        The result and no failure; or None and the failure: an error for the user, or in words one
        that nobody foresaw, which is that of this unit alone.
    """
    try:
        with one_file("failed"):
            return dict(work(unit, place, progress, stop)), ""
    except DefectError as error:
        show_traceback(error, progress)
        return None, str(error)
    except SrxError as error:
        return None, error
