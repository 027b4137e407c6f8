"""Results as text for other programs: tables as GitHub Markdown and CSV, plain values as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from srcli.report.table import Row, Table

SPECIAL = re.compile(r"([\\`*\[\]<>|~&])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Characters with a meaning in Markdown; an underscore inside a word has none."""


def markdown_table(table: Table) -> Iterator[str]:
    """Yield the lines of a table, and an empty one; best values are bold."""
    group = [table.group_heading] if table.group_heading else []
    yield _line([*group, *table.headings])
    rules = ["---" if column.kind == "text" else "---:" for column in table.columns]
    yield _line(["---"] * len(group) + rules)
    for row in table.rows:
        yield _line([escape(row.group)] * len(group) + _cells(table, row))
    yield ""


def _cells(table: Table, row: Row) -> list[str]:
    cells = []
    for column, text in table.cells(row):
        shown = escape(text) if column.kind == "text" else text
        cells.append(f"**{shown}**" if column.heading in row.best else shown)
    if row.source:
        cells[0] += f", as printed in {escape(row.source)}"
    return cells


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    """Return text on one line that Markdown shows as it is, in a table's cell too."""
    return SPECIAL.sub(lambda found: "\\" + found[0], " ".join(printable(text).split()))


def csv_text(table: Table) -> str:
    """Return a table as CSV with line feeds: numbers in all digits, empty cells for None."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.headings)
    writer.writerows(row.cells for row in table.rows)
    return printable(stream.getvalue())


def json_text(value: object) -> str:
    """Return plain values as lines of JSON; numbers that are not finite become null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:  # noqa: ANN401 - any plain value
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def printable(text: str) -> str:
    """Return text with a ``?`` for every byte of a file's name that is not UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
