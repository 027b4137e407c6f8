"""An evaluation as GitHub Markdown, to paste into a README, an issue or a paper's appendix."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from srcli.pipelines.evaluate import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from srcli.evaluation.scores import Evaluation
    from srcli.pipelines.evaluate.tables import Row, Table

SPECIAL = re.compile(r"([\\`*\[\]<>|~&])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Characters that Markdown would take for its own; an underscore inside a word stays."""


def markdown(evaluation: Evaluation) -> str:
    """Return an evaluation as Markdown: for every scale scores, differences and costs.

    Then how it was measured and what failed. Best means are bold; published rows name their source.
    """
    lines: list[str] = []
    for scale in evaluation.scales:
        lines += _scale(evaluation, scale)
    lines += [escape(evaluation.chain), ""]
    if evaluation.failures:
        lines += ["### Not measured", ""]
        for failure in evaluation.failures:
            lines.append(f"- {escape(tables.failure_line(failure))}: {escape(failure.reason)}")
        lines.append("")
    return "\n".join(lines)


def escape(text: str) -> str:
    """Return text on one line that Markdown shows as it is, in a table's cell too."""
    plain = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    return SPECIAL.sub(lambda found: "\\" + found[0], plain)


def _scale(evaluation: Evaluation, scale: int) -> Iterator[str]:
    yield from (f"## ×{scale}", "")
    yield from table_lines(tables.score_table(evaluation, scale), "set", "model")
    differences = tables.difference_table(evaluation, scale)
    if differences.rows:
        first = escape(evaluation.models[0])
        known = any(
            each.scale == scale and tables.interval(each) for each in evaluation.differences
        )
        suffix = ", with 95 % intervals" if known else ""
        yield from (f"### ×{scale}: differences to {first}{suffix}", "")
        yield from table_lines(differences, "set", "model")
    costs = tables.cost_table(evaluation, scale)
    if costs.rows:
        yield from (f"### ×{scale}: costs", "")
        yield from table_lines(costs, "model")
        yield from (tables.COST_NOTE, "")
    yield from ("<details>", f"<summary>×{scale}: every picture, and medians</summary>", "")
    yield from table_lines(tables.picture_table(evaluation, scale), "picture", "model")
    yield from ("</details>", "")


def table_lines(table: Table, *labels: str) -> Iterator[str]:
    """Yield the lines of a table, and an empty one.

    Args:
        table: What to write.
        labels: Headings of the columns before the values: of group and row, or of the row alone.
    """
    yield _line([*labels, *table.headings])
    yield _line(["---"] * len(labels) + ["---:"] * len(table.headings))
    for row in table.rows:
        cells = [f"**{cell}**" if i in row.best else cell for i, cell in enumerate(row.cells)]
        yield _line([*_labels(row)[-len(labels) :], *cells])
    yield ""


def _labels(row: Row) -> list[str]:
    label = escape(row.label)
    if row.source is not None:
        label = f"{label}, as printed in {escape(row.source)}"
    return [escape(row.group), label]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
