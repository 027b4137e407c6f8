"""The terminal's tables of an evaluation: scores, differences, costs, one block a scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.cli.tables import make_console, make_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.text import Text

    from srcli.evaluation.scores import Evaluation
    from srcli.pipelines.evaluate.tables import Row, Table


def show(result: Evaluation, *, to_stderr: bool, verbose: bool) -> None:
    """Print the tables; with ``verbose`` one line for every picture as well."""
    from srcli.pipelines.evaluate import tables

    console = make_console(to_stderr=to_stderr)
    for scale in result.scales:
        table = tables.score_table(result, scale)
        _print(console, f"x{scale}", table, ("set", "model"), note=_sources(table.rows))
        if verbose:
            _print(
                console,
                f"x{scale}, pictures",
                tables.picture_table(result, scale),
                ("set", "model"),
            )
        title = f"x{scale}, difference to {result.models[0]}"
        _print(console, title, _differences(result, scale), ("set", "model"))
        _print(
            console,
            f"x{scale}, cost",
            tables.cost_table(result, scale),
            ("model",),
            note=tables.COST_NOTE,
        )
    console.print(result.chain, soft_wrap=True)


def _print(
    console: Console, title: str, table: Table, labels: Sequence[str], *, note: str = ""
) -> None:
    if not table.rows:
        return
    columns = make_table(title, labels, table.headings)
    columns.caption = note or None
    last = table.rows[0].group
    for row in table.rows:
        if row.group != last:
            columns.add_section()
            last = row.group
        columns.add_row(
            *(row.group, row.label)[-len(labels) :], *_cells(row), style="dim" if row.source else ""
        )
    console.print(columns)


def _cells(row: Row) -> list[str | Text]:
    from rich.text import Text

    # A star as well: colour and weight are lost in pipes and to some eyes.
    return [
        Text(f"*{cell}", style="bold") if i in row.best else cell
        for i, cell in enumerate(row.cells)
    ]


def _sources(rows: Sequence[Row]) -> str:
    found = dict.fromkeys(part for row in rows for part in (row.source or "").split("; ") if part)
    best = "* best of a set over all its pictures. " if any(row.best for row in rows) else ""
    return best + (f"Printed rows: {'; '.join(found)}." if found else "")


def _differences(result: Evaluation, scale: int) -> Table:
    """Return a line a metric: intervals of all metrics side by side would not fit."""
    from srcli.evaluation.scores import METRICS
    from srcli.pipelines.evaluate.tables import NOTHING, Row, Table, interval, number

    rows = [
        Row(
            group=each.dataset,
            label=each.model,
            cells=(
                METRICS[each.metric].heading,
                str(each.pictures),
                number(each.mean, METRICS[each.metric].digits, sign=True),
                interval(each) or NOTHING,
            ),
        )
        for each in result.differences
        if each.scale == scale
    ]
    return Table(headings=("metric", "pictures", "difference", "95 % interval"), rows=tuple(rows))
