"""The part of the HTML page that has a line for every picture, with bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.evaluation.scores import METRICS
from srcli.pipelines.evaluate import tables
from srcli.pipelines.evaluate.sections import colour_of, lead_metric, note, scroll
from srcli.report import charts
from srcli.report.axis import linear_axis
from srcli.report.page import Markup, element, join

if TYPE_CHECKING:
    from collections.abc import Mapping

    from srcli.evaluation.scores import Evaluation


def pictures(evaluation: Evaluation, scale: int, anchors: Mapping[tuple[str, str], str]) -> Markup:
    """Write a line for every picture: bars, and the value of every model.

    Args:
        evaluation: The scores.
        scale: Which of them.
        anchors: Id of a picture's crops, by set and picture, for those that have any.
    """
    name = lead_metric(evaluation)
    several = len(evaluation.models) > 1
    parts = [
        _picture_table(evaluation, scale, dataset, anchors)
        for dataset in tables.sets_of(evaluation, scale)
        if evaluation.of(scale, dataset)
    ]
    what = f"{METRICS[name].heading} of every picture."
    bars = f"Bars: the difference to {evaluation.models[0]}." if several else "Bars start at zero."
    legend = [_swatch(evaluation, model) for model in evaluation.models[1:]]
    return join(element("p", *legend, class_="legend") if several else "", *parts, note(what, bars))


def _picture_table(
    evaluation: Evaluation, scale: int, dataset: str, anchors: Mapping[tuple[str, str], str]
) -> Markup:
    name = lead_metric(evaluation)
    metric = METRICS[name]
    by_picture: dict[str, dict[str, float]] = {}
    for score in evaluation.of(scale, dataset):
        if name in score.values:
            by_picture.setdefault(score.picture, {})[score.model] = score.values[name]
    drawn = {picture: _bars(evaluation, values) for picture, values in by_picture.items()}
    axis = linear_axis((bar.value for bars in drawn.values() for bar in bars), zero=True)
    head = element(
        "tr",
        element("th", dataset, scope="col"),
        element("td", charts.ticks_svg(axis), class_="plot"),
        *(element("th", m, scope="col", class_="number") for m in evaluation.models),
    )
    rows = []
    for picture, values in by_picture.items():
        best = tables.best_pictures(values, metric.digits)
        anchor = anchors.get((dataset, picture))
        link = element("a", picture, href=f"#{anchor}") if anchor else picture
        cells = [
            element("td", element("strong", text), class_="number best")
            if model in best
            else element("td", text, class_="number")
            for model in evaluation.models
            for text in [tables.number(values.get(model), metric.digits)]
        ]
        plot = element("td", charts.bars_svg(axis, drawn[picture]), class_="plot")
        rows.append(element("tr", element("th", link, scope="row"), plot, *cells))
    table = element("table", element("thead", head), element("tbody", *rows), class_="pictures")
    return scroll(table, f"Pictures of {dataset}")


def _bars(evaluation: Evaluation, values: Mapping[str, float]) -> list[charts.Bar]:
    """Bars of a picture: differences to the first model, or the values of the only one."""
    first, *others = evaluation.models
    digits = METRICS[lead_metric(evaluation)].digits
    found = []
    for model in others or [first]:
        value = values.get(model, float("nan"))
        if others:
            value -= values.get(first, float("nan"))
        text = tables.number(value, digits, sign=bool(others))
        found.append(
            charts.Bar(value=value, colour=colour_of(evaluation, model), title=f"{model}: {text}")
        )
    return found


def _swatch(evaluation: Evaluation, model: str) -> Markup:
    colour = colour_of(evaluation, model)
    return element("span", element("i", class_=f"swatch {colour}"), model)
