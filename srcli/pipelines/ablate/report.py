"""Reports of ablations: tables, conditions and notes in words, Markdown, and one HTML file."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from srcli import __version__
from srcli.evaluation.scores import METRICS
from srcli.metrics.fidelity import PROTOCOLS
from srcli.pipelines.ablate.verdicts import LEAST_GAIN, PRINTED_SHARE, Verdict, judge, sets_of
from srcli.recipes.ablations import changes_text
from srcli.report.page import interval_chart, render_page
from srcli.report.table import (
    NOTHING,
    Column,
    Row,
    Table,
    best_of,
    columns_of,
    decimals,
    escape,
    interval_text,
    markdown_table,
    number,
    plural,
    short,
)
from srcli.training.budget import parse_budget

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.pipelines.ablate.results import AblationResult, VariantResult
    from srcli.pipelines.ablate.verdicts import JudgedDifference, Judgement
    from srcli.report.table import Cell

MIB = 2**20
LEAST_DIGITS = 2
"""Of printed decibels, where those at hand happen to end on zeros."""
VARIANT = Column("variant", kind="text")


def summary_table(results: Sequence[AblationResult], judgements: Sequence[Judgement]) -> Table:
    """Count for each ablation the verdicts on its variants, on all of its sets."""
    words = (Verdict.SAME, Verdict.OPPOSITE, Verdict.UNDECIDED)
    rows = []
    for result, own in zip(results, judgements, strict=True):
        found = [e for e in own.comparisons.values() if e.printed is not None and e.found]
        counts: list[Cell] = [sum(each.verdict is word for each in found) for word in words]
        counts.append(sum(each.p is None for each in found))
        counts = counts if result.conditions.trained else [None] * len(counts)
        about = (result.ablation.name, len(result.variants), budget_of(result))
        rows.append(Row(cells=(*about, *counts)))
    columns = columns_of(("ablation",), ("variants",)) + columns_of(("budget",))
    columns += tuple(Column(heading, wrap=True) for heading in (*words, "not judged"))
    tests = plural(judgements[0].tests if judgements else 0, "test")
    note = (
        "Counted are printed differences on all sets. Verdicts hold together at the 5 % level: "
        f"Holm's correction over {tests}. Not judged: one seed, no printed sign, or base "
        "or variant too near bicubic."
    )
    return Table(title="Summary", columns=columns, rows=tuple(rows), notes=(note,))


def score_table(result: AblationResult, judgement: Judgement) -> Table:
    """Tabulate means over seeds on every set, differences to the base, printed values, verdicts.

    Bicubic stands below each set. Sets of the paper that were not measured have what was printed
    alone; without any training there are no rows.
    """
    headings = ["seeds", "PSNR dB", "SSIM", "to base dB", "printed dB", "printed to base"]
    columns = (
        VARIANT,
        *(Column(heading, wrap=True) for heading in headings),
        Column("verdict", kind="status", wrap=True),
    )
    digits = METRICS["psnr"].digits
    rows: list[Row] = []
    for dataset in sets_of(result) if result.conditions.trained else ():
        means = {each.variant.name: each.means(dataset) for each in result.variants}
        complete = {
            n: fmean(own) for n, own in means.items() if len(own) == result.conditions.seeds
        }
        best = best_of(complete, digits)
        for each in result.variants:
            name = each.variant.name
            own = judgement.comparisons[dataset, name]
            rows.append(
                Row(
                    cells=(name, *_score_cells(result, each, dataset, own), str(own.verdict)),
                    group=dataset,
                    best=frozenset({"PSNR dB"} if name in best else ()),
                    status=own.verdict.name.lower(),
                )
            )
        if scores := result.scores(dataset):
            level = number(scores[0].bicubic, digits)
            rest = [None] * (len(columns) - 3)
            rows.append(Row(cells=("bicubic", None, level, *rest), group=dataset))
    return Table(group_heading="set", columns=columns, rows=tuple(rows))


def _score_cells(
    result: AblationResult, each: VariantResult, dataset: str, own: JudgedDifference
) -> list[Cell]:
    """Return the cells between the name of a variant and the verdict on it."""
    done, wanted = len(each.measured(dataset)), result.conditions.seeds
    count = str(done) if done == wanted else f"{done} of {wanted}"
    cells: list[Cell] = [count if dataset in result.conditions.sets else None]
    for metric in ("psnr", "ssim"):
        means, digits = each.means(dataset, metric), METRICS[metric].digits
        deviation = number(stdev(means), digits) if len(means) > 1 else NOTHING
        spread = "" if deviation == NOTHING else f" ± {deviation}"
        cells.append(number(fmean(means), digits) + spread if means else None)
    cells.append(interval_text(own.found, METRICS["psnr"].digits) if own.found else None)
    # Printed figures have the digits of the longest one of their set.
    names = [other.variant.name for other in result.variants]
    printed = {name: result.ablation.printed(name, dataset) for name in names}
    values = [value for value in printed.values() if value is not None]
    digits = decimals(values, LEAST_DIGITS)
    cells.append(number(printed[each.variant.name], digits))
    differences = (result.ablation.printed(name, dataset, "psnr.difference") for name in names)
    values += [value for value in differences if value is not None]
    cells.append(number(own.printed, decimals(values, LEAST_DIGITS), sign=True))
    return cells


def cost_table(result: AblationResult) -> Table:
    """Tabulate parameters, work and peak memory of every variant, beside printed values."""
    variants = result.variants

    def printed(heading: str, key: str) -> dict[str, list[Cell]]:
        values = [each.variant.published.get(key) for each in variants]
        cells: list[Cell] = [None if value is None else f"{value:g}" for value in values]
        return {heading: cells} if any(cells) else {}

    columns: dict[str, list[Cell]] = {
        "parameters": [f"{each.cost.parameters:,}" if each.cost else None for each in variants],
        **printed("printed K", "parameters"),
        "MACs": [short(each.cost.macs) if each.cost else None for each in variants],
        **printed("printed GFLOPs", "gflops"),
    }
    for size in dict.fromkeys(size for v in variants if v.cost for size in v.cost.memory):
        columns[f"MiB at {size}"] = [_memory(each, size) for each in variants]
        columns |= printed(f"printed MB at {size}", f"memory.{size}")
    if result.conditions.trained:
        columns["iterations"] = [_iterations(each) for each in variants]
    lines = zip((each.variant.name for each in variants), *columns.values(), strict=True)
    return Table(
        columns=(VARIANT, *(Column(heading, wrap=True) for heading in columns)),
        rows=tuple(Row(cells=line) for line in lines),
    )


def _memory(each: VariantResult, size: str) -> str | None:
    if each.cost is None:
        return "failed" if each.cost_failure else None
    peak = each.cost.memory[size]
    return "unknown" if peak is None else f"{peak / MIB:.{0 if peak >= 100 * MIB else 1}f}"


def _iterations(each: VariantResult) -> str | None:
    counts = {seed.iterations for seed in each.seeds if seed.iterations is not None}
    return "–".join(map(str, sorted({min(counts), max(counts)}))) if counts else None


def budget_of(result: AblationResult) -> str:
    """Return the budget in words."""
    conditions = result.conditions
    if not conditions.trained:
        return "not trained"
    if conditions.budget is None:
        return "the recipe's"
    whole = conditions.budget.isdigit()
    return plural(int(conditions.budget), "iteration") if whole else conditions.budget


def ablation_markdown(results: Sequence[AblationResult]) -> str:
    """Return ablations as Markdown: a summary, then for each its question, tables and conditions.

    The same results give the same text.
    """
    lines, judged = ["# Ablations", ""], judge(results)
    if len(results) > 1:
        summary = summary_table(results, judged)
        lines += [*markdown_table(summary), *(escape(note) for note in summary.notes), ""]
    for result, judgement in zip(results, judged, strict=True):
        lines += _ablation(result, judgement)
    lines += [f"Made by `srx ablate`, srx {__version__}.", ""]
    return "\n".join(lines)


def _ablation(result: AblationResult, judgement: Judgement) -> Iterator[str]:
    yield from (f"## {escape(result.ablation.name)}", "", escape(result.ablation.question), "")
    for each in result.ablation.variants:
        mark = " (base)" if each.name == result.ablation.base else ""
        yield f"- **{escape(each.name)}**{mark}: {escape(each.sentence)}"
    yield ""
    for table in (score_table(result, judgement), cost_table(result)):
        yield from markdown_table(table) if table.rows else ()
    if result.failures:
        yield from ("Failed:", "", *(f"- {escape(line)}" for line in result.failures), "")
    for name, text in conditions(result):
        yield f"- {name}: {escape(text)}"
    yield from (f"- {escape(text)}" for text in notes(result, judgement.tests))
    yield ""


def conditions(result: AblationResult) -> list[tuple[str, str]]:
    """Return how an ablation was run, as pairs of a word and a text."""
    own, ablation = result.conditions, result.ablation
    pairs = [
        ("Source", ablation.source or "our own"),
        ("Recipe", f"{ablation.recipe}, ×{ablation.scale}"),
    ]
    if own.overrides:
        pairs.append(("All variants with", ", ".join(own.overrides)))
    machine = own.machine + (f"; {own.processes} processes at once" if own.processes > 1 else "")
    if own.trained:
        machine += f"; trained in {own.precision} precision, measured in fp32"
        names = ", ".join(Path(each).name for each in own.data)  # no folders: they tell nobody
        held_out = f"{own.held_out} held out" if own.held_out else "none held out"
        data = f"{names}: {own.pictures} pictures, {held_out}"
        data += f", {own.excluded} excluded" if own.excluded else ""
        protocol = PROTOCOLS[ablation.protocol]
        sets = ", ".join(own.sets)
        sets += f"; not at hand: {', '.join(own.missing)}" if own.missing else ""
        pairs += [
            ("Budget", f"{budget_of(result)} for each variant and seed"),
            ("Seeds", f"{own.seeds}: each variant has the same batches in the same order"),
            ("Trained on", f"{data}; the last weights are measured"),
            ("Measured on", f"{sets}; protocol {protocol.name}: {protocol.description}"),
        ]
    return [*pairs, ("Machine", machine)]


def notes(result: AblationResult, tests: int) -> list[str]:
    """Return remarks that the tables must be read with, a sentence or two each.

    Args:
        result: One ablation.
        tests: Tests of the report that it is part of.
    """
    own, ablation = result.conditions, result.ablation
    printed = any(v.published for v in ablation.variants)
    memory = "with gradients recorded, as the paper measured" * ablation.memory_gradients
    where = "host" if own.device == "cpu" else "device"
    told = [
        *(text for text in (ablation.note,) if text),
        *(f"{v.name}: {v.note}." for v in ablation.variants if v.note),
        "Parameters and MACs are of the deployed form; MACs are the multiply-accumulates of the "
        "convolutions for an LR picture of 256x256.",
        f"Memory: the {where} memory that PyTorch held at most for one forward pass in fp32 beside "
        f"weights and input, at LR height x width, {memory or 'without gradients'}; unknown where "
        "there was too little.",
    ]
    if not own.trained:
        return told
    lacking = f"{plural(result.missing, 'training')} {'is' if result.missing == 1 else 'are'}"
    conditional = {
        f"To base: mean paired difference in PSNR to {ablation.base}, with its 95 % "
        "interval over seeds and pictures (two-way random effects, Student's t), which is not "
        "corrected for the number of tests.": True,
        "With one seed the interval is over pictures alone and decides nothing: another "
        "training may differ more. Verdicts take two seeds or more.": own.seeds == 1,
        "±: standard deviation over seeds.": own.seeds > 1,
        "Two seeds tell little of how seeds differ: where they differ as much as pictures do, "
        "such an interval misses the truth in about 10 % of cases instead of 5 %. Three or "
        "more are better.": own.seeds == 2,
        "Printed figures are of the paper's full training: verdicts compare the signs of "
        "differences, not the figures. They are on printed differences alone, significant at the "
        f"5 % level after Holm's correction over the {plural(tests, 'test')} of this report. There "
        f"is none where base or variant is within {LEAST_GAIN:g} dB of bicubic or below "
        f"{PRINTED_SHARE:.0%} of the printed gain over it.": printed,
        "The budget is a time, so that faster variants were trained for more iterations.": (
            own.budget is not None and parse_budget(own.budget).seconds is not None
        ),
        f"{lacking} missing: not yet run, or failed.": result.missing > 0,
    }
    told += [text for text, holds in conditional.items() if holds]
    return told + [f"{line}." for line in result.left_out]


def ablation_page(results: Sequence[AblationResult]) -> str:
    """Return ablations as a page; the same results give the same characters.

    A policy inside the page forbids it to load or run anything.
    """
    judged = judge(results)
    return render_page(
        "srcli.pipelines.ablate",
        title="Ablations",
        version=__version__,
        summary=summary_table(results, judged),
        ablations=[_sections(*each) for each in zip(results, judged, strict=True)],
    )


def _sections(result: AblationResult, judgement: Judgement) -> dict[str, Any]:
    """Return everything of one ablation for the template."""
    own = result.ablation
    return {
        "own": own,
        "shared": " ".join(changes_text(own.changes)),
        "variants": [
            (
                each.name + (" (base)" if each.name == own.base else ""),
                each.sentence,
                " ".join(changes_text(each.changes)),
            )
            for each in own.variants
        ],
        "scores": score_table(result, judgement),
        "differences": difference_chart(result, judgement),
        "costs": cost_table(result),
        "failures": result.failures,
        "conditions": conditions(result),
        "notes": notes(result, judgement.tests),
    }


def difference_chart(result: AblationResult, judgement: Judgement) -> str:
    """Draw the difference of every variant to the base with its interval; empty without any."""
    rows = []
    for (dataset, name), own in judgement.comparisons.items():
        if own.found is not None:
            counts = (own.found.seeds, "seed"), (own.found.pictures, "picture")
            sizes = ", ".join(plural(*each) for each in counts)
            rows.append((f"{dataset}, {sizes}: {name}", own.found))
    heading = f"PSNR dB against {result.ablation.base}"
    return interval_chart(rows, heading, METRICS["psnr"].digits) if rows else ""
