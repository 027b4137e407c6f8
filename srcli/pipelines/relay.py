"""Progress of units of work: labelled, and sent from a worker process to its parent."""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from srcli.ports.progress import NoTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from srcli.ports.progress import Progress, Task

Event = tuple[Any, ...]
"""Name of a method, number of the task or none, and the arguments."""
CLOSED = NoTask()


class UnitProgress:
    """Progress of one unit among many: its tasks carry its label, its messages are left out.

    Args:
        progress: Receives tasks and warnings.
        label: Label of the unit.
        warned: Warnings that were given already; all units read the same pictures.
    """

    def __init__(self, progress: Progress, label: str, warned: set[str]) -> None:
        self._progress = progress
        self._label = label
        self._warned = warned

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a task under the label of the unit."""
        return self._progress.task(f"{self._label}: {label}", total=total, unit=unit)

    def message(self, text: str) -> None:
        """Ignore messages, which every unit would repeat."""

    def warn(self, text: str) -> None:
        """Pass a warning on once, whichever unit gives it first."""
        if text not in self._warned:
            self._warned.add(text)
            self._progress.warn(f"{self._label}: {text}")


class RelayedProgress:
    """Progress of a worker, sent to the parent as events; nothing is sent to a dead one.

    Args:
        send: Sends an event.
    """

    def __init__(self, send: Callable[[Event], None]) -> None:
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
        return _RelayedTask(self, number)

    def message(self, text: str) -> None:
        """Send a message."""
        self.send("message", text)

    def warn(self, text: str) -> None:
        """Send a warning."""
        self.send("warn", text)


class _RelayedTask:
    def __init__(self, progress: RelayedProgress, number: int) -> None:
        self._progress = progress
        self._number = number

    def advance(self, amount: float = 1.0) -> None:
        self._progress.send("advance", self._number, amount)

    def grow(self, amount: float) -> None:
        self._progress.send("grow", self._number, amount)

    def describe(self, text: str) -> None:
        self._progress.send("describe", self._number, text)

    def close(self) -> None:
        self._progress.send("close", self._number)


class Replay:
    """Calls the methods of a progress as the events of a worker say.

    Args:
        progress: The progress in the parent.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[int, Task] = {}

    def take(self, event: Event) -> None:
        """Call the method that an event names; events of closed tasks are ignored."""
        match event:
            case ("task", number, label, total, unit):
                self._tasks[number] = self._progress.task(label, total=total, unit=unit)
            case ("message", text):
                self._progress.message(text)
            case ("warn", text):
                self._progress.warn(text)
            case ("advance", number, amount):
                self._tasks.get(number, CLOSED).advance(amount)
            case ("grow", number, amount):
                self._tasks.get(number, CLOSED).grow(amount)
            case ("describe", number, text):
                self._tasks.get(number, CLOSED).describe(text)
            case ("close", number):
                self._tasks.pop(number, CLOSED).close()
            case _:
                raise ValueError(f"no such event: {event}")

    def close(self) -> None:
        """Close the tasks that a dead worker left open."""
        while self._tasks:
            self._tasks.popitem()[1].close()
