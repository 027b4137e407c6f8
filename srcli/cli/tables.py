"""Tables on the terminal, all in one style: text on the left, numbers on the right, no boxes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from srcli.report.table import Column, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.text import Text

    from srcli.report.table import Table

WIDE = 200
"""Columns without a terminal: enough for every table of ours."""


def make_console(*, to_stderr: bool = False) -> Console:
    """Return a plain console of rich for tables and the words around them.

    Text is broken to the width of the terminal, also where it goes through a pipe to ``less``.
    Where there is no terminal (logs of jobs) and no ``COLUMNS``, the names in tables stay whole.
    """
    from rich import console as rich

    class Plain(rich.Console):
        """Escapes what would steer the terminal, in cells of tables too."""

        def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401
            return super().render_str(visible(text), **options)

    # Brackets and colons in the names of pictures, sets and models are no markup.
    console = Plain(stderr=to_stderr, highlight=False, markup=False, emoji=False)
    if "COLUMNS" not in os.environ and not any(map(os.isatty, range(3))):
        console.width = WIDE
    return console


def print_table(out: Console, table: Table, *, title: str = "", note: str = "") -> None:
    """Print a table, unless it is empty.

    The best values have a star as well: weight is lost in pipes and to some eyes. A title replaces
    the table's own; a note stands before the table's own.
    """
    if not table.rows:
        return
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(
        title=title or table.title,
        title_justify="left",
        caption=" ".join(filter(None, (note, *table.notes))) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    group = [Column(table.group_heading, kind="text")] if table.group_heading else []
    for column in (*group, *table.columns):
        heading, text = column.heading, column.kind == "text"
        wrap = text if column.wrap is None else column.wrap
        if text:
            width = min(len(heading), 12)
            shown.add_column(heading, overflow="fold", min_width=width, no_wrap=not wrap)
        else:
            shown.add_column(heading, justify="right", no_wrap=not wrap)
    for name, rows in table.groups().items():
        shown.add_section()
        for row in rows:
            cells = [
                Text(visible(f"*{text}"), style="bold") if column.heading in row.best else text
                for column, text in table.cells(row)
            ]
            shown.add_row(*[name] * len(group), *cells, style="dim" if row.source else "")
    out.print(shown)


def print_pairs(out: Console, pairs: Iterable[tuple[str, str]]) -> None:
    """Print names with their values in two columns."""
    from rich.table import Table as RichTable

    grid = RichTable.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in pairs:
        grid.add_row(f"  {label}", value)
    out.print(grid)
