"""An evaluation for people: tables, the Markdown made of them, and a page.

The page is one file that needs nothing else: no network and no second file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from srcli.evaluation.scores import METRICS
from srcli.metrics.fidelity import LUMA_FLOAT
from srcli.recipes.published import name_key
from srcli.report.page import image_uri, render_page
from srcli.report.table import (
    NOTHING,
    Row,
    Table,
    best_of,
    columns_of,
    cost_tables,
    decimals,
    ends_text,
    number,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from srcli.evaluation.scores import Evaluation, Failure
    from srcli.pipelines.evaluate.crops import Comparison
    from srcli.recipes.published import PublishedRow

LEAST_DIGITS = {"psnr": 2, "ssim": 3}
"""Of printed values, where the rows at hand happen to end on a zero."""


def score_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate the means of every model on every set, published rows of the same set below them.

    Published rows of another protocol are marked as not comparable. A model that no picture of a
    set was measured with has a row of dashes. Only means over all pictures of a set can be its
    best.
    """
    rows: list[Row] = []
    for dataset in evaluation.sets(scale):
        means = {mean.model: mean for mean in evaluation.means(scale, dataset)}
        best = {
            name: best_of(
                {m.model: m.values[name] for m in means.values() if m.pictures == m.of},
                METRICS[name].digits,
                lowest=METRICS[name].lower_is_better,
            )
            for name in evaluation.metrics
        }
        for model in evaluation.models:
            mean = means.get(model)
            values = mean.values if mean else {}
            count = f"{mean.pictures if mean else 0} of {evaluation.sizes[scale, dataset]}"
            seconds = number(mean.seconds if mean else None, 3)
            cells = (model, count, *_texts(evaluation, values), seconds)
            marked = frozenset(METRICS[name].heading for name in best if model in best[name])
            rows.append(Row(cells=cells, group=dataset, best=marked))
        rows += [
            _published_row(evaluation, row)
            for row in evaluation.published
            if (row.scale, row.dataset) == (scale, dataset)
        ]
    return Table(
        title=f"x{scale}",
        group_heading="set",
        columns=columns_of(("model",), ("pictures", *_headings(evaluation), "s/picture")),
        rows=tuple(rows),
        notes=tuple(
            f"{mean.model} is below bicubic interpolation on {mean.dataset}, "
            f"{mean.values['psnr']:.2f} dB against {mean.bicubic:.2f}: a model for other pictures, "
            "or one trained to look sharp, can be; else something is wrong, such as its weights, "
            "its range of values, or a shift of its pictures."
            for mean in evaluation.below_bicubic(scale)
        ),
    )


