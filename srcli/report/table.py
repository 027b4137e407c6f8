"""Tables of results: columns with their formats, rows of values, printed numbers, Markdown.

They know no command; pages and the command line show them in their own ways.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal, NamedTuple, Protocol

Cell = str | float | None
"""Printed as it is, None as a dash."""
NOTHING = "–"
"""Stands where there is no value."""
UNITS = ("", "K", "M", "G", "T")
SPECIAL = re.compile(r"([\\`*\[\]<>|~&])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Characters with a meaning in Markdown; an underscore inside a word has none."""
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Column(NamedTuple):
    """Heading of a column, and how its cells stand."""

    heading: str
    kind: Literal["text", "number"] = "number"
    """Text is left-aligned, numbers right-aligned."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    cells: tuple[Cell, ...]
    """One for each column; the first names the row."""
    group: str = ""
    """Rows of a group stand together, such as those of one set of pictures."""
    best: frozenset[str] = frozenset()
    """Headings of the cells that hold the best value of their group."""
    source: str = ""
    """The publication that printed the row, with its protocol; empty for measured
    rows."""


@dataclass(frozen=True)
class Table:
    """Rows under headings, with a title and notes."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str = ""
    group_heading: str = ""
    """Heading of the column that text formats show the groups in; empty for none."""
    notes: tuple[str, ...] = ()
    """Sentences that explain the figures."""

    def cells(self, row: Row) -> list[tuple[Column, str]]:
        """Return the cells of a row as they are printed, each with its column."""
        texts = []
        for cell in row.cells:
            if cell is None:
                texts.append(NOTHING)
            elif isinstance(cell, str):  # maybe markup
                texts.append(cell)
            else:
                texts.append(str(cell))
        return list(zip(self.columns, texts, strict=True))


def make_table(
    rows: Iterable[Row | Sequence[Cell]],
    labels: Iterable[str],
    numbers: Iterable[str] = (),
    remarks: Iterable[str] = (),
    *,
    title: str = "",
    group: str = "",
    notes: Iterable[str] = (),
) -> Table:
    """Return a table of columns with text, then numbers, then text, by their headings.

    Rows that are no ``Row`` have no group; ``group`` is the heading of the groups.
    """
    lines = tuple(row if isinstance(row, Row) else Row(tuple(row)) for row in rows)
    columns = [Column(label, "text") for label in labels] + [*map(Column, numbers)]
    columns += [Column(remark, "text") for remark in remarks]
    return Table(tuple(columns), lines, title, group, tuple(notes))


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """Return a value in fixed digits; ``inf`` for infinity, a dash for None and NaN."""
    if value is None or math.isnan(value):
        return NOTHING
    plus = "+" if sign else ""
    return f"{value:{plus}z.{digits}f}"


def interval_text(low: float, high: float, digits: int) -> str:
    """Return an interval as text; empty where there is none (NaN)."""
    if not math.isfinite(low + high):
        return ""
    return f"[{number(low, digits, sign=True)}, {number(high, digits, sign=True)}]"


class Interval(Protocol):
    """A mean with its interval; NaN where there is none."""

    @property
    def mean(self) -> float:
        """In the middle."""

    @property
    def low(self) -> float:
        """Lower end."""

    @property
    def high(self) -> float:
        """Upper end."""


def difference_text(difference: Interval | None, digits: int) -> str | None:
    """Return a difference with its sign and its interval; None where none was found."""
    if difference is None:
        return None
    ends = interval_text(difference.low, difference.high, digits)
    return f"{number(difference.mean, digits, sign=True)} {ends}".strip()


def mean_text(means: Sequence[float], digits: int) -> str | None:
    """Return a mean over seeds with the standard deviation; None where there is none."""
    if not means:
        return None
    text = number(fmean(means), digits)
    if len(means) > 1:
        deviation = number(stdev(means), digits)
        if deviation != NOTHING:
            text += f" ± {deviation}"
    return text


def significant(value: float) -> str:
    """Return a number with three significant digits, but all digits of its whole part."""
    if value == 0:
        return "0"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def short(value: float) -> str:
    """Return a count in at most four digits, with K, M, G or T for the powers of a thousand."""
    unit = 0
    while abs(float(f"{value:.4g}")) >= 1000 and unit < len(UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{value:.4g} {UNITS[unit]}".strip()


def decimals(values: Iterable[float], least: int = 0) -> int:
    """Return the digits behind the point of the longest value, at least ``least``.

    Printed values are stored as numbers: 32.20 beside 32.25 has lost its zero, and gets
    it back.
    """
    lengths = (
        len(repr(float(value)).partition(".")[2]) for value in values if value % 1
    )
    return max([least, *lengths])


def best_of(
    values: Mapping[str, float], digits: int, *, lowest: bool = False
) -> set[str]:
    """Return the names whose values print as the highest, or lowest.

    Among fewer than two there is none.
    """
    if len(values) < 2:
        return set()
    printed = {name: round(value, digits) for name, value in values.items()}
    best = min(printed.values()) if lowest else max(printed.values())
    return {name for name, value in printed.items() if value == best}


def plural(count: int, word: str) -> str:
    """Return a count with its noun, such as ``1 seed`` or ``3 seeds``."""
    if count == 1:
        return f"1 {word}"
    return f"{count} {word}s"


def markdown_table(table: Table) -> Iterator[str]:
    """Yield the lines of a table, and an empty one; best values are bold."""
    columns = list(table.columns)
    if table.group_heading:
        columns.insert(0, Column(table.group_heading, "text"))
    lines = [[column.heading for column in columns]]
    lines.append(["---" if column.kind == "text" else "---:" for column in columns])
    for row in table.rows:
        cells = []
        for column, text in table.cells(row):
            shown = escape(text) if column.kind == "text" else text
            if column.heading in row.best:
                shown = f"**{shown}**"
            cells.append(shown)
        if row.source:
            cells[0] += f", as printed in {escape(row.source)}"
        if table.group_heading:
            cells.insert(0, escape(row.group))
        lines.append(cells)
    for cells in lines:
        yield f"| {' | '.join(cells)} |"
    yield ""


def markdown(blocks: Iterable[Table | str]) -> str:
    """Return tables that are not empty, with titles and notes, and paragraphs, for GitHub."""
    lines = []
    for block in blocks:
        if isinstance(block, str):
            lines += [escape(block), ""]
        elif block.rows:
            lines += [f"### {escape(block.title)}", "", *markdown_table(block)]
            for note in block.notes:
                lines += [escape(note), ""]
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Return text on one line that Markdown shows as it is, in a table's cell too."""
    return SPECIAL.sub(lambda match: "\\" + match[0], " ".join(printable(text).split()))


def visible(text: str) -> str:
    r"""Return text on one line, with escapes such as ``\x1b`` for control characters."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def printable(text: str) -> str:
    """Return text with a ``?`` for every byte of a file's name that is not UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
