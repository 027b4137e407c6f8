"""An evaluation as one HTML file that needs nothing else: no network and no second file."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from PIL import Image

from srcli import __version__
from srcli.evaluation.scores import METRICS
from srcli.pipelines.evaluate import tables
from srcli.report.page import chart_name, data_uri, draw_chart, interval_chart, render_page
from srcli.report.table import best_of, ends_text, number, plural, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from srcli.evaluation.scores import Evaluation
    from srcli.pipelines.evaluate.crops import Comparison

    Values = dict[str, Any]
    """For a template."""


def evaluation_page(evaluation: Evaluation, comparisons: Sequence[Comparison]) -> str:
    """Return an evaluation as a page; the same evaluation gives the same characters.

    A policy inside the page forbids it to load anything, and to run any script but its own, which
    enlarges a crop and flips between models; the page is complete without it.

    The crops are shown as they are, of as many pictures as are given.
    """
    sizes: dict[str, dict[int, None]] = {}
    for (_, dataset), size in evaluation.sizes.items():
        sizes.setdefault(dataset, {})[size] = None
    cards = [_card(each, evaluation, f"crop-{i}") for i, each in enumerate(comparisons)]
    return render_page(
        "srcli.pipelines.evaluate",
        title="Super-resolution side by side",
        version=__version__,
        script="page.js",
        evaluation=evaluation,
        pictures=", ".join(f"{n} ({' or '.join(map(str, own))})" for n, own in sizes.items()),
        scales=[
            _scale(evaluation, scale, [c for c in cards if c["scale"] == scale])
            for scale in evaluation.scales
        ],
        failures=[(tables.failure_line(each), each.reason) for each in evaluation.failures],
        metrics=[METRICS[name] for name in evaluation.metrics],
        intervals=any(ends_text(each.low, each.high, 0) for each in evaluation.differences),
    )


def _scale(evaluation: Evaluation, scale: int, cards: list[Values]) -> Values:
    """Return everything of one scale for the template."""
    links = {
        card["name"]: Markup('<a href="#{}">{}</a>').format(card["anchor"], card["name"])
        for card in cards
    }
    pictures = tables.picture_table(evaluation, scale)
    rows = tuple(replace(row, group=links.get(row.group, row.group)) for row in pictures.rows)
    return {
        "factor": scale,
        "scores": tables.score_table(evaluation, scale),
        "differences": tables.difference_table(evaluation, scale),
        "costs": tables.cost_table(evaluation, scale),
        "printed": tables.published_costs_table(evaluation, scale),
        "pictures": replace(pictures, rows=rows),
        "difference_charts": list(_difference_charts(evaluation, scale)),
        "cost_charts": list(_cost_charts(evaluation, scale)),
        "cards": cards,
    }


def _difference_charts(evaluation: Evaluation, scale: int) -> Iterator[Markup]:
    """Draw the differences to the first model with their intervals, a chart for each metric."""
    for name in evaluation.metrics:
        own = [d for d in evaluation.differences if (d.scale, d.metric) == (scale, name)]
        rows = [
            (f"{d.dataset}, {plural(d.pictures, 'picture')}: {d.model}", d.mean, d.low, d.high)
            for d in own
        ]
        if rows:
            heading = f"{METRICS[name].heading} against {evaluation.models[0]}"
            yield interval_chart(rows, heading, METRICS[name].digits)


def _cost_charts(evaluation: Evaluation, scale: int) -> Iterator[Markup]:
    """Draw PSNR, or the first metric, and SSIM against parameters on every set.

    A set has none unless two methods with parameters were measured, or printed for its protocol.
    """
    lead = "psnr" if "psnr" in evaluation.metrics else evaluation.metrics[0]
    names = dict.fromkeys(name for name in (lead, "ssim") if name in evaluation.metrics)
    parameters = {c.model: c.parameters for c in evaluation.costs if c.scale == scale}
    for dataset in evaluation.sets(scale):
        for name in names:
            measured = [
                (mean.model, parameters[mean.model], mean.values[name])
                for mean in evaluation.means(scale, dataset)
                if mean.model in parameters and mean.pictures == mean.of
                if math.isfinite(mean.values[name])
            ]
            own = (scale, dataset, evaluation.protocol.name)
            printed = [
                (row.method, 1000 * row.parameters, row.values[name])
                for row in evaluation.published
                if row.parameters and name in row.values
                if (row.scale, row.dataset, row.preset) == own
            ]
            if sum(count > 0 for _, count, _ in (*measured, *printed)) > 1:
                yield _cost_chart(METRICS[name].heading, dataset, measured, printed)


def _cost_chart(
    heading: str,
    dataset: str,
    measured: Sequence[tuple[str, float, float]],
    printed: Sequence[tuple[str, float, float]],
) -> Markup:
    """Draw methods, each (name, parameters, value); one without parameters is a level line."""

    def draw(axes: Axes) -> None:
        axes.set(xscale="log", xlabel="parameters", ylabel=heading)
        axes.set_title(chart_name(dataset), loc="left")
        for i, (name, count, value) in enumerate(measured):
            if count:
                axes.plot(count, value, "o", color=f"C{i}", label=chart_name(name))
            else:
                axes.axhline(value, ls="--", color=f"C{i}", label=chart_name(name))
        for name, count, value in printed:
            axes.plot(count, value, "o", color="gray", mfc="white", zorder=1)
            axes.annotate(
                chart_name(name), (count, value), xytext=(4, 3), textcoords="offset points",
                color="gray", fontsize=7, style="italic",
            )  # fmt: skip
        axes.legend(fontsize="small")
        axes.xaxis.set_major_formatter(lambda count, _: short(count))

    told = [
        f"{name}{note}: {value:g}, {short(count)} parameters"
        for note, methods in (("", measured), (" (printed)", printed))
        for name, count, value in methods
    ]
    return draw_chart(draw, f"{heading} on {dataset} against parameters: {'; '.join(told)}")


def _card(comparison: Comparison, evaluation: Evaluation, anchor: str) -> Values:
    """Return one picture for the template: HR, LR and the crop of every model."""
    digits = METRICS["psnr"].digits
    crops = [
        ("HR", "original", _image(comparison.hr)),
        ("LR", f"1/{comparison.scale}, enlarged as it is", _image(comparison.lr)),
    ]
    for model in dict.fromkeys((*evaluation.models, *comparison.sr)):
        made = comparison.sr.get(model)
        text = f"{number(comparison.psnr.get(model), digits)} dB"
        crops.append((model, text, "" if made is None else _image(made)))
    return {
        "scale": comparison.scale,
        "anchor": anchor,
        "name": f"{comparison.dataset}/{comparison.picture}",
        "picture": comparison,
        "overview": _image(comparison.overview, "jpeg"),
        "crops": crops,
        "best": best_of(comparison.psnr, digits),
    }


def _image(picture: NDArray[Any], kind: str = "png") -> str:
    """Return a picture (H, W, 3) uint8 inside a URI."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format=kind, quality=85)
    return data_uri(stream.getvalue(), kind)
