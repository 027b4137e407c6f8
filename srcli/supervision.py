"""Events on files that are being worked on, told to the process that supervises this one.

Libraries that decode pictures may hang or crash on a damaged file, with Python's lock
held. The watching process (``srcli.cli.start``) ends a worker that reads one file for too
long, and starts another one, to which this file is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

from srcli.errors import PictureError

READ_SECONDS = 30.0
"""Time that reading takes at most beyond what the size of a file asks for."""
BYTES_PER_SECOND = 1e6
"""Slowest that a file is read, over a network."""
PIXELS_PER_SECOND = 1e6
"""Slowest that pixels are decoded, beside other work."""
LONGEST_LOOK = 1.0
"""Seconds between two looks at the time; if it was longer, the computer has slept."""
LARGEST_COUNT = 1e9
"""Bytes, and pixels, beyond which a file gets no more time."""


class Event(StrEnum):
    """All that a worker tells the process that watches over it; each with its values."""

    READ = "read"
    """A library begins to read a file: number of the reading, path, most seconds."""
    CLOSE = "close"
    """It has ended: number of the reading."""
    BEGIN = "begin"
    """Work on an input begins: path."""
    REPORT = "report"
    """It has ended: path, and the report as plain values."""
    PRINT = "print"
    """A line was printed: text."""
    MAKE = "make"
    """A temporary file or folder was made: path."""
    REMOVE = "remove"
    """It was removed: path."""
    CONSUME = "consume"
    """Standard input was read, which no other worker can do again."""


OF_READINGS = (Event.READ, Event.CLOSE)
"""Events of libraries that read files."""


@dataclass
class History:
    """Marks that former workers of the same run have left; empty in the first one."""

    refused: dict[str, str] = field(default_factory=dict)
    """Files that ended a worker, and why, in words that follow their names."""
    suspects: set[str] = field(default_factory=set)
    """Files in the hands of a worker that ended; one of them is to blame, so that they
    are worked on one by one."""
    reports: list[dict[str, Any]] = field(default_factory=list)
    """Reports of files that are done, as they were announced."""
    lines: set[str] = field(default_factory=set)
    """Lines that were printed."""
    started: float = 0.0
    """When the first worker began, by ``time.monotonic``; 0 for the first one itself."""


@dataclass
class FileBeingRead:
    """A file that a library reads in another process."""

    path: str
    most_seconds: float | None
    seconds: float = 0.0
    """Time that it has taken, but for that in which the computer or the command slept."""


class Readings:
    """The files that another process reads, by what it announces."""

    def __init__(self) -> None:
        self._open: dict[int, FileBeingRead] = {}
        self._looked = monotonic()

    @property
    def paths(self) -> set[str]:
        """Names of the files."""
        return {reading.path for reading in self._open.values()}

    def take(self, event: str, *values: Any) -> None:
        """Note an event; those that tell of no reading change nothing."""
        if event == Event.READ:
            number, path, most_seconds = values
            self._open[number] = FileBeingRead(path, most_seconds)
        elif event == Event.CLOSE:
            self._open.pop(values[0], None)

    def find_late(self) -> str:
        """Say why a file takes longer than a sound one would; empty if none does.

        To be called at least every second.
        """
        now = monotonic()
        passed = min(now - self._looked, LONGEST_LOOK)
        self._looked = now
        for reading in self._open.values():
            reading.seconds += passed
            limit = reading.most_seconds
            if limit is not None and reading.seconds > limit:
                return (
                    f"was still reading after {reading.seconds:.0f} s; copy it again, or "
                    "give a longer --read-timeout"
                )
        return ""


@dataclass
class _Watch:
    """The way to the watching process; without one nothing is announced."""

    announce: Callable[..., None] | None = None
    seconds: float = READ_SECONDS
    history: History = field(default_factory=History)


_watch = _Watch()
_numbers = count()


def announce_to(
    announce: Callable[..., None] | None, history: History | None = None
) -> None:
    """Tell a watching process from now on which files are being worked on.

    Args:
        announce: Sends the name of an event and values for JSON; None if nobody
            watches.
        history: What former workers of the same run have left.
    """
    _watch.announce = announce
    _watch.history = history or History()


def limit_reading(seconds: float) -> None:
    """Change ``READ_SECONDS`` for this process; 0 for no limit."""
    _watch.seconds = seconds


def reading_limit() -> float:
    """Return what takes the place of ``READ_SECONDS`` in this process."""
    return _watch.seconds


def history() -> History:
    """Return what former workers of the same run have left."""
    return _watch.history


def is_watched() -> bool:
    """Return True in a worker of ``srcli.cli.start``."""
    return _watch.announce is not None


def announce(event: Event, *values: Any) -> None:
    """Tell the watching process, if there is one, of an event."""
    if _watch.announce is not None:
        _watch.announce(event, *values)


@contextmanager
def reading(path: Path, pixels: int | None = 0) -> Iterator[None]:
    """Announce that a library reads a file, and how many seconds that takes at most.

    ``pixels`` are those that it decodes; None sets no limit, as for files on the network.

    Raises:
        PictureError: If reading it has ended a former worker.
    """
    if not is_watched():
        yield
        return
    if reason := _watch.history.refused.get(str(path)):
        raise PictureError(f"{path}: {reason}")
    number = next(_numbers)
    announce(Event.READ, number, str(path), _most_seconds(path, pixels))
    try:
        yield
    finally:
        announce(Event.CLOSE, number)


def _most_seconds(path: Path, pixels: int | None) -> float | None:
    if not _watch.seconds or pixels is None:
        return None
    by_bytes = min(_size_of(str(path)), LARGEST_COUNT) / BYTES_PER_SECOND
    by_pixels = min(pixels, LARGEST_COUNT) / PIXELS_PER_SECOND
    return _watch.seconds + by_bytes + by_pixels


@lru_cache(maxsize=256)
def _size_of(name: str) -> int:
    """Return the bytes of a file, looked at once: windows of a raster are many."""
    try:
        return os.stat(name).st_size  # noqa: PTH116 - names of GDAL are no paths
    except (OSError, ValueError):  # on the network, or a part of a file
        return 0
