"""Ablations on the terminal, as definitions and as results, and their files."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from srcli.cli.console import json_text, make_console, print_pairs, print_table, write_formats
from srcli.recipes.ablations import METRICS, changes_text
from srcli.report.table import NOTHING, Column, Row, Table, columns_of, decimals, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from srcli.pipelines.ablate.results import AblationResult
    from srcli.recipes.ablations import Ablation, Variant

OWN = "our own"
VARIANT = Column("variant", kind="text", wrap=False)
DIFFERENCES = ("to base dB", "printed to base", "verdict")
"""Columns of the scores that get a table of their own, for terminals are narrow."""


def show_list(ablations: Iterable[Ablation]) -> None:
    """Print a line for every ablation."""
    columns = columns_of(("what it asks", "source"), ("scale", "variants"))
    rows = [
        Row(cells=(a.name, a.question, a.source or OWN, f"x{a.scale}", len(a.variants)))
        for a in ablations
    ]
    name = Column("ablation", kind="text", wrap=False)
    out = make_console()
    print_table(out, Table(title="Ablations", columns=(name, *columns), rows=tuple(rows)))
    out.print("'srx ablate show NAME' shows the variants and what was printed and measured.")


def show_ablation(ablation: Ablation) -> None:
    """Print the definition of one ablation: its variants as changes, the printed figures."""
    out = make_console()
    out.print(f"{ablation.name}: {ablation.question}")
    print_pairs(out, _about(ablation))
    out.print()
    rows = []
    for variant in ablation.variants:
        mark = " (base)" if variant.name == ablation.base else ""
        changes = ", ".join(changes_text(variant.changes)) or "none"
        rows.append(Row(cells=(variant.name + mark, variant.sentence, changes)))
    columns = (VARIANT, *columns_of(("what it is", "changes")))
    print_table(out, Table(title="Variants", columns=columns, rows=tuple(rows)))
    print_table(out, _published(ablation))
    for variant in ablation.variants:
        if variant.note:
            out.print(f"{variant.name}: {variant.note}.")


def report_results(
    results: Sequence[AblationResult],
    targets: Mapping[str, str | None],
    *,
    quiet: bool,
    others: Sequence[Ablation] = (),
) -> None:
    """Print results, unless quiet, and write the files of ``--json``, ``--markdown``, ``--html``.

    Args:
        results: Of ablations that were run.
        targets: Files by option.
        quiet: Print nothing.
        others: Ablations that were not run, for JSON.

    Raises:
        UsageError: If a file cannot be written.
    """
    from srcli.pipelines.ablate.report import ablation_markdown, ablation_page

    if not quiet:
        _print_results(results, to_stderr="-" in targets.values())
    unknown: list[dict[str, Any]] = [{"ablation": asdict(each)} for each in others]
    write_formats(
        targets,
        {
            "--json": lambda: json_text(_plain_results(results) + unknown),
            "--markdown": lambda: ablation_markdown(results),
            "--html": lambda: ablation_page(results),
        },
    )


def _print_results(results: Sequence[AblationResult], *, to_stderr: bool) -> None:
    from srcli.pipelines.ablate import report
    from srcli.pipelines.ablate.report import conditions, notes
    from srcli.pipelines.ablate.verdicts import judge

    judged = judge(results)
    out = make_console(to_stderr=to_stderr)
    for result, own in zip(results, judged, strict=True):
        name, scores = result.ablation.name, report.score_table(result, own)
        measured = [heading for heading in scores.headings if heading not in DIFFERENCES]
        print_table(out, scores.select(measured), title=f"{name}: quality")
        to_base = f"{name}: difference to {result.ablation.base}"
        print_table(out, scores.select(("variant", *DIFFERENCES)), title=to_base)
        print_table(out, report.cost_table(result), title=f"{name}: cost")
        lines = [f"Failed: {line}" for line in result.failures]
        lines += [f"{word}: {text}" for word, text in conditions(result)]
        for line in (*lines, *notes(result, own.tests), ""):
            out.print(line)
    if len(results) > 1:
        print_table(out, report.summary_table(results, judged))


def _plain_results(results: Sequence[AblationResult]) -> list[dict[str, Any]]:
    """Return all of some results as plain values, with the verdicts that they have together."""
    from srcli.pipelines.ablate.verdicts import judge

    plain = []
    for result, judged in zip(results, judge(results), strict=True):
        comparisons = [
            {"set": dataset, "variant": name, **asdict(own), "verdict": str(own.verdict)}
            for (dataset, name), own in judged.comparisons.items()
        ]
        plain.append({**asdict(result), "comparisons": comparisons, "tests": judged.tests})
    return plain


def _about(ablation: Ablation) -> list[tuple[str, str]]:
    pairs = [
        ("source", ablation.source or OWN),
        ("recipe", f"{ablation.recipe}, x{ablation.scale}"),
        ("sets", f"{', '.join(ablation.sets) or NOTHING} (protocol {ablation.protocol})"),
    ]
    if ablation.changes:
        pairs.insert(2, ("all change", ", ".join(changes_text(ablation.changes))))
    if ablation.memory_sizes:
        sizes = ", ".join(f"{height}x{width}" for height, width in ablation.memory_sizes)
        how = "with gradients recorded" if ablation.memory_gradients else "without gradients"
        pairs.append(("memory", f"of LR inputs of {sizes}, {how}"))
    if ablation.note:
        pairs.append(("note", ablation.note))
    return pairs


def _published(ablation: Ablation) -> Table:
    """Return the printed figures, PSNR and SSIM of a set side by side as papers have them."""
    columns: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for variant in ablation.variants for key in variant.published):
        columns.setdefault(_heading(key), []).append(key)
    rows = tuple(
        Row(cells=(v.name, *(_figures(ablation.variants, v, keys) for keys in columns.values())))
        for v in ablation.variants
        if columns
    )
    return Table(title="Published", columns=(VARIANT, *columns_of((), columns)), rows=rows)


def _heading(key: str) -> str:
    fixed = {
        "parameters": "parameters K",
        "gflops": "GFLOPs",
        "training.seconds": "100 iterations s",
    }
    if key in fixed:
        return fixed[key]
    first, _, last = key.partition(".")
    if first == "memory":
        return f"{last} MB"
    if last in METRICS:
        return f"{first} dB"
    return f"{first} s" if last == "seconds" else f"{first} {last.split('.')[0].upper()} difference"


def _figures(variants: Sequence[Variant], variant: Variant, keys: Sequence[str]) -> str:
    """Return printed figures of a variant, each in the digits of the longest one of its column."""
    parts = []
    for key in keys:
        digits = decimals(other.published[key] for other in variants if key in other.published)
        sign = key.endswith(".difference")
        parts.append(number(variant.published.get(key), digits, sign=sign))
    return NOTHING if set(parts) == {NOTHING} else "/".join(parts)
