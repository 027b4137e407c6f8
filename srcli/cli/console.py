"""Print progress, messages, tables and results; write result files; handle signals.

Progress goes to stderr, as bars on a terminal and as a line every few seconds
elsewhere.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import stat
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partialmethod
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from srcli.errors import UsageError
from srcli.files import attributes_for, write_whole
from srcli.ports import Progress, Stop, Task
from srcli.quantities import format_duration
from srcli.report.table import Column, Table, markdown, visible
from srcli.supervision import Event, announce, history

if TYPE_CHECKING:
    from types import FrameType

    import rich.console

Block = Table | str | Iterable[tuple[str, str]]

_ALL = 99.999
"""Percentage above which all is done, but for rounding of the sum."""
LINE_SECONDS = 10.0
"""Least time between progress lines without a terminal, of all tasks together."""
ENDING_SIGNALS: list[signal.Signals] = []
"""Signals by which systems end a process; not SIGHUP under ``nohup``.

SIGBREAK is what Windows sends when its console is closed, or for Ctrl-Break.
"""
for _name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
    _number = getattr(signal, _name, None)
    if _number and signal.getsignal(_number) != signal.SIG_IGN:
        ENDING_SIGNALS.append(_number)


def _rich_console(*, to_stderr: bool) -> rich.console.Console:
    """Return a rich console that takes brackets and colons in names literally."""
    from rich.console import Console as RichConsole

    return RichConsole(stderr=to_stderr, highlight=False, markup=False, emoji=False)


def echo_once(line: str) -> None:
    """Print a line to standard error, unless another process of the run has printed it."""
    if line not in history().lines:
        echo(line, err=True)
        announce(Event.PRINT, line)


def echo(
    *lines: str, err: bool = False, out: rich.console.Console | None = None
) -> None:
    """Print lines, broken at words on a terminal, with control characters escaped."""
    out = out or _rich_console(to_stderr=err)
    wrap = textwrap.TextWrapper(
        out.width,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    for line in map(visible, lines):
        wrap.subsequent_indent = " " * (len(line) - len(line.lstrip()))
        if out.file.isatty():
            line = wrap.fill(line)
        out.print(line, soft_wrap=True)


class Console(Progress):
    """A ``Progress`` that writes to stderr; use as a context manager.

    ``shorten`` changes each text, to take the folder of temporary files out of names;
    with ``to_stdout``, messages are the result and go to standard output.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: bool = False,
        shorten: Callable[[str], str] = str,
        to_stdout: bool = False,
    ) -> None:
        from rich import progress

        self.quiet = quiet
        self._is_shown = {
            "message": not quiet,
            "warning": not quiet,
            "detail": verbose,
            "error": True,
        }
        self._shorten = shorten
        self._out = _rich_console(to_stderr=not to_stdout)
        self.last_line_time = time.monotonic()
        """When a progress line was printed last, or the start."""
        self.bars = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[amount]}"),
            progress.TextColumn("{task.fields[text]}", markup=False),
            progress.TimeRemainingColumn(),
            speed_estimate_period=120,
            console=self._out,
            transient=True,
            get_time=time.monotonic,
            disable=quiet or to_stdout or not self._out.file.isatty(),
        )

    def __enter__(self) -> Self:
        if logging.lastResort is not None:  # the handler that prints warnings to stderr
            logging.lastResort.addFilter(self._clean_record)
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if logging.lastResort is not None:
            logging.lastResort.removeFilter(self._clean_record)
        if not self.bars.disable:
            self.bars.stop()

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a progress bar, or progress lines."""
        return Task() if self.quiet else _Task(self, label, total, unit)

    def show(self, level: str, *lines: str) -> None:
        """Show lines of a level: messages and warnings unless quiet, details if verbose."""
        if not self._is_shown[level]:
            return
        for line in lines:
            text = self._shorten(line)
            if level in ("warning", "error"):
                text = f"{level}: {text}"
            # an earlier worker, which crashed, may have printed the same
            if text not in history().lines:
                echo(text, out=self._out)
            announce(Event.PRINT, text)

    def _clean_record(self, record: logging.LogRecord) -> bool:
        record.msg = visible(self._shorten(record.getMessage()))
        record.args = None
        return self._is_shown["warning"]

    message = partialmethod(show, "message")
    detail = partialmethod(show, "detail")
    warn = partialmethod(show, "warning")
    error = partialmethod(show, "error")


class _Task(Task):
    """A progress bar, or progress lines where there is no terminal."""

    def __init__(
        self, console: Console, label: str, total: float | None, unit: str
    ) -> None:
        self._console = console
        self._bars = console.bars
        self._unit = unit
        self._bars.add_task(visible(label), total=total or None, amount="", text="")
        self._bar = self._bars.tasks[-1]
        self._shown_share = 0
        self._show_amount()

    def advance(self, amount: float = 1.0) -> None:
        self._bars.advance(self._bar.id, amount)
        self._show_amount()
        self._print_line()

    def _print_line(self) -> None:
        """Print a line, where there is no terminal and the last one is some time ago."""
        bar = self._bar
        now = time.monotonic()
        if not self._bars.disable or now - self._console.last_line_time < LINE_SECONDS:
            return
        self._console.last_line_time = now
        line = f"{bar.description}: {bar.fields['amount']}"
        if bar.time_remaining:
            line += f" ({format_duration(bar.time_remaining)} left)"
        if bar.fields["text"]:
            line += f" {bar.fields['text']}"
        echo(line, err=True)

    def grow(self, amount: float) -> None:
        # rich's update would forget the speed
        self._bar.total = (self._bar.total or 0) + amount
        self._bar.finished_time = None
        self._show_amount()

    def _show_amount(self) -> None:
        """Show how much is done: a share, or units of the total."""
        bar = self._bar
        amount = f"{bar.completed:.0f}"
        if self._unit == "%":
            amount = f"{self._share()} %"
        elif bar.total:
            amount += f" of {bar.total:.0f}"
        if self._unit not in ("", "%"):
            amount += f" {self._unit}"
        bar.fields["amount"] = amount

    def _share(self) -> int:
        """Return the percentage, which does not go back where more work has become known.

        100 means that nothing is left of what is known.
        """
        share = self._bar.percentage
        if share > _ALL:
            return 100
        self._shown_share = max(self._shown_share, min(round(share), 99))
        return self._shown_share

    def describe(self, text: str) -> None:
        self._bars.update(self._bar.id, text=visible(text))
        self._print_line()

    def close(self) -> None:
        self._bars.remove_task(self._bar.id)


@contextmanager
def stop_signals(*, silent: bool = False, once: bool = False) -> Iterator[Stop]:
    """Turn Ctrl-C, SIGTERM, SIGHUP into requests to stop; yield what tells if one has come.

    A second signal aborts, and so does one that arrives before the first call of the
    yielded function, when nothing would react to the request yet. If ``silent``, nothing
    is printed at a signal.

    If ``once``, further signals are ignored, to the end of the process: ``torchrun``
    and batch systems pass on the same signal several times, and kill processes that
    take too long.
    """
    asked = stopped = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped and once:
            return
        if stopped or not asked:
            stopped = True
            raise KeyboardInterrupt
        stopped = True
        if not silent:
            # written directly: the interrupted code may be using the buffered stream
            os.write(2, b"\nsrx: stopping after this iteration")
            os.write(2, b"\n" if once else b"; once more aborts\n")

    def stop() -> bool:
        nonlocal asked
        asked = True
        return stopped

    former = {
        number: signal.signal(number, handle)
        for number in (signal.SIGINT, *ENDING_SIGNALS)
    }
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_IGN if once else handler)


def print_blocks(blocks: Iterable[Block], *, to_stderr: bool = False) -> None:
    """Print blocks: tables unless empty, paragraphs, and labels with values in two columns.

    Paragraphs that begin with blanks, such as commands, are not broken. The width is
    that of the terminal, also through a pipe to ``less``; logs of jobs have 200.
    """
    from rich.table import Table as RichTable

    out = _rich_console(to_stderr=to_stderr)
    if "COLUMNS" not in os.environ and not any(map(os.isatty, range(3))):
        out.width = 200  # names in tables stay whole
    for block in blocks:
        if isinstance(block, str):
            out.print(visible(block), soft_wrap=block.startswith(" "))
        elif isinstance(block, Table):
            if block.rows:
                _print_table(out, block)
        else:
            grid = RichTable.grid(padding=(0, 2, 0, 0))
            grid.add_column(no_wrap=True)
            grid.add_column(overflow="fold")
            for label, value in block:
                grid.add_row(f"  {label}", visible(value))
            out.print(grid)


def _print_table(out: rich.console.Console, table: Table) -> None:
    """Print a table with title and notes; a star marks the best, as bold would be lost in pipes."""
    from rich.box import SIMPLE
    from rich.table import Table as RichTable

    columns = list(table.columns)
    if table.group_heading:
        columns.insert(0, Column(table.group_heading, "text"))
    lines = [[column.heading for column in columns]]
    notes = []
    sources: dict[str, None] = {}
    for row in table.rows:
        cells = [row.group] if table.group_heading else []
        for column, text in table.cells(row):
            if column.heading in row.best:
                text = f"*{text}"
                notes = [f"*: best of a {table.group_heading}."]
            cells.append(text)
        lines.append(cells)
        sources |= dict.fromkeys(filter(None, row.source.split("; ")))
    drawn = RichTable(box=SIMPLE, collapse_padding=True)
    for column, texts in zip(columns, zip(*lines, strict=True), strict=True):
        is_number = column.kind == "number"
        # where room is scarce, lines end between words: no heading or number is cut
        words = " ".join(texts if is_number else texts[:1]).split()
        drawn.add_column(
            visible(column.heading),
            justify="right" if is_number else "left",
            min_width=max(map(len, words), default=None),
            no_wrap=column is columns[0],
            overflow="fold",
        )
    for cells in lines[1:]:
        drawn.add_row(*map(visible, cells))
    if sources:
        notes.append(f"Printed rows: {'; '.join(sources)}.")
    out.print(visible(table.title), style="bold")
    out.print(drawn)
    for note in (*notes, *table.notes):
        out.print(visible(note), end="\n\n")


def show_results(
    blocks: Iterable[Block],
    json_value: object,
    targets: Mapping[str, str],
    *,
    quiet: bool,
    markdown_blocks: Iterable[Table | str] = (),
    make_latex: Callable[[], str] = str,
    make_html: Callable[[], str] = str,
) -> None:
    """Print a result, unless quiet, and write it to the file of each option that was given.

    ``json_value`` is for ``--json``, ``markdown_blocks`` for Markdown, ``make_latex``
    and ``make_html`` return those.
    """
    if not quiet:
        print_blocks(blocks, to_stderr="-" in targets.values())
    if "--json" in targets:
        write_text(targets["--json"], json_text(json_value))
    if "--markdown" in targets:
        write_text(targets["--markdown"], markdown(markdown_blocks))
    if "--latex" in targets:
        write_text(targets["--latex"], make_latex())
    if "--html" in targets:
        write_text(targets["--html"], make_html())


def json_text(value: object) -> str:
    """Return a value, with dataclasses in it, as JSON; numbers that are not finite become null."""
    text = json.dumps(value, default=asdict)
    json_value = json.loads(text, parse_constant=lambda _: None)  # NaN, Infinity
    return json.dumps(json_value, indent=2) + "\n"


def write_text(target: str, text: str) -> None:
    """Write text to a file, or for '-' to standard output.

    A new or regular file is written whole or not at all, behind the link that a name
    may be; pipes and devices are written to directly. Characters that UTF-8 cannot
    encode are escaped.
    """
    if target == "-":
        escape_unencodable()
        click.echo(text, nl=False)
        return
    file = Path(target)
    data = text.encode("utf-8", "backslashreplace")
    try:
        if not is_replaceable(file):
            file.write_bytes(data)
            return
        write_whole(Path(os.path.realpath(file)), data, attributes_for(file, file))
    except BrokenPipeError:
        # the reader needs no more, as 'head' does: no failure of this command
        echo(f"warning: {target}: closed by its reader before the end", err=True)
    except OSError as error:
        raise UsageError(
            f"{target}: cannot be written ({error.strerror or error})"
        ) from error


def is_replaceable(file: Path) -> bool:
    """Return True for a regular file, or for none: a new file may take its place."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True


def escape_unencodable() -> None:
    r"""Make standard output and error escape what they cannot encode, such as ``\udcff``.

    File names may hold any bytes, and printing one must not end the command.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
