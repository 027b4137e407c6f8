"""Progress of units of work: sent by workers as events, shown by the parent."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from srcli.errors import DefectError, SrxError, one_file
from srcli.ports.progress import NoTask, Progress, Task, show_traceback

if TYPE_CHECKING:
    from collections.abc import Callable

    from srcli.ports.executor import JsonDict, Place, Unit, Work

WAIT_SECONDS = 0.2
"""Interval at which ``stop`` is called while no process reports anything."""
STOP_SECONDS = 10.0
"""Time that units have to stop after an exception in the parent."""


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
