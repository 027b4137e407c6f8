"""Do units in the workers of a Ray cluster: what they need at the start, and how they report."""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srcli
from srcli.errors import SrxError, UsageError
from srcli.pipelines.executors.processes import WAIT_SECONDS
from srcli.pipelines.executors.relay import RelayedProgress, attempt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.ports.executor import JsonDict, Place, Unit, Work

Handle = Any
"""An actor or a result of Ray."""


@dataclass(frozen=True)
class Setup:
    """What a worker takes over from the parent before its first unit."""

    folder: str
    environ: tuple[tuple[str, str], ...]
    paths: tuple[Path, ...]
    version: str = srcli.__version__


@contextmanager
def visible(shared: Sequence[Path]) -> Iterator[Setup]:
    """Yield the setup, which names a file that is there until the block ends."""
    paths = [path.absolute() for path in shared if path.exists()]
    probe = None
    if paths and paths[0].is_dir():
        probe = paths[0] / f".srx-{secrets.token_hex(8)}.part"
        probe.touch()
        paths[0] = probe
    environ = tuple((name, text) for name, text in os.environ.items() if name.startswith("SRX_"))
    try:
        yield Setup(str(Path.cwd()), environ, tuple(paths))
    finally:
        if probe is not None:
            probe.unlink(missing_ok=True)


def enter(setup: Setup) -> str:
    """Prepare this process of a node; return the reason why it cannot work, or nothing."""
    if setup.version != srcli.__version__:
        return f"has srcli {srcli.__version__} instead of {setup.version}; install that"
    with suppress(OSError):  # names without a folder may be absolute
        os.chdir(setup.folder)
    os.environ.update(setup.environ)
    missing = [path for path in setup.paths if not path.exists()]
    advice = "inputs and outputs need storage that all nodes share"
    return f"{missing[0].parent} is not the same there; {advice}" if missing else ""


def do_unit(
    setup: Setup,
    board: Handle,
    index: int,
    job: tuple[Work, Unit, Place],
) -> tuple[JsonDict | None, str | SrxError]:
    """Do a unit in a worker of a node; no result and no failure if it was not to begin."""
    link = Link(board, index)
    link.send(("begin",))
    if reason := enter(setup):
        return None, UsageError(f"a node {reason}")
    if link.flush():
        return None, ""
    done = attempt(*job, RelayedProgress(link.send), link.stop)
    link.flush()
    return done


class Board:
    """An actor that takes the events of all workers, and tells them whether to stop."""

    def __init__(self) -> None:
        self._events: list[tuple[int, tuple[Any, ...]]] = []
        self._stopped = False

    def post(self, index: int, events: list[tuple[Any, ...]]) -> bool:
        """Take the events of a unit; return true if it is to stop."""
        self._events += [(index, event) for event in events]
        return self._stopped

    def take(self, stopped: bool) -> list[tuple[int, tuple[Any, ...]]]:
        """Return the events since the last call."""
        self._stopped = stopped
        events, self._events = self._events, []
        return events


class Link:
    """The connection of a unit to the board, used every few tenths of a second."""

    def __init__(self, board: Handle, index: int) -> None:
        self._board, self._index = board, index
        self._events: deque[tuple[Any, ...]] = deque()
        self._stopped = False
        self._time = time.monotonic()

    def send(self, event: tuple[Any, ...]) -> None:
        """Send an event, soon."""
        self._events.append(event)
        self.stop()

    def stop(self) -> bool:
        """Return true if the unit is to stop."""
        return self.flush() if time.monotonic() - self._time > WAIT_SECONDS else self._stopped

    def flush(self) -> bool:
        """Send all events now; return true if the unit is to stop."""
        import ray

        self._time = time.monotonic()
        events = [self._events.popleft() for _ in range(len(self._events))]
        self._stopped = ray.get(self._board.post.remote(self._index, events))
        return self._stopped
