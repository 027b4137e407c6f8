"""Dialogue with the user of a command: progress, messages, tables, results as text, signals.

Progress goes to stderr, as bars on a terminal and as a line every few seconds elsewhere.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import stat
import sys
import textwrap
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from srcli.errors import UsageError
from srcli.files import attributes_for, write_whole
from srcli.ports.progress import Progress, Task
from srcli.quantities import format_duration
from srcli.report.table import Table, markdown_section, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import FrameType
    from typing import Self

    import rich.markdown
    import rich.progress

    Block = Table | str | Iterable[tuple[str, str]]

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


def echo(*lines: str, err: bool = False) -> None:
    """Print lines, broken at words on a terminal.

    Names of files in them cannot steer the terminal or forge lines.
    """
    columns = _columns(sys.stderr if err else sys.stdout)
    whole: Any = {"break_long_words": False, "break_on_hyphens": False, "replace_whitespace": False}
    for line in map(visible, lines):
        indent = " " * (len(line) - len(line.lstrip()))
        broken = columns and textwrap.fill(line, columns, subsequent_indent=indent, **whole)
        click.echo(broken or line, err=err)


def _columns(stream: TextIO) -> int:
    """Return the width of the terminal that a stream writes to; 0 if it is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):  # it is gone
        return 0


