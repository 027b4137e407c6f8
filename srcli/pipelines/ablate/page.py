"""Ablations as one HTML file that needs nothing else: no network, no script, no second file."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING, Any

from srcli import __version__
from srcli.evaluation.scores import METRICS
from srcli.pipelines.ablate import tables
from srcli.pipelines.ablate.markdown import conditions, notes
from srcli.pipelines.ablate.statistics import difference
from srcli.recipes.ablation import changes_text
from srcli.report.charts import DASHES, Line, Point, curve_chart, scatter_chart
from srcli.report.page import COLOURS, colour_of, interval_table, render_page
from srcli.report.table import number, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from srcli.pipelines.ablate.results import AblationResult
    from srcli.report.table import Table

TITLE = "Ablations"
HELD_OUT = "held-out"
"""Name that the training gives the pictures that choose its weights."""


def ablation_page(results: Sequence[AblationResult], *, title: str = TITLE) -> str:
    """Return ablations as a page; the same results give the same characters.

    A policy inside the page forbids it to load or run anything.

    Args:
        results: One section each.
        title: Shown above everything.
    """
    return render_page(
        "srcli.pipelines.ablate",
        title=title,
        version=__version__,
        names=tables.titles(results),
        summary=tables.summary_table(results),
        ablations=[_sections(result) for result in results],
    )


def _sections(result: AblationResult) -> dict[str, Any]:
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
        "scores": tables.score_table(result),
        "differences": difference_table(result),
        "curves": draw_curves(result),
        "costs": tables.cost_table(result),
        "charts": draw_scatters(result),
        "failures": result.failures,
        "conditions": conditions(result),
        "notes": notes(result),
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
