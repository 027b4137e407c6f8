"""Reports of ablations: their conditions and notes in words, Markdown, and one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli import __version__
from srcli.evaluation.scores import METRICS
from srcli.metrics.fidelity import PROTOCOLS
from srcli.pipelines.ablate.statistics import difference
from srcli.pipelines.ablate.tables import budget_of, cost_table, score_table, summary_table
from srcli.pipelines.ablate.verdicts import LEAST_GAIN, PRINTED_SHARE, judge
from srcli.recipes.ablations import changes_text
from srcli.report.page import interval_chart, render_page
from srcli.report.table import escape, markdown_table, plural
from srcli.training.budget import parse_budget

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.pipelines.ablate.results import AblationResult
    from srcli.pipelines.ablate.verdicts import Judgement


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
        "differences": difference_chart(result),
        "costs": cost_table(result),
        "failures": result.failures,
        "conditions": conditions(result),
        "notes": notes(result, judgement.tests),
    }


def difference_chart(result: AblationResult) -> str:
    """Draw the difference of every variant to the base with its interval; empty without any."""
    rows = []
    for dataset in result.conditions.sets:
        names = [each.variant.name for each in result.variants]
        found = [(name, difference(result, name, dataset)) for name in names]
        for name, each in ((name, each) for name, each in found if each is not None):
            sizes = f"{plural(each.seeds, 'seed')}, {plural(each.pictures, 'picture')}"
            rows.append((f"{dataset}, {sizes}: {name}", each))
    heading = f"PSNR dB against {result.ablation.base}"
    return interval_chart(rows, heading, METRICS["psnr"].digits) if rows else ""
