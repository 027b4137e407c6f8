"""Reports of ablations: their conditions and notes in words, Markdown, and one HTML file."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from srcli import __version__
from srcli.evaluation.scores import METRICS
from srcli.metrics.protocol import PROTOCOLS
from srcli.pipelines.ablate import tables
from srcli.pipelines.ablate.statistics import difference
from srcli.pipelines.ablate.verdicts import LEAST_GAIN, PRINTED_SHARE, judge
from srcli.recipes.ablation import changes_text
from srcli.report.charts import DASHES, Line, Point, curve_chart, scatter_chart
from srcli.report.page import COLOURS, colour_of, interval_table, render_page
from srcli.report.table import escape, markdown_table, number, plural
from srcli.training.budget import parse_budget

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from srcli.pipelines.ablate.results import AblationResult
    from srcli.pipelines.ablate.verdicts import Judgement
    from srcli.report.table import Table

HELD_OUT = "held-out"
"""Name that the training gives the pictures that choose its weights."""


def ablation_markdown(results: Sequence[AblationResult]) -> str:
    """Return ablations as Markdown: a summary, then for each its question, tables and conditions.

    The same results give the same text.
    """
    lines, judged = ["# Ablations", ""], judge(results)
    if len(results) > 1:
        summary = tables.summary_table(results, judged)
        lines += [*markdown_table(summary), *(escape(note) for note in summary.notes), ""]
    for result, judgement, title in zip(results, judged, tables.titles(results), strict=True):
        lines += _ablation(result, judgement, title)
    lines += [f"Made by `srx ablate`, srx {__version__}.", ""]
    return "\n".join(lines)


def _ablation(result: AblationResult, judgement: Judgement, title: str) -> Iterator[str]:
    yield from (f"## {escape(title)}", "", escape(result.ablation.question), "")
    for each in result.ablation.variants:
        mark = " (base)" if each.name == result.ablation.base else ""
        yield f"- **{escape(each.name)}**{mark}: {escape(each.sentence)}"
    yield ""
    scores = tables.score_table(result, judgement)
    if scores.rows:
        yield from markdown_table(scores)
    yield from markdown_table(tables.cost_table(result))
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
            ("Budget", f"{tables.budget_of(result)} for each variant and seed"),
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
    told = [
        *(text for text in (ablation.note,) if text),
        *(f"{v.name}: {v.note}." for v in ablation.variants if v.note),
        "Parameters and MACs are of the deployed form; MACs are the multiply-accumulates of the "
        "convolutions for an LR picture of 256x256.",
        memory_note(result),
    ]
    if not own.trained:
        return told
    timed = own.budget is not None and parse_budget(own.budget).seconds is not None
    lacking = f"{plural(result.missing, 'training')} {'is' if result.missing == 1 else 'are'}"
    conditional = {
        "Times are left out where other work shared the machine.": True,
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
        "differences, not the figures.": printed,
        "Verdicts are on printed differences alone, significant at the 5 % level after Holm's "
        f"correction over the {plural(tests, 'test')} of this report. There is none where base or "
        f"variant is within {LEAST_GAIN:g} dB of bicubic or below {PRINTED_SHARE:.0%} of the "
        "printed gain over it.": printed,
        "The budget is a time, so that faster variants were trained for more iterations.": timed,
        f"{lacking} missing: not yet run, or failed.": result.missing > 0,
    }
    told += [text for text, holds in conditional.items() if holds]
    return told + [f"{line}." for line in result.left_out]


def memory_note(result: AblationResult) -> str:
    """Return the meaning of the memory columns."""
    kinds = {m.of for v in result.variants if v.cost for m in v.cost.memory}
    where = " and ".join(sorted(kinds)) or "host"
    how = "with gradients recorded" if result.ablation.memory_gradients else "without gradients"
    reason = ", as the paper measured" if result.ablation.memory_gradients else ""
    return (
        f"Memory: the {where} memory that PyTorch held at most for one forward pass in fp32 beside "
        f"weights and input, at LR height x width, {how}{reason}."
    )


def ablation_page(results: Sequence[AblationResult]) -> str:
    """Return ablations as a page; the same results give the same characters.

    A policy inside the page forbids it to load or run anything.
    """
    judged = judge(results)
    return render_page(
        "srcli.pipelines.ablate",
        title="Ablations",
        version=__version__,
        names=tables.titles(results),
        summary=tables.summary_table(results, judged),
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
        "scores": tables.score_table(result, judgement),
        "differences": difference_table(result),
        "curves": draw_curves(result),
        "costs": tables.cost_table(result),
        "charts": draw_scatters(result),
        "failures": result.failures,
        "conditions": conditions(result),
        "notes": notes(result, judgement.tests),
    }


def difference_table(result: AblationResult) -> Table:
    """Tabulate the difference of every variant to the base, drawn on its interval."""
    places = {each.variant.name: i for i, each in enumerate(result.variants)}
    found = {
        (dataset, name): each
        for dataset in result.conditions.sets
        for name in places
        if (each := difference(result, name, dataset)) is not None
    }
    entries = []
    for (dataset, name), each in found.items():
        own = [other for (of, _), other in found.items() if of == dataset]
        counts = sorted({(other.seeds, other.pictures) for other in own})
        sizes = " or ".join(f"{plural(s, 'seed')}, {plural(p, 'picture')}" for s, p in counts)
        colour = colour_of(places[name])
        entries.append((f"{dataset}, {sizes}", name, colour, each))
    digits = METRICS["psnr"].digits
    return interval_table(entries, ("PSNR dB", "to base"), digits=digits)


def draw_curves(result: AblationResult) -> tuple[Markup, str, list[tuple[str, str, str]]] | None:
    """Draw PSNR against iterations, on the first set that was validated on; None without any.

    Returns:
        The chart, the name of the set, and the legend: name, colour and dashes of each variant.
    """
    seen = {name for v in result.variants for seed in v.seeds for name in seed.curves}
    wanted = (*result.conditions.sets, HELD_OUT)
    dataset = next((name for name in wanted if name in seen), None)
    if dataset is None:
        return None
    curves, legend = [], []
    for index, each in enumerate(result.variants):
        name, colour = each.variant.name, colour_of(index)
        turn = max(index - 1, 0) // (COLOURS - 1)  # dashes once the colours repeat
        dash = DASHES[min(turn, len(DASHES) - 1)]
        own = [(seed.seed, seed.curves[dataset]) for seed in each.seeds if dataset in seed.curves]
        for seed, points in own:
            title = f"{name}, seed {seed}: {points[-1][1]:.3f} dB at the end"
            faint = seed != own[0][0]
            curves.append(Line(points=points, colour=colour, dash=dash, title=title, faint=faint))
        legend += [(name, colour, dash)] * bool(own)
    return curve_chart(curves, f"PSNR-Y on {dataset} against iterations"), dataset, legend


def draw_scatters(result: AblationResult) -> list[tuple[Markup, str]]:
    """Draw PSNR against parameters on every set; nothing where variants are of one size."""
    counts = {v.variant.name: v.cost.parameters for v in result.variants if v.cost}
    charts = []
    for dataset in result.conditions.sets if len(set(counts.values())) > 1 else ():
        points = []
        for index, each in enumerate(result.variants):
            name = each.variant.name
            means = each.means(dataset)
            if name not in counts or not means or not math.isfinite(mean := fmean(means)):
                continue
            points.append(
                Point(
                    label=name,
                    parameters=counts[name],
                    value=mean,
                    text=number(mean, METRICS["psnr"].digits),
                    colour=colour_of(index),
                )
            )
        if len(points) > 1:
            caption = f"PSNR dB on {dataset} against parameters"
            charts.append((scatter_chart(points, caption), caption))
    return charts
