"""The parts of the HTML page that are about means: scores, differences, costs of one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.evaluation.scores import METRICS
from srcli.pipelines.evaluate import tables
from srcli.pipelines.evaluate.tables import short
from srcli.report import charts
from srcli.report.axis import linear_axis
from srcli.report.page import Markup, element, join
from srcli.report.scatter import Point, scatter_svg

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from srcli.evaluation.scores import Evaluation
    from srcli.evaluation.statistics import Difference
    from srcli.pipelines.evaluate.tables import Row, Table


def scores(evaluation: Evaluation, scale: int) -> Markup:
    """Write the means of every set, the best of them marked, with published rows below."""
    table = tables.score_table(evaluation, scale)
    notes = ["Means over the pictures of a set."]
    if any(row.best for row in table.rows):
        notes.append("Bold: the best of a set, by the digits shown.")
    if any(mean.pictures < mean.of for mean in evaluation.means(scale)):
        notes.append("A mean over fewer than all pictures of a set does not compete.")
    if any(row.source for row in table.rows):
        notes.append(
            "Rows in italics were not measured here: they stand as their source printed them."
        )
    return join(_table(table, f"Scores at ×{scale}", "model"), note(*notes))


def differences(evaluation: Evaluation, scale: int) -> Markup | None:
    """Draw every difference to the first model on its interval, one table a metric."""
    own = [each for each in evaluation.differences if each.scale == scale]
    if not own:
        return None
    drawn = [
        _forest(evaluation, [each for each in own if each.metric == name], name)
        for name in evaluation.metrics
        if any(each.metric == name for each in own)
    ]
    notes = [f"Mean over pictures of a model minus {evaluation.models[0]}; right is better."]
    if any(tables.interval(each) for each in own):
        notes.append("The line is the 95 % bootstrap interval over pictures.")
        if not all(each.clear for each in own):
            notes.append(
                "A hollow dot: it holds zero, or one picture is too few for it; these pictures do "
                "not tell the models apart."
            )
    longest = max(len(each.model) for each in own)
    return join(element("div", *drawn, class_="pair" if longest <= 24 else "stack"), note(*notes))


def costs(evaluation: Evaluation, scale: int) -> Markup | None:
    """Write what models cost, and draw their quality against their parameters."""
    table = tables.cost_table(evaluation, scale)
    if not table.rows:
        return None
    scatters = [
        scatter
        for dataset in tables.sets_of(evaluation, scale)
        if (scatter := _scatter(evaluation, scale, dataset)) is not None
    ]
    parts = [_table(table, f"Costs at ×{scale}", "model"), note(tables.COST_NOTE)]
    if scatters:
        parts.append(element("div", *scatters, class_="pair charts"))
    return join(*parts)


def lead_metric(evaluation: Evaluation) -> str:
    """Return the metric that charts show: PSNR, or the first where it was not measured."""
    return "psnr" if "psnr" in evaluation.metrics else evaluation.metrics[0]


def scroll(table: Markup, label: str) -> Markup:
    """Let a wide table scroll by itself, by keyboard too, so that the page never does."""
    return element("div", table, class_="scroll", role="region", aria_label=label, tabindex=0)


def note(*sentences: str) -> Markup:
    """Write what a reader of the part above should know, quietly."""
    return element("p", " ".join(sentences), class_="note")


def colour_of(evaluation: Evaluation, model: str) -> str:
    """Return the class of a model's colour; the quiet gray is for a first model among several."""
    place = evaluation.models.index(model)
    return charts.colour_of(place if len(evaluation.models) > 1 else 1)


def _table(table: Table, label: str, first: str) -> Markup:
    head = element(
        "tr",
        element("th", first, scope="col"),
        *(element("th", heading, scope="col", class_="number") for heading in table.headings),
    )
    bodies = [
        element("tbody", *_group_head(group, 1 + len(table.headings)), *map(_row, rows))
        for group, rows in _groups(table.rows)
    ]
    return scroll(element("table", element("thead", head), *bodies), label)


def _groups(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.group, []).append(row)
    yield from found.items()


def _group_head(group: str, columns: int) -> list[Markup]:
    if not group:
        return []
    head = element("th", element("span", group), scope="rowgroup", colspan=columns)
    return [element("tr", head, class_="group")]


def _row(row: Row) -> Markup:
    label = [row.label]
    if row.source is not None:
        label += [" ", element("small", row.source)]
    cells = [
        element("td", element("strong", cell), class_="number best")
        if i in row.best
        else element("td", cell, class_="number")
        for i, cell in enumerate(row.cells)
    ]
    return element(
        "tr",
        element("th", *label, scope="row"),
        *cells,
        class_=None if row.source is None else "printed",
    )


def _forest(evaluation: Evaluation, own: list[Difference], name: str) -> Markup:
    axis = linear_axis((v for each in own for v in (each.mean, each.low, each.high)), zero=True)
    metric = METRICS[name]
    head = element(
        "tr",
        element("th", metric.heading, scope="col"),
        element("th", "difference", scope="col", class_="number"),
        element("td", charts.ticks_svg(axis), class_="plot"),
    )
    bodies = []
    for dataset in dict.fromkeys(each.dataset for each in own):
        rows = [each for each in own if each.dataset == dataset]
        counts = " or ".join(map(str, sorted({each.pictures for each in rows})))
        lines = _group_head(f"{dataset}, {counts} picture{'' if counts == '1' else 's'}", 3)
        for each in rows:
            value = element("b", tables.number(each.mean, metric.digits, sign=True))
            numbers = [value, " ", element("small", tables.interval(each))]
            colour = colour_of(evaluation, each.model)
            drawn = charts.interval_svg(axis, each.mean, each.low, each.high)
            lines.append(
                element(
                    "tr",
                    element("th", each.model, scope="row"),
                    element("td", *numbers, class_="number"),
                    element("td", drawn, class_=f"plot {colour}"),
                )
            )
        bodies.append(element("tbody", *lines))
    table = element("table", element("thead", head), *bodies, class_="forest")
    return scroll(table, f"Differences in {metric.heading}")


def _scatter(evaluation: Evaluation, scale: int, dataset: str) -> Markup | None:
    """Draw one set; None where fewer than two methods have parameters."""
    name = lead_metric(evaluation)
    parameters = {c.model: c.parameters for c in evaluation.costs if c.scale == scale}
    points = []
    for mean in evaluation.means(scale, dataset):
        if mean.model in parameters and mean.pictures == mean.of:
            value = tables.metric_value(mean.values, name)
            count = parameters[mean.model]
            points.append(
                Point(
                    label=mean.model,
                    parameters=count,
                    value=mean.values[name],
                    colour=colour_of(evaluation, mean.model),
                    title=f"{mean.model}: {value}, {short(count)} parameters",
                )
            )
    points += [
        Point(
            label=row.method,
            parameters=row.parameters * 1000,
            value=row.values[name],
            colour="c0",
            title=f"{row.method}: {row.values[name]}, {short(row.parameters * 1000)} parameters, "
            f"as printed in {row.source}",
            printed=True,
        )
        for row in evaluation.published
        if (row.scale, row.dataset) == (scale, dataset) and row.parameters and name in row.values
    ]
    if sum(point.parameters > 0 for point in points) < 2:
        return None
    heading = METRICS[name].heading
    label = f"{heading} on {dataset} against parameters: " + "; ".join(p.title for p in points)
    hollow = "; hollow: as printed by its source" if any(p.printed for p in points) else ""
    drawn = scatter_svg(points, label=label)
    caption = element("figcaption", f"{dataset}: {heading} against parameters{hollow}")
    return element("figure", caption, drawn, class_="chart")
