"""Ablations as GitHub Markdown, to be committed or pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli import __version__
from srcli.pipelines.ablation import tables
from srcli.pipelines.ablation.notes import conditions, notes
from srcli.pipelines.evaluation.markdown import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.pipelines.ablation.results import AblationResult
    from srcli.pipelines.evaluation.tables import Table


def write_markdown(results: Sequence[AblationResult]) -> str:
    """Return ablations as Markdown: a summary, then for each its question, tables and conditions.

    The same results give the same text.
    """
    lines = ["# Ablations", ""]
    if len(results) > 1:
        lines += _table(tables.summary_table(results), "ablation")
    for result in results:
        lines += _ablation(result)
    lines += [f"Made by `srx ablate`, srx {__version__}.", ""]
    return "\n".join(lines)


def _ablation(result: AblationResult) -> Iterator[str]:
    yield from (f"## {escape(result.ablation.name)}", "", escape(result.ablation.question), "")
    for each in result.ablation.variants:
        mark = " (base)" if each.name == result.ablation.base else ""
        yield f"- **{escape(each.name)}**{mark}: {escape(each.sentence)}"
    yield ""
    scores = tables.score_table(result)
    if scores.rows:
        yield from _table(scores, "set", "variant")
    yield from _table(tables.cost_table(result), "variant")
    if result.failures:
        yield from ("Failed:", "", *(f"- {escape(line)}" for line in result.failures), "")
    for name, text in conditions(result):
        yield f"- {name}: {escape(text)}"
    yield from (f"- {escape(text)}" for text in notes(result))
    yield ""


def _table(table: Table, *labels: str) -> Iterator[str]:
    yield _line([*labels, *table.headings])
    yield _line(["---"] * len(labels) + ["---:"] * len(table.headings))
    for row in table.rows:
        cells = [escape(cell) for cell in row.cells]
        cells = [f"**{cell}**" if i in row.best else cell for i, cell in enumerate(cells)]
        yield _line([*(escape(label) for label in (row.group, row.label)[-len(labels) :]), *cells])
    yield ""


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
