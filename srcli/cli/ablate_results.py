"""What ablations found: on the terminal, as JSON, and into files."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from srcli.cli.tables import make_console, make_table
from srcli.cli.text_files import write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from srcli.pipelines.ablate.results import AblationResult
    from srcli.pipelines.evaluate.tables import Table
    from srcli.recipes.ablation import Ablation

DIFFERENCES = ("to base dB", "printed to base", "verdict")
"""Columns of the scores that get a table of their own, for terminals are narrow."""


def show_results(results: Sequence[AblationResult], *, to_stderr: bool = False) -> None:
    """Print the tables of every result, how they came about, and what failed."""
    from srcli.pipelines.ablate import tables
    from srcli.pipelines.ablate.notes import conditions, notes

    out = make_console(to_stderr=to_stderr)
    for result, name in zip(results, tables.titles(results), strict=True):
        scores = tables.score_table(result)
        measured = [heading for heading in scores.headings if heading not in DIFFERENCES]
        base = result.ablation.base
        _print(out, f"{name}: quality", scores, ("set", "variant"), measured)
        _print(out, f"{name}: difference to {base}", scores, ("set", "variant"), DIFFERENCES)
        costs = tables.cost_table(result)
        _print(out, f"{name}: cost", costs, ("variant",), costs.headings)
        for line in result.failures:
            out.print(f"Failed: {line}")
        for word, text in conditions(result):
            out.print(f"{word}: {text}")
        for text in notes(result):
            out.print(text)
        out.print()
    if len(results) > 1:
        summary = tables.summary_table(results)
        _print(out, "Summary", summary, ("ablation",), summary.headings)


def write_results(results: Sequence[AblationResult], targets: Mapping[str, str | None]) -> None:
    """Write results to the files of ``--json``, ``--markdown`` and ``--html``.

    Raises:
        UsageError: If a file cannot be written.
    """
    if target := targets["--json"]:
        text = json.dumps([plain_result(each) for each in results], indent=2, allow_nan=False)
        write_json(target, text)
    if target := targets["--markdown"]:
        from srcli.pipelines.ablate.markdown import write_markdown

        write_text(target, write_markdown(results))
    if target := targets["--html"]:
        from srcli.pipelines.ablate.page import write_html

        write_text(target, write_html(results))


def write_definitions(
    target: str, ablations: Sequence[Ablation], results: Mapping[str, AblationResult]
) -> None:
    """Write what ablations are as JSON, each with its result by name, None where there is none.

    Raises:
        UsageError: If the file cannot be written.
    """
    plain = [
        {
            **asdict(each),
            "result": plain_result(results[each.name]) if each.name in results else None,
        }
        for each in ablations
    ]
    write_json(target, json.dumps(plain, indent=2, allow_nan=False))


def plain_result(result: AblationResult) -> dict[str, Any]:
    """Return all of a result as JSON knows it, with every difference to the base and its verdict.

    Values that are not finite become None.
    """
    from srcli.pipelines.ablate.statistics import difference
    from srcli.pipelines.ablate.tables import printed_difference, sets_of, verdict_of

    comparisons = []
    for dataset in sets_of(result):
        for each in result.variants:
            name = each.variant.name
            found = difference(result, name, dataset) if name != result.ablation.base else None
            comparisons.append(
                {
                    "set": dataset,
                    "variant": name,
                    "psnr": asdict(found) if found else None,
                    "printed": printed_difference(result, name, dataset),
                    "verdict": str(verdict_of(result, each, dataset)),
                }
            )
    plain: dict[str, Any] = _finite({**asdict(result), "comparisons": comparisons})
    return plain


def _finite(value: Any) -> Any:  # noqa: ANN401 - any part of a result
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(
    out: Console, title: str, table: Table, labels: Sequence[str], headings: Sequence[str]
) -> None:
    """Print some columns of a table; the best values have a star, which pipes keep."""
    if not table.rows:
        return
    shown = make_table(title, labels, headings)
    for column in shown.columns[len(labels) :]:
        column.no_wrap = False
    places = [table.headings.index(heading) for heading in headings]
    last = table.rows[0].group
    for row in table.rows:
        if row.group != last:
            shown.add_section()
            last = row.group
        cells = [f"*{row.cells[i]}" if i in row.best else row.cells[i] for i in places]
        shown.add_row(*(row.group, row.label)[-len(labels) :], *cells)
    out.print(shown)
