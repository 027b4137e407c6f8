"""An evaluation as one HTML file that needs nothing else: no network and no second file."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from PIL import Image

from srcli import __version__
from srcli.evaluation.scores import METRICS
from srcli.pipelines.evaluate import tables
from srcli.report.charts import Point, scatter_chart
from srcli.report.page import (
    Bar,
    axis_of,
    bar_marks,
    colour_of,
    interval_table,
    plot_column,
    render_page,
)
from srcli.report.printed_costs import printed_cost_table
from srcli.report.table import Column, Row, Table, best_of, ends_text, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from srcli.evaluation.scores import Evaluation
    from srcli.evaluation.statistics import Difference
    from srcli.pipelines.evaluate.crops import Comparison

    Values = dict[str, Any]
    """For a template."""


def evaluation_page(evaluation: Evaluation, comparisons: Sequence[Comparison]) -> str:
    """Return an evaluation as a page; the same evaluation gives the same characters.

    A policy inside the page forbids it to load anything, and to run any script but its own, which
    enlarges a crop and flips between models; the page is complete without it.

    The crops are shown as they are, of as many pictures as are given.
    """
    anchors = {(c.scale, c.dataset, c.picture): f"crop-{i}" for i, c in enumerate(comparisons)}
    sizes: dict[str, dict[int, None]] = {}
    for (_, dataset), size in evaluation.sizes.items():
        sizes.setdefault(dataset, {})[size] = None
    cards = [
        _card(c, evaluation, anchor)
        for c, anchor in zip(comparisons, anchors.values(), strict=True)
    ]
    return render_page(
        "srcli.pipelines.evaluate",
        title="Super-resolution side by side",
        version=__version__,
        script="page.js",
        evaluation=evaluation,
        pictures=", ".join(f"{n} ({' or '.join(map(str, own))})" for n, own in sizes.items()),
        scales=[
            _scale(evaluation, scale, anchors)
            | {"cards": [c for c in cards if c["scale"] == scale]}
            for scale in evaluation.scales
        ],
        failures=[(tables.failure_line(each), each.reason) for each in evaluation.failures],
        metrics=[METRICS[name] for name in evaluation.metrics],
        intervals=any(ends_text(each, 0) for each in evaluation.differences),
    )


def model_colour(evaluation: Evaluation, model: str) -> str:
    """Return the class of a model's colour; the quiet gray is for a first model among several."""
    place = evaluation.models.index(model)
    return colour_of(place if len(evaluation.models) > 1 else 1)


def lead_metric(evaluation: Evaluation) -> str:
    """Return the metric that charts show: PSNR, or the first where it was not measured."""
    return "psnr" if "psnr" in evaluation.metrics else evaluation.metrics[0]


def chart_metrics(evaluation: Evaluation) -> list[str]:
    """Return the metrics that are drawn against parameters: the leading one, and SSIM."""
    also = [name for name in ("ssim",) if name in evaluation.metrics]
    return list(dict.fromkeys((lead_metric(evaluation), *also)))


def _scale(
    evaluation: Evaluation, scale: int, anchors: Mapping[tuple[int, str, str], str]
) -> Values:
    """Return everything of one scale for the template."""
    differences = [each for each in evaluation.differences if each.scale == scale]
    sets = tables.sets_of(evaluation, scale)
    return {
        "factor": scale,
        "scores": tables.score_table(evaluation, scale),
        "partial": any(mean.pictures < mean.of for mean in evaluation.means(scale)),
        "differences": [
            _difference_table([each for each in differences if each.metric == name], evaluation)
            for name in evaluation.metrics
            if any(each.metric == name for each in differences)
        ],
        "wide": max((len(each.model) for each in differences), default=0) > 24,
        "intervals": any(ends_text(each, 0) for each in differences),
        "unclear": not all(each.clear for each in differences),
        "costs": tables.cost_table(evaluation, scale),
        "printed": printed_cost_table(evaluation.published_costs, evaluation.costs, scale),
        "charts": [
            chart
            for dataset in sets
            for name in chart_metrics(evaluation)
            if (chart := _scatter(evaluation, scale, dataset, name))
        ],
        "pictures": [
            _picture_table(evaluation, scale, dataset, anchors)
            for dataset in sets
            if evaluation.of(scale, dataset)
        ],
        "lead": METRICS[lead_metric(evaluation)].heading,
        "legend": [(m, model_colour(evaluation, m)) for m in evaluation.models[1:]],
    }


