"""A table of an ablation as HTML: groups of rows, the best marked, verdicts in words and colour."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from srcli.pipelines.ablate.statistics import Verdict
from srcli.pipelines.evaluate.sections import scroll
from srcli.report.page import Markup, element

if TYPE_CHECKING:
    from srcli.pipelines.evaluate.tables import Row, Table

VERDICT = "verdict"
"""Heading of the column that holds words."""


def table_markup(table: Table, label: str, first: str) -> Markup:
    """Write a table, each group under a heading of its own.

    Args:
        table: What to write.
        label: What it is, for those who cannot see it.
        first: Heading of the rows' labels.
    """
    words = [heading == VERDICT for heading in table.headings]
    heads = [
        element("th", heading, scope="col", class_="verdict" if word else "number")
        for heading, word in zip(table.headings, words, strict=True)
    ]
    head = element("tr", element("th", first, scope="col"), *heads)
    bodies = []
    for group, rows in groupby(table.rows, key=lambda row: row.group):
        lines = [_row(row, words) for row in rows]
        if group:
            title = element("span", group)
            own = element("th", title, scope="rowgroup", colspan=1 + len(heads))
            lines.insert(0, element("tr", own, class_="group"))
        bodies.append(element("tbody", *lines))
    return scroll(element("table", element("thead", head), *bodies), label)


def _row(row: Row, words: list[bool]) -> Markup:
    cells = []
    for i, (cell, word) in enumerate(zip(row.cells, words, strict=True)):
        if word:
            colour = Verdict(cell).name.lower()
            cells.append(element("td", element("span", cell, class_=colour), class_="verdict"))
        elif i in row.best:
            cells.append(element("td", element("strong", cell), class_="number best"))
        else:
            cells.append(element("td", cell, class_="number"))
    return element("tr", element("th", row.label, scope="row"), *cells)
