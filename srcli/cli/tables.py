"""One look for all tables of the terminal: words on the left, numbers on the right, no boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table


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
