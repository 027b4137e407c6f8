"""The drawn parts of an ablation's page: differences on intervals, curves, quality against size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from srcli.pipelines.ablate import tables
from srcli.pipelines.ablate.curves import Line, curves_svg, legend, style_of
from srcli.pipelines.ablate.statistics import difference, spread
from srcli.pipelines.ablate.tables import many
from srcli.pipelines.evaluate.sections import note, scroll
from srcli.pipelines.evaluate.tables import number, short
from srcli.report import charts
from srcli.report.axis import linear_axis
from srcli.report.page import Markup, element, join
from srcli.report.scatter import Point, scatter_svg

if TYPE_CHECKING:
    from srcli.pipelines.ablate.results import AblationResult

HELD_OUT = "held-out"
"""What the training calls the pictures that choose its weights."""


def differences(result: AblationResult) -> Markup | None:
    """Draw the difference of every variant to the base on its interval; None without any."""
    names = [v.variant.name for v in result.variants if v.variant.name != result.ablation.base]
    found = {
        (dataset, name): each
        for dataset in result.conditions.sets
        for name in names
        if (each := difference(result, name, dataset)) is not None
    }
    if not found:
        return None
    ends = (v for each in found.values() for v in (each.mean, each.low, each.high))
    axis = linear_axis(ends, zero=True)
    head = element(
        "tr",
        element("th", "PSNR dB", scope="col"),
        element("th", "to base", scope="col", class_="number"),
        element("td", charts.ticks_svg(axis), class_="plot"),
    )
    bodies = []
    for dataset in dict.fromkeys(dataset for dataset, _ in found):
        own = {name: each for (other, name), each in found.items() if other == dataset}
        counts = sorted({(each.seeds, each.pictures) for each in own.values()})
        sizes = " or ".join(f"{many(s, 'seed')}, {many(p, 'picture')}" for s, p in counts)
        title = element("th", element("span", f"{dataset}, {sizes}"), scope="rowgroup", colspan=3)
        lines = [element("tr", title, class_="group")]
        for name, each in own.items():
            colour = charts.colour_of(_place(result, name))
            drawn = charts.interval_svg(axis, each.mean, each.low, each.high)
            lines.append(
                element(
                    "tr",
                    element("th", name, scope="row"),
                    element("td", tables.interval_text(each), class_="number"),
                    element("td", drawn, class_=f"plot {colour}"),
                )
            )
        bodies.append(element("tbody", *lines))
    table = element("table", element("thead", head), *bodies, class_="forest")
    text = (
        f"Mean over seeds and pictures of a variant minus {result.ablation.base}; right is better. "
        "The line is the 95 % interval; a hollow dot: it holds zero, or is not known."
    )
    return join(scroll(table, f"Differences to {result.ablation.base}"), note(text))


def curves(result: AblationResult) -> Markup | None:
    """Draw PSNR against iterations, on the first set that was validated on; None without any."""
    dataset = _validated(result)
    if dataset is None:
        return None
    lines, names, ends = [], [], []
    for index, each in enumerate(result.variants):
        own = [(seed.seed, seed.curves[dataset]) for seed in each.seeds if dataset in seed.curves]
        for count, (seed, points) in enumerate(own):
            title = f"{each.variant.name}, seed {seed}: {points[-1][1]:.3f} dB at the end"
            style = style_of(index)
            lines.append(Line(points=points, style=style, title=title, again=count > 0))
            ends.append(title)
        if own:
            names.append((each.variant.name, style_of(index)))
    label = f"PSNR-Y on {dataset} against iterations: {'; '.join(ends)}"
    caption = element("figcaption", f"{dataset}: PSNR-Y dB of the averaged weights")
    drawn = element(
        "figure", caption, legend(names), curves_svg(lines, label=label), class_="chart"
    )
    text = "One line for each training, further seeds faint; early values below the axis are cut."
    return join(drawn, note(text))


def scatters(result: AblationResult) -> Markup | None:
    """Draw PSNR against parameters on every set; None where variants do not differ in size."""
    counts = {v.variant.name: v.cost.parameters for v in result.variants if v.cost}
    if len(set(counts.values())) < 2:
        return None
    figures = []
    for dataset in result.conditions.sets:
        points = []
        for index, each in enumerate(result.variants):
            name = each.variant.name
            found = spread(each.measured(dataset), "psnr")
            if found is None or name not in counts or not math.isfinite(found.mean):
                continue
            value = number(found.mean, 3)
            points.append(
                Point(
                    label=name,
                    parameters=counts[name],
                    value=found.mean,
                    colour=charts.colour_of(index),
                    title=f"{name}: {value}, {short(counts[name])} parameters",
                )
            )
        if len(points) < 2:
            continue
        label = f"PSNR dB on {dataset} against parameters: " + "; ".join(p.title for p in points)
        caption = element("figcaption", f"{dataset}: PSNR dB against parameters")
        figures.append(element("figure", caption, scatter_svg(points, label=label), class_="chart"))
    return element("div", *figures, class_="pair charts") if figures else None


def _validated(result: AblationResult) -> str | None:
    seen = {name for v in result.variants for seed in v.seeds for name in seed.curves}
    wanted = (*result.conditions.sets, HELD_OUT)
    return next((name for name in wanted if name in seen), None)


def _place(result: AblationResult, name: str) -> int:
    return next(i for i, each in enumerate(result.variants) if each.variant.name == name)
