"""Dialogue with the user of a running command: progress, messages, and the wish to stop it.

Progress goes to stderr, as bars on a terminal and as a line every few seconds elsewhere.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import textwrap
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import click

from srcli.ports.progress import NoTask, Task
from srcli.quantities import format_duration
from srcli.report.table import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Self

    import rich.progress

LOG_KEY = "srcli.log"
"""Of click's context: the value of ``--log``."""
LINE_SECONDS = 10.0
"""Least time between progress lines without a terminal, of all tasks together."""
ENDING_SIGNALS = tuple(
    number
    for name in ("SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) and signal.getsignal(number) != signal.SIG_IGN
)
"""Signals by which systems end a process; not SIGHUP under ``nohup``."""
RESUMED_SECONDS = 0.05
"""Progress within this time of the start was made by an earlier run."""


def text_width(most: int) -> int:
    """Return the width for text on this terminal in columns, at most ``most`` less a margin."""
    return max(min(shutil.get_terminal_size().columns, most) - 2, 30)


def echo(*lines: str, err: bool = False) -> None:
    """Print lines, broken at words on a terminal.

    Names of files in them cannot steer the terminal or forge lines.
    """
    columns = _columns(sys.stderr if err else sys.stdout)
    shown = [_broken(line, columns) if columns else line for line in map(visible, lines)]
    click.echo("\n".join(shown), err=err)


def _broken(line: str, columns: int) -> str:
    return textwrap.fill(
        line,
        columns,
        subsequent_indent=" " * (len(line) - len(line.lstrip())),
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _columns(stream: TextIO) -> int:
    """Return the width of the terminal that a stream writes to; 0 if it is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):  # it is gone
        return 0


class Console:
    """A ``Progress`` that writes to stderr; use as a context manager.

    Args:
        quiet: Show errors alone.
        verbose: Show details.
        named: Gives files in a text the names that the user knows them by.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: bool = False,
        named: Callable[[str], str] = str,
    ) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self._named = named
        context = click.get_current_context(silent=True)
        self.json = bool(context and context.meta.get(LOG_KEY) == "json")
        self.shown = time.monotonic()
        """When a progress line was shown last."""
        self._bars: rich.progress.Progress | None = None

    def __enter__(self) -> Self:
        """Start the progress bars if stderr is a terminal."""
        if logging.lastResort is not None:  # what prints warnings of libraries and ours
            logging.lastResort.setFormatter(_Visible(self._named))
        if not self.quiet and not self.json and sys.stderr.isatty():
            self._bars = _make_bars()
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the progress bars."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a progress bar, or progress lines."""
        if self.quiet:
            return NoTask()
        if self._bars is not None:
            return _BarTask(self._bars, visible(label), total, unit)
        return _LineTask(self, label, total, unit)

    def message(self, text: str) -> None:
        """Show a message unless quiet."""
        if not self.quiet:
            self._line(text, "message")

    def detail(self, text: str) -> None:
        """Show a detail if verbose."""
        if self.verbose:
            self._line(text, "detail")

    def warn(self, text: str) -> None:
        """Show a warning unless quiet."""
        if not self.quiet:
            self._line(text, "warning")

    def error(self, text: str) -> None:
        """Show an error, always."""
        self._line(text, "error")

    def write_json(self, level: str, **fields: object) -> None:
        """Write one line of ``--log json`` to stderr."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        click.echo(json.dumps({"time": now, "level": level, **fields}), err=True)

    def _line(self, text: str, level: str) -> None:
        text = self._named(text)
        if self.json:
            self.write_json(level, message=text)
            return
        if level in ("warning", "error"):
            text = f"{level}: {text}"
        if self._bars is not None:
            self._bars.console.print(visible(text), markup=False, highlight=False)
        else:
            echo(text, err=True)


class _Visible(logging.Formatter):
    def __init__(self, named: Callable[[str], str]) -> None:
        super().__init__()
        self._named = named

    def format(self, record: logging.LogRecord) -> str:
        return visible(self._named(super().format(record)))


def _make_bars() -> rich.progress.Progress:
    from rich import progress
    from rich.console import Console as RichConsole

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[unit]}"),
        progress.TextColumn("{task.fields[text]}", markup=False),
        progress.TimeRemainingColumn(),
        speed_estimate_period=120,
        console=RichConsole(stderr=True, emoji=False),
        transient=True,
    )


class _BarTask:
    def __init__(
        self, bars: rich.progress.Progress, label: str, total: float | None, unit: str
    ) -> None:
        self._bars = bars
        self._total = total or 0.0
        self._id = bars.add_task(label, total=self._total or None, unit=unit, text="")

    def grow(self, amount: float) -> None:
        self._total += amount
        self._bars.update(self._id, total=self._total)

    def advance(self, amount: float = 1.0) -> None:
        self._bars.advance(self._id, amount)

    def describe(self, text: str) -> None:
        self._bars.update(self._id, text=visible(text))

    def close(self) -> None:
        self._bars.remove_task(self._id)


class _LineTask:
    def __init__(self, console: Console, label: str, total: float | None, unit: str) -> None:
        self._console = console
        self._label, self._total, self._unit = label, total, unit
        self._done = self._before = 0.0
        self._text = ""
        self._start = time.monotonic()

    def advance(self, amount: float = 1.0) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._start < RESUMED_SECONDS:
            self._before = self._done  # done before this run: no measure of its speed
        if now - self._console.shown >= LINE_SECONDS:
            self._console.shown = now
            self._show(now)

    def grow(self, amount: float) -> None:
        self._total = (self._total or 0.0) + amount

    def describe(self, text: str) -> None:
        self._text = text

    def close(self) -> None:
        """Do nothing: lines stay on the screen."""

    def _show(self, now: float) -> None:
        left = None
        if self._total and self._done > self._before:
            left = (now - self._start) * (self._total - self._done) / (self._done - self._before)
        if self._console.json:
            self._console.write_json(
                "progress",
                task=self._label,
                done=round(self._done, 2),
                total=self._total,
                unit=self._unit,
                seconds_left=None if left is None else round(left),
                text=self._text,
            )
            return
        parts = [f"{self._label}: {self._done:.0f}"]
        if self._total:
            parts.append(f"of {self._total:.0f}")
        parts.append(self._unit)
        if left is not None:
            parts.append(f"({format_duration(left)} left)")
        if self._text:
            parts.append(self._text)
        echo(" ".join(parts), err=True)


@contextmanager
def stop_signals(*, silent: bool = False, once: bool = False) -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C, SIGTERM, SIGHUP into a request to stop; yield a function that is True after one.

    A second signal aborts, and so does one that arrives before the first call of that function,
    when nothing would react to the request yet. If silent, nothing is printed at a signal.

    If ``once``, further signals are ignored, to the end of the process: ``torchrun`` and batch
    systems pass on the same signal several times, and kill processes that take too long.
    """
    asked = stopped = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        again, stopped = stopped, True
        if again and once:
            return
        if again or not asked:
            raise KeyboardInterrupt
        if not silent:
            # written directly: the interrupted code may be using the buffered stream
            more = b"" if once else b"; once more aborts"
            os.write(2, b"\nsrx: stopping after this iteration" + more + b"\n")

    def stop() -> bool:
        nonlocal asked
        asked = True
        return stopped

    former = {number: signal.signal(number, handle) for number in (signal.SIGINT, *ENDING_SIGNALS)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_IGN if once else handler)