class Console(Progress):
    """A ``Progress`` that writes to stderr; use as a context manager.

    ``named`` gives files in a text the names that the user knows them by; with ``to_stdout``,
    messages are the result and go to standard output.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: bool = False,
        named: Callable[[str], str] = str,
        to_stdout: bool = False,
    ) -> None:
        self.quiet = quiet
        self._shown = {"message": not quiet, "warning": not quiet, "detail": verbose, "error": True}
        self._named = named
        self._err = not to_stdout
        self.shown = time.monotonic()
        """When a progress line was shown last."""
        self.bars: rich.progress.Progress | None = None

    def __enter__(self) -> Self:
        """Show progress bars if stderr is a terminal."""
        if logging.lastResort is not None:  # what prints warnings of libraries and ours
            logging.lastResort.addFilter(self._tidy)
        if self._err and not self.quiet and sys.stderr.isatty():
            from rich import progress
            from rich.console import Console as RichConsole

            self.bars = progress.Progress(
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
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the progress bars."""
        if logging.lastResort is not None:
            logging.lastResort.removeFilter(self._tidy)
        if self.bars is not None:
            self.bars.stop()
            self.bars = None

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a progress bar, or progress lines."""
        if self.quiet:
            return Task()
        return _Task(self, label, total, unit)

    def show(self, level: str, *lines: str) -> None:
        """Show lines of a level: messages and warnings unless quiet, details if verbose."""
        before = f"{level}: " if level in ("warning", "error") else ""
        for text in lines if self._shown[level] else ():
            line = before + self._named(text)
            if self.bars is not None:
                self.bars.console.print(visible(line), markup=False, highlight=False)
            else:
                echo(line, err=self._err)

    def _tidy(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = visible(self._named(record.getMessage())), None
        return True

    message = partialmethod(show, "message")
    detail = partialmethod(show, "detail")
    warn = partialmethod(show, "warning")
    error = partialmethod(show, "error")


class _Task(Task):
    """A bar, or lines where there is no terminal."""

    def __init__(self, console: Console, label: str, total: float | None, unit: str) -> None:
        self._console, self._label, self._total, self._unit = console, label, total or 0.0, unit
        self._done = self._before = 0.0
        self._text = ""
        self._start = time.monotonic()
        self._bars = console.bars
        if self._bars is not None:
            self._bar = self._bars.add_task(visible(label), total=total or None, unit=unit, text="")

    def advance(self, amount: float = 1.0) -> None:
        self._done += amount
        if self._bars is not None:
            self._bars.advance(self._bar, amount)
            return
        now = time.monotonic()
        if now - self._start < RESUMED_SECONDS:
            self._before = self._done  # done before this run: no measure of its speed
        if now - self._console.shown >= LINE_SECONDS:
            self._console.shown = now
            of, left, new = "", "", self._done - self._before
            if self._total:
                of = f"of {self._total:.0f}"
            if self._total and new > 0:
                seconds = (now - self._start) * (self._total - self._done) / new
                left = f"({format_duration(seconds)} left)"
            parts = (f"{self._label}: {self._done:.0f}", of, self._unit, left, self._text)
            echo(" ".join(filter(None, parts)), err=True)

    def grow(self, amount: float) -> None:
        self._total += amount
        if self._bars is not None:
            self._bars.update(self._bar, total=self._total)

    def describe(self, text: str) -> None:
        self._text = text
        if self._bars is not None:
            self._bars.update(self._bar, text=visible(text))

    def close(self) -> None:
        if self._bars is not None:
            self._bars.remove_task(self._bar)


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


def print_blocks(blocks: Iterable[Block], *, to_stderr: bool = False) -> None:
    """Print tables that are not empty, paragraphs, and names with their values in two columns.

    Paragraphs that begin with blanks, such as commands, are not broken. The width is that of the
    terminal, also through a pipe to ``less``; logs of jobs have 200.
    """
    from rich.console import Console as RichConsole
    from rich.table import Table as RichTable

    # Brackets and colons in the names of pictures, sets and models are no markup.
    out = RichConsole(stderr=to_stderr, highlight=False, markup=False, emoji=False)
    if "COLUMNS" not in os.environ and not any(map(os.isatty, range(3))):
        out.width = 200  # names in tables stay whole
    for block in blocks:
        if isinstance(block, str):
            out.print(visible(block), soft_wrap=block.startswith(" "))
        elif isinstance(block, Table):
            if block.rows:
                out.print(_drawn(block))
                if block.notes or any(row.best or row.source for row in block.rows):
                    out.print()
        else:
            grid = RichTable.grid(padding=(0, 2, 0, 0))
            grid.add_column(no_wrap=True)
            grid.add_column(overflow="fold")
            for label, value in block:
                grid.add_row(f"  {label}", visible(value))
            out.print(grid)


def _drawn(table: Table) -> rich.markdown.Markdown:
    """Return a table as rich draws its Markdown; the best have a star: weight is lost in pipes."""
    from rich.markdown import Markdown, TableElement

    class Folding(TableElement):
        def __rich_console__(self, *where: Any) -> Iterator[Any]:  # noqa: ANN401 - those of rich
            for drawn in super().__rich_console__(*where):
                for place, column in enumerate(getattr(drawn, "columns", ())):
                    column.no_wrap = place == 0 or column.justify == "right"  # names, numbers
                    column.overflow = "ellipsis" if column.no_wrap else "fold"
                yield drawn

    class Drawn(Markdown):
        elements = Markdown.elements | {"table_open": Folding}

    sources = dict.fromkeys(part for r in table.rows for part in r.source.split("; ") if part)
    notes = [f"*: best of a {table.group_heading}."] * any(row.best for row in table.rows)
    notes += [f"Printed rows: {'; '.join(sources)}."] if sources else []
    rows = tuple(replace(row, source="") for row in table.rows)
    plain = replace(table, rows=rows, notes=(*notes, *table.notes))
    text = "\n".join(map(visible, markdown_section(plain)))
    return Drawn(re.sub(r"\*\*(.+?)\*\*", r"**\\*\1**", text))


def show_results(
    blocks: Iterable[Block],
    targets: Mapping[str, str | None],
    texts: Mapping[str, Callable[[], str]],
    *,
    quiet: bool,
) -> None:
    """Print a result, unless quiet, and write it to the file of each option that was given."""
    if not quiet:
        print_blocks(blocks, to_stderr="-" in targets.values())
    for option, text in texts.items():
        if target := targets[option]:
            write_text(target, text())


def json_text(value: object) -> str:
    """Return plain values as lines of JSON; numbers that are not finite become null."""
    plain = json.loads(json.dumps(value), parse_constant=lambda _: None)  # NaN, Infinity
    return json.dumps(plain, indent=2) + "\n"


def write_json(target: str, value: object) -> None:
    """Write plain values as JSON, as ``write_text`` does."""
    write_text(target, json_text(value))


def write_text(target: str, text: str) -> None:
    """Write text to a file, or for '-' to standard output.

    A new or regular file is written whole or not at all, behind the link that a name may be; pipes
    and devices are written to directly. Characters that UTF-8 cannot encode are escaped.
    """
    if target == "-":
        escape_names()
        click.echo(text, nl=False)
        return
    file, data = Path(target), text.encode("utf-8", "backslashreplace")
    try:
        if not is_replaceable(file):
            file.write_bytes(data)
            return
        write_whole(Path(os.path.realpath(file)), data, attributes_for(file, file))
    except BrokenPipeError:
        # the reader needs no more, as 'head' does: no failure of this command
        echo(f"warning: {target}: closed by its reader before the end", err=True)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror or error})") from error


def is_replaceable(file: Path) -> bool:
    """Return True if a name is free or a regular file, so that a new file may take its place."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True


def escape_names() -> None:
    r"""Make standard output escape characters that it cannot encode, such as ``\udcff``.

    File names may hold any bytes, and printing one must not end the command.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
