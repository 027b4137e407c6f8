"""Reports of ablations: tables, conditions and notes in words, Markdown, and one HTML file."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from srcli.evaluation.scores import METRICS
from srcli.metrics.fidelity import PROTOCOLS
from srcli.pipelines.ablate.results import (
    LEAST_GAIN,
    PRINTED_SHARE,
    JudgedAblation,
    Verdict,
    sets_of,
)
from srcli.recipes.ablations import changes_text
from srcli.report.page import environment, interval_chart, render_page
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
    from collections.abc import Sequence

    from srcli.pipelines.ablate.results import AblationResult, VariantResult
    from srcli.recipes.ablations import Ablation
    from srcli.report.table import Cell

PACKAGE = "srcli.pipelines.ablate"
MIB = 2**20
LEAST_DIGITS = 2
"""Of printed decibels, where those at hand happen to end on zeros."""
VARIANT = Column("variant", kind="text")


def variant_rows(ablation: Ablation) -> list[tuple[str, str, str]]:
    """Return name, sentence and changes of every variant as text."""
    return [
        (
            each.name + " (base)" * (each.name == ablation.base),
            each.sentence,
            ", ".join(changes_text(each.changes)),
        )
        for each in ablation.variants
    ]


def summary_table(judged: Sequence[JudgedAblation]) -> Table:
    """Count for each ablation the verdicts on its variants, on all of its sets."""
    words = (Verdict.SAME, Verdict.OPPOSITE, Verdict.UNDECIDED)
    rows = []
    for each in judged:
        found = [e for e in each.comparisons.values() if e.printed is not None and e.found]
        counts: list[Cell] = [sum(own.verdict is word for own in found) for word in words]
        counts.append(sum(own.p is None for own in found))
        counts = counts if each.result.conditions.trained else [None] * len(counts)
        ablation = each.result.ablation
        about = (ablation.name, len(ablation.variants), budget_of(each.result))
        rows.append(Row(cells=(*about, *counts)))
    columns = columns_of(("ablation",), ("variants",)) + columns_of(("budget",))
    columns += tuple(Column(heading, wrap=True) for heading in (*words, "not judged"))
    note = (
        "Counted are printed differences on all sets. Verdicts hold together at the 5 % level: "
        f"Holm's correction over {plural(judged[0].tests if judged else 0, 'test')}. Not "
        "judged: one seed, no printed sign, or base or variant too near bicubic."
    )
    return Table(title="Summary", columns=columns, rows=tuple(rows), notes=(note,))


def score_table(judged: JudgedAblation) -> Table:
    """Tabulate means over seeds on every set, differences to the base, printed values, verdicts.

    Bicubic stands below each set. Sets of the paper that were not measured have what was printed
    alone; without any training there are no rows.
    """
    headings = ("seeds", "PSNR dB", "SSIM", "to base dB", "printed dB", "printed to base")
    columns = (
        VARIANT,
        *(Column(heading, wrap=True) for heading in headings),
        Column("verdict", kind="status", wrap=True),
    )
    result = judged.result
    digits, wanted = METRICS["psnr"].digits, result.conditions.seeds
    names = [each.variant.name for each in result.variants]
    rows: list[Row] = []
    for dataset in sets_of(result) if result.conditions.trained else ():
        means = {each.variant.name: each.means(dataset) for each in result.variants}
        complete = {name: fmean(own) for name, own in means.items() if len(own) == wanted}
        best = best_of(complete, digits)
        # Printed figures have the digits of the longest one of their set.
        printed = {name: result.ablation.printed(name, dataset) for name in names}
        differences = [result.ablation.printed(name, dataset, "psnr.difference") for name in names]
        values = [value for value in printed.values() if value is not None]
        longest = decimals(values, LEAST_DIGITS)
        values += [value for value in differences if value is not None]
        for each in result.variants:
            name, done = each.variant.name, len(means[each.variant.name])
            own = judged.comparisons[dataset, name]
            count = str(done) if done == wanted else f"{done} of {wanted}"
            cells = (
                name,
                count if dataset in result.conditions.sets else None,
                _mean_text(means[name], digits),
                _mean_text(each.means(dataset, "ssim"), METRICS["ssim"].digits),
                interval_text(*own.found[:3], digits) if own.found else None,
                number(printed[name], longest),
                number(own.printed, decimals(values, LEAST_DIGITS), sign=True),
                str(own.verdict),
            )
            bold = frozenset({"PSNR dB"} if name in best else ())
            rows.append(Row(cells=cells, group=dataset, best=bold, status=own.verdict.name.lower()))
        if scores := result.scores(dataset):
            level = number(scores[0].bicubic, digits)
            rows.append(Row(cells=("bicubic", None, level, *[None] * 5), group=dataset))
    return Table(group_heading="set", columns=columns, rows=tuple(rows))


def _mean_text(means: Sequence[float], digits: int) -> str | None:
    """Return a mean over seeds with the standard deviation."""
    if not means:
        return None
    deviation = number(stdev(means), digits) if len(means) > 1 else NOTHING
    return number(fmean(means), digits) + ("" if deviation == NOTHING else f" ± {deviation}")


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


def ablation_markdown(judged: Sequence[JudgedAblation]) -> str:
    """Return ablations as Markdown: a summary, then for each its question, tables and conditions.

    The same results give the same text.
    """
    return _render(
        "report.md.j2",
        escape=escape,
        markdown_table=markdown_table,
        **_parts(judged),
    )


def _parts(judged: Sequence[JudgedAblation]) -> dict[str, Any]:
    """Return for the templates the ablations, and the functions that tabulate them."""
    functions = {each.__name__: each for each in (score_table, cost_table, conditions, notes)}
    return {"ablations": judged, "summary": summary_table(judged), **functions}


def _render(name: str, **values: object) -> str:
    """Return the text that a template describes, in which nothing is escaped by itself."""
    plain = environment(PACKAGE).overlay(autoescape=False)
    return plain.get_template(name).render(**values)


def conditions(result: AblationResult) -> list[tuple[str, str]]:
    """Return how an ablation was run, as pairs of a word and a text."""
    own = result.conditions
    names = {
        "data": [Path(each).name for each in own.data],  # no folders: they tell nobody
        "sets": own.sets,
        "missing": own.missing,
        "overrides": own.overrides,
    }
    text = _render(
        "conditions.txt.j2",
        own=own,
        ablation=result.ablation,
        budget=budget_of(result),
        protocol=PROTOCOLS[result.ablation.protocol],
        **{word: " ".join(", ".join(each).split()) for word, each in names.items()},
    )
    pairs = (line.partition(": ") for line in text.splitlines())
    return [(word, words) for word, _, words in pairs]


def notes(judged: JudgedAblation) -> list[str]:
    """Return remarks that the tables must be read with, a sentence or two each."""
    result = judged.result
    own, ablation = result.conditions, result.ablation
    shared = _render(
        "notes.txt.j2",
        own=own,
        ablation=ablation,
        printed=any(v.published for v in ablation.variants),
        timed=own.budget is not None and parse_budget(own.budget).seconds is not None,
        tests=plural(judged.tests, "test"),
        least_gain=f"{LEAST_GAIN:g}",
        printed_share=f"{PRINTED_SHARE:.0%}",
        missing=result.missing,
    )
    own_notes = [ablation.note] + [f"{v.name}: {v.note}." for v in ablation.variants if v.note]
    left_out = [f"{line}." for line in result.left_out]
    return [*filter(None, own_notes), *shared.splitlines(), *left_out]


def ablation_page(judged: Sequence[JudgedAblation]) -> str:
    """Return ablations as a page; the same results give the same characters.

    A policy inside the page forbids it to load or run anything.
    """
    return render_page(
        PACKAGE,
        title="Ablations",
        variant_rows=variant_rows,
        changes_text=changes_text,
        difference_chart=difference_chart,
        **_parts(judged),
    )


def difference_chart(judged: JudgedAblation) -> str:
    """Draw the difference of every variant to the base with its interval; empty without any."""
    rows = []
    for (dataset, name), own in judged.comparisons.items():
        if own.found is not None:
            sizes = f"{plural(own.found.seeds, 'seed')}, {plural(own.found.pictures, 'picture')}"
            rows.append((f"{dataset}, {sizes}: {name}", *own.found[:3]))
    heading = f"PSNR dB against {judged.result.ablation.base}"
    return interval_chart(rows, heading, METRICS["psnr"].digits) if rows else ""