def difference_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate differences to the first model with their intervals, a line for each metric."""
    rows = []
    for each in evaluation.differences:
        if each["scale"] == scale:
            metric = METRICS[each["metric"]]
            mean = number(each["mean"], metric.digits, sign=True)
            ends = ends_text(each["low"], each["high"], metric.digits) or NOTHING
            cells = (each["model"], metric.heading, each["pictures"], mean, ends)
            rows.append(Row(cells=cells, group=each["dataset"]))
    headings = ("metric", "pictures", "difference", "95 % interval")
    return Table(
        title=f"x{scale}, difference to {evaluation.models[0]}",
        group_heading="set",
        columns=columns_of(("model",), headings),
        rows=tuple(rows),
    )


def scale_tables(evaluation: Evaluation, scale: int) -> list[Table]:
    """Return the tables of one scale: scores, differences, costs, printed costs."""
    costs = cost_tables(evaluation.costs, evaluation.published_costs, scale)
    return [score_table(evaluation, scale), difference_table(evaluation, scale), *costs]


def picture_table(evaluation: Evaluation, scale: int, cards: Sequence[Comparison] = ()) -> Table:
    """Tabulate every picture under every model, linked to its card; below each set the medians."""
    link = Markup('<a href="#crop-x{}-{}">{}</a>').format
    names = [f"{card.dataset}/{card.picture}" for card in cards]
    links = {name: link(scale, place, name) for place, name in enumerate(names)}
    rows: list[Row] = []

    def add(group: str, model: str, values: dict[str, float]) -> None:
        cells = (model, *_texts(evaluation, values))
        rows.append(Row(cells=cells, group=links.get(group, group)))

    for dataset in evaluation.sets(scale):
        for each in sorted(evaluation.of(scale, dataset), key=lambda score: score.picture):
            add(f"{dataset}/{each.picture}", each.model, each.values)
        for mean in evaluation.means(scale, dataset):
            add(f"{dataset}, median", mean.model, mean.medians)
    return Table(
        title=f"x{scale}, pictures",
        group_heading="picture",
        columns=columns_of(("model",), _headings(evaluation)),
        rows=tuple(rows),
    )


def failure_line(failure: Failure) -> str:
    """Return which picture failed, for which model."""
    model = failure.model or "every model"
    return f"{failure.dataset}/{failure.picture} ×{failure.scale}, {model}"


def evaluation_report(evaluation: Evaluation, *, full: bool = True) -> Iterator[Table | str]:
    """Yield the tables of every scale, then the protocol; in full also pictures and failures."""
    for scale in evaluation.scales:
        yield from scale_tables(evaluation, scale)
        if full:
            yield picture_table(evaluation, scale)
    yield evaluation.chain
    for failure in evaluation.failures if full else ():
        yield f"Not measured: {failure_line(failure)}: {failure.reason}"


def _headings(evaluation: Evaluation) -> list[str]:
    return [METRICS[name].heading for name in evaluation.metrics]


def _texts(evaluation: Evaluation, values: Mapping[str, float]) -> list[str]:
    """Return a value of each metric in its digits."""
    return [number(values.get(name), METRICS[name].digits) for name in evaluation.metrics]


def _published_row(evaluation: Evaluation, row: PublishedRow) -> Row:
    metrics = []
    for name in evaluation.metrics:
        # 32.2 was printed 32.20: a source has the digits of its longest value.
        values = [
            other.values[name]
            for other in evaluation.published
            if other.source == row.source and name in other.values
        ]
        digits = decimals(values, LEAST_DIGITS.get(name, 0))
        metrics.append(number(row.values.get(name), digits))
    # "G-IDRN" is our "g-idrn": naming both would only be longer.
    same = row.model if row.model and name_key(row.model) != name_key(row.method) else None
    protocol = f"protocol: {row.protocol}" if row.protocol else ""
    kind, hint = "printed", ""
    if row.preset != evaluation.protocol.name:
        kind = "not comparable"
        option = "chain" if row.preset == LUMA_FLOAT.name else "protocol"
        hint = f"comparable by --{option} {row.preset}" if row.preset else ""
    return Row(
        cells=(f"{row.method} ({same})" if same else row.method, kind, *metrics, None),
        group=row.dataset,
        source="; ".join(filter(None, (row.source, protocol, hint, row.note))),
    )


def evaluation_page(evaluation: Evaluation, comparisons: Sequence[Comparison]) -> str:
    """Return an evaluation as a page; the same evaluation gives the same characters.

    A policy inside the page forbids it to load anything, and to run any script but its own, which
    enlarges a crop and flips between models; the page is complete without it.

    The crops are shown as they are, of as many pictures as are given.
    """
    sizes: dict[str, dict[int, None]] = {}
    for (_, dataset), size in evaluation.sizes.items():
        sizes.setdefault(dataset, {})[size] = None
    return render_page(
        "srcli.pipelines.evaluate",
        title="Super-resolution side by side",
        script="page.js",
        evaluation=evaluation,
        pictures=", ".join(f"{n} ({' or '.join(map(str, own))})" for n, own in sizes.items()),
        comparisons=comparisons,
        psnr_digits=METRICS["psnr"].digits,
        scale_tables=scale_tables,
        picture_table=picture_table,
        best_of=best_of,
        number=number,
        image_uri=image_uri,
        failures=[(failure_line(each), each.reason) for each in evaluation.failures],
        metrics=[METRICS[name] for name in evaluation.metrics],
        intervals=any(ends_text(each["low"], each["high"], 0) for each in evaluation.differences),
    )
