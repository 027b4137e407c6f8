"""Ablations as GitHub Markdown, to be committed or pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli import __version__
from srcli.pipelines.ablate import tables
from srcli.pipelines.ablate.notes import conditions, notes
from srcli.report.markdown import escape, table_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.pipelines.ablate.results import AblationResult


def write_markdown(results: Sequence[AblationResult]) -> str:
    """Return ablations as Markdown: a summary, then for each its question, tables and conditions.

    The same results give the same text.
    """
    lines = ["# Ablations", ""]
    if len(results) > 1:
        lines += table_lines(tables.summary_table(results), "ablation")
    for result, title in zip(results, tables.titles(results), strict=True):
        lines += _ablation(result, title)
    lines += [f"Made by `srx ablate`, srx {__version__}.", ""]
    return "\n".join(lines)


def _ablation(result: AblationResult, title: str) -> Iterator[str]:
    yield from (f"## {escape(title)}", "", escape(result.ablation.question), "")
    for each in result.ablation.variants:
        mark = " (base)" if each.name == result.ablation.base else ""
        yield f"- **{escape(each.name)}**{mark}: {escape(each.sentence)}"
    yield ""
    scores = tables.score_table(result)
    if scores.rows:
        yield from table_lines(scores, "set", "variant")
    yield from table_lines(tables.cost_table(result), "variant")
    if result.failures:
        yield from ("Failed:", "", *(f"- {escape(line)}" for line in result.failures), "")
    for name, text in conditions(result):
        yield f"- {name}: {escape(text)}"
    yield from (f"- {escape(text)}" for text in notes(result))
    yield ""