def _difference_table(own: Sequence[Difference], evaluation: Evaluation) -> Table:
    """Tabulate the differences in one metric, each drawn on its interval."""
    metric = METRICS[own[0].metric]
    entries = []
    for each in own:
        counts = sorted({other.pictures for other in own if other.dataset == each.dataset})
        count = " or ".join(map(str, counts))
        group = f"{each.dataset}, {count} picture{'' if count == '1' else 's'}"
        entries.append((group, each.model, model_colour(evaluation, each.model), each))
    headings = (metric.heading, "difference")
    title = f"Differences in {metric.heading}"
    return interval_table(entries, headings, digits=metric.digits, title=title)


def _scatter(
    evaluation: Evaluation, scale: int, dataset: str, name: str
) -> tuple[Markup, str] | None:
    """Draw a metric on one set, with a caption; None for fewer than two methods with parameters."""
    parameters = {c.model: c.parameters for c in evaluation.costs if c.scale == scale}
    points = [
        Point(
            label=mean.model,
            parameters=parameters[mean.model],
            value=mean.values[name],
            text=number(mean.values[name], METRICS[name].digits),
            colour=model_colour(evaluation, mean.model),
        )
        for mean in evaluation.means(scale, dataset)
        if mean.model in parameters and mean.pictures == mean.of
    ]
    points += [
        Point(
            label=row.method,
            parameters=row.parameters * 1000,
            value=row.values[name],
            text=str(row.values[name]),
            colour="c0",
            source=row.source,
        )
        for row in evaluation.published
        if (row.scale, row.dataset, row.preset) == (scale, dataset, evaluation.protocol.name)
        and row.parameters
        and name in row.values
    ]
    if sum(point.parameters > 0 for point in points) < 2:
        return None
    caption = f"{METRICS[name].heading} on {dataset} against parameters"
    hollow = "; hollow: as printed by its source" if any(p.source for p in points) else ""
    return scatter_chart(points, caption), caption + hollow


def _picture_table(
    evaluation: Evaluation,
    scale: int,
    dataset: str,
    anchors: Mapping[tuple[int, str, str], str],
) -> Table:
    """Tabulate one set: a line for every picture, with bars and the value of every model."""
    name = lead_metric(evaluation)
    digits = METRICS[name].digits
    by_picture: dict[str, dict[str, float]] = {}
    for score in evaluation.of(scale, dataset):
        if name in score.values:
            by_picture.setdefault(score.picture, {})[score.model] = score.values[name]
    bars = {picture: _bars(evaluation, values) for picture, values in by_picture.items()}
    axis = axis_of(bar.value for own in bars.values() for bar in own)
    rows = []
    for picture, values in by_picture.items():
        anchor = anchors.get((scale, dataset, picture))
        link = Markup('<a href="#{}">{}</a>').format(anchor, picture) if anchor else picture
        drawn = bar_marks(axis, bars[picture])
        best = frozenset(best_of(values, digits))
        rows.append(Row(cells=(link, drawn, *map(values.get, evaluation.models)), best=best))
    values_of = (Column(model, digits=digits) for model in evaluation.models)
    return Table(
        title=f"Pictures of {dataset}",
        columns=(Column(dataset, "text"), plot_column(axis), *values_of),
        rows=tuple(rows),
    )


def _bars(evaluation: Evaluation, values: Mapping[str, float]) -> list[Bar]:
    """Return bars of a picture: differences to the first model, or the values of the only one."""
    first, *others = evaluation.models
    digits = METRICS[lead_metric(evaluation)].digits
    found = []
    for model in others or [first]:
        value = values.get(model, float("nan"))
        if others:
            value -= values.get(first, float("nan"))
        title = f"{model}: {number(value, digits, sign=bool(others))}"
        found.append(Bar(value=value, colour=model_colour(evaluation, model), title=title))
    return found


def _card(comparison: Comparison, evaluation: Evaluation, anchor: str) -> Values:
    """Return one picture for the template: HR, LR and the crop of every model."""
    digits = METRICS["psnr"].digits
    best = best_of(comparison.psnr, digits)
    crops = [
        ("HR", "original", data_uri(comparison.hr)),
        ("LR", f"1/{comparison.scale}, enlarged as it is", data_uri(comparison.lr)),
    ]
    for model in dict.fromkeys((*evaluation.models, *comparison.sr)):
        made = comparison.sr.get(model)
        text = f"{number(comparison.psnr.get(model), digits)} dB"
        crops.append((model, text, "" if made is None else data_uri(made)))
    return {
        "scale": comparison.scale,
        "anchor": anchor,
        "picture": comparison,
        "overview": data_uri(comparison.overview, lossless=False),
        "crops": crops,
        "best": best,
    }


def data_uri(picture: NDArray[Any], *, lossless: bool = True) -> str:
    """Return a picture (H, W, 3) uint8 as a PNG inside a URI, or as a JPEG where that will do."""
    stream = io.BytesIO()
    kind = "png" if lossless else "jpeg"
    Image.fromarray(picture).save(stream, format=kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
