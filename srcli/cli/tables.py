"""One look for all tables of the terminal: words on the left, numbers on the right, no boxes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

WIDE = 200
"""Columns of text that no terminal shows: enough for every table of ours."""


def make_console(*, to_stderr: bool = False) -> Console:
    """Return a plain console of rich for tables and the words around them.

    Text is broken to the width of the terminal, also where it goes through a pipe to ``less``.
    Where there is no terminal (logs of jobs) and no ``COLUMNS``, the names in tables stay whole.

    Args:
        to_stderr: Print there, for example as standard output takes JSON.
    """
    from rich.console import Console

    # Brackets and colons in the names of pictures, sets and models are no markup.
    console = Console(stderr=to_stderr, highlight=False, markup=False, emoji=False)
    if "COLUMNS" not in os.environ and not any(map(os.isatty, range(3))):
        console.width = WIDE
    return console


def make_table(title: str, labels: Sequence[str], numbers: Sequence[str]) -> Table:
    """Return an empty rich table.

    Args:
        title: Above it.
        labels: Headings of the first columns, which hold words and may be broken.
        numbers: Headings of the others, which are never broken.
    """
    from rich import box
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in labels:
        table.add_column(heading, overflow="fold", min_width=min(len(heading), 12))
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
