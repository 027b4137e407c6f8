"""Progress over a pipe: a worker's tasks and warnings as plain events, and replayed elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from srcli.ports.executor import Plain

if TYPE_CHECKING:
    from srcli.ports.progress import Progress, Task

Send = Callable[[Plain], None]


class UnitProgress:
    """Progress of one unit among many: its tasks carry its name, its small talk is left out.

    Args:
        progress: Told of the tasks and warnings.
        label: Of the unit.
        said: Warnings that were given already; all units read the same pictures.
    """

    def __init__(self, progress: Progress, label: str, said: set[str]) -> None:
        self._progress = progress
        self._label = label
        self._said = said

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a task under the name of the unit."""
        return self._progress.task(f"{self._label}: {label}", total=total, unit=unit)

    def message(self, text: str) -> None:
        """Ignore: what one training says of itself would be said for every one."""

    def warn(self, text: str) -> None:
        """Warn once, whichever unit comes first."""
        if text not in self._said:
            self._said.add(text)
            self._progress.warn(f"{self._label}: {text}")


class SendingProgress:
    """Send everything as events; a worker's side of the pipe.

    Args:
        send: Takes an event.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._ids = count()

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Send that a task begins."""
        own = next(self._ids)
        self._send({"event": "task", "id": own, "label": label, "total": total, "unit": unit})
        return _SendingTask(self._send, own)

    def message(self, text: str) -> None:
        """Send a message."""
        self._send({"event": "message", "text": text})

    def warn(self, text: str) -> None:
        """Send a warning."""
        self._send({"event": "warn", "text": text})


class _SendingTask:
    def __init__(self, send: Send, own: int) -> None:
        self._send = send
        self._id = own

    def advance(self, amount: float = 1.0) -> None:
        self._send({"event": "advance", "id": self._id, "amount": amount})

    def grow(self, amount: float) -> None:
        self._send({"event": "grow", "id": self._id, "amount": amount})

    def describe(self, text: str) -> None:
        self._send({"event": "describe", "id": self._id, "text": text})

    def close(self) -> None:
        self._send({"event": "close", "id": self._id})


class Replay:
    """Tell a progress what events say; the other side of the pipe.

    Args:
        progress: Told of everything.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[int, Task] = {}

    def event(self, event: Plain) -> None:
        """Take one event; an unknown one is ignored."""
        kind = event["event"]
        if kind == "task":
            self._tasks[event["id"]] = self._progress.task(
                event["label"], total=event["total"], unit=event["unit"]
            )
        elif kind == "message":
            self._progress.message(event["text"])
        elif kind == "warn":
            self._progress.warn(event["text"])
        elif event.get("id") in self._tasks:
            self._of_task(kind, event)

    def close(self) -> None:
        """Close the tasks that a dead worker left open."""
        for task in self._tasks.values():
            task.close()
        self._tasks.clear()

    def _of_task(self, kind: str, event: Plain) -> None:
        task = self._tasks[event["id"]]
        if kind == "advance":
            task.advance(event["amount"])
        elif kind == "grow":
            task.grow(event["amount"])
        elif kind == "describe":
            task.describe(event["text"])
        elif kind == "close":
            task.close()
            del self._tasks[event["id"]]
