"""What every written form of an evaluation shows: the same tables, in the same printed digits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from srcli.evaluation.scores import METRICS

if TYPE_CHECKING:
    from srcli.evaluation.scores import Evaluation, Failure, MeanScore, ModelCost
    from srcli.evaluation.statistics import Difference
    from srcli.recipes.published import PublishedRow

NOTHING = "–"
"""Stands where there is no number."""
UNITS = ("", "K", "M", "G", "T")
LEAST_DIGITS = {"psnr": 2, "ssim": 3}
"""Of printed values, where the rows at hand happen to end on a zero."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table."""

    group: str
    """The set; empty where a table has no sets."""
    label: str
    """The model, or the method of a paper."""
    cells: tuple[str, ...]
    best: frozenset[int] = frozenset()
    """Cells that hold the best value of their set."""
    source: str | None = None
    """Where the row was printed, under which protocol; None for what was measured."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under headings; the columns of group and label have none."""

    headings: tuple[str, ...]
    rows: tuple[Row, ...]


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """Return a value in fixed digits; ``inf`` where pictures are equal, a dash for nothing."""
    if value is None or math.isnan(value):
        return NOTHING
    return f"{value:{'+' if sign else '-'}z.{digits}f}"


def metric_value(values: dict[str, float], name: str) -> str:
    """Return one metric in its own digits."""
    return number(values.get(name), METRICS[name].digits)


def short(value: float) -> str:
    """Return a count in four digits at most, with K, M, G or T for the powers of thousand."""
    unit = 0
    while abs(float(f"{value:.4g}")) >= 1000 and unit < len(UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{value:.4g} {UNITS[unit]}".strip()


def pictures_of(mean: MeanScore) -> str:
    """Return how many pictures of the set were measured."""
    return f"{mean.pictures} of {mean.of}"


def sets_of(evaluation: Evaluation, scale: int) -> list[str]:
    """Return the sets of a scale, in the order of measuring."""
    return [dataset for each, dataset in evaluation.sizes if each == scale]


def score_table(evaluation: Evaluation, scale: int) -> Table:
    """Means of every model on every set of a scale, published rows of the same set below them.

    A model that no picture of a set was measured with has a row of dashes. Seconds stand in the
    last column where any were taken.
    """
    headings = ("pictures", *(METRICS[name].heading for name in evaluation.metrics), "s/picture")
    rows: list[Row] = []
    for dataset in sets_of(evaluation, scale):
        means = {mean.model: mean for mean in evaluation.means(scale, dataset)}
        best = evaluation.best(scale, dataset)
        none = f"0 of {evaluation.sizes[scale, dataset]}"
        for model in evaluation.models:
            mean = means.get(model)
            values = mean.values if mean else {}
            metrics = [metric_value(values, name) for name in evaluation.metrics]
            seconds = number(mean.seconds if mean else None, 3)
            rows.append(
                Row(
                    group=dataset,
                    label=model,
                    cells=(pictures_of(mean) if mean else none, *metrics, seconds),
                    best=frozenset(
                        i + 1 for i, name in enumerate(evaluation.metrics) if model in best[name]
                    ),
                )
            )
        rows += [
            _published_row(evaluation, row)
            for row in evaluation.published
            if (row.scale, row.dataset) == (scale, dataset)
        ]
    if all(row.cells[-1] == NOTHING for row in rows):
        return Table(
            headings=headings[:-1],
            rows=tuple(replace(row, cells=row.cells[:-1]) for row in rows),
        )
    return Table(headings=headings, rows=tuple(rows))


def picture_table(evaluation: Evaluation, scale: int) -> Table:
    """Every picture under every model; below each set the medians."""
    rows = []
    for dataset in sets_of(evaluation, scale):
        scores = evaluation.of(scale, dataset)
        rows += [
            _value_row(evaluation, f"{dataset}/{each.picture}", each.model, each.values)
            for each in sorted(scores, key=lambda score: score.picture)
        ]
        rows += [
            _value_row(evaluation, f"{dataset}, median", mean.model, mean.medians)
            for mean in evaluation.means(scale, dataset)
        ]
    headings = tuple(METRICS[name].heading for name in evaluation.metrics)
    return Table(headings=headings, rows=tuple(rows))


def _value_row(evaluation: Evaluation, group: str, model: str, values: dict[str, float]) -> Row:
    cells = tuple(metric_value(values, name) for name in evaluation.metrics)
    return Row(group=group, label=model, cells=cells)


def difference_table(evaluation: Evaluation, scale: int) -> Table:
    """Differences to the first model, a column a metric, with their intervals."""
    names = [n for n in evaluation.metrics if any(d.metric == n for d in evaluation.differences)]
    found: dict[tuple[str, str], dict[str, Difference]] = {}
    for each in evaluation.differences:
        if each.scale == scale:
            found.setdefault((each.dataset, each.model), {})[each.metric] = each
    rows = []
    for (dataset, model), by_metric in found.items():
        counts = sorted({each.pictures for each in by_metric.values()})
        cells = [difference(by_metric[n]) if n in by_metric else NOTHING for n in names]
        pictures = " or ".join(map(str, counts))
        rows.append(Row(group=dataset, label=model, cells=(pictures, *cells)))
    return Table(headings=("pictures", *(METRICS[n].heading for n in names)), rows=tuple(rows))


def difference(each: Difference) -> str:
    """Return a mean difference with the interval behind it, if there is one."""
    return f"{number(each.mean, METRICS[each.metric].digits, sign=True)} {interval(each)}".strip()


def interval(each: Difference) -> str:
    """Return the 95 % interval of a difference; empty where there is none."""
    if not (math.isfinite(each.low) and math.isfinite(each.high)):
        return ""
    digits = METRICS[each.metric].digits
    return f"[{number(each.low, digits, sign=True)}, {number(each.high, digits, sign=True)}]"


def cost_table(evaluation: Evaluation, scale: int) -> Table:
    """Parameters, work and memory of the models of a scale."""
    headings = ("parameters", "LR size", "MACs", "FLOPs", "MACs to 1280×720", "peak memory")
    rows = [
        Row(group="", label=cost.model, cells=_cost_cells(cost))
        for cost in evaluation.costs
        if cost.scale == scale
    ]
    return Table(headings=headings, rows=tuple(rows))


COST_NOTE = (
    "MACs: multiply-accumulates of the convolutions. FLOPs: as efficient-SR challenges count them, "
    "MACs and one for every output of an activation. Peak memory: of one forward pass."
)


def failure_line(failure: Failure) -> str:
    """Return which picture failed, for which model."""
    model = failure.model or "every model"
    return f"{failure.dataset}/{failure.picture} ×{failure.scale}, {model}"


def best_pictures(values: dict[str, float], digits: int) -> set[str]:
    """Return the models whose value of one picture prints as the best; none among fewer than two.

    Args:
        values: By model.
        digits: That are printed.
    """
    printed = {model: round(value, digits) for model, value in values.items()}
    if len(printed) < 2:
        return set()
    top = max(printed.values())
    return {model for model, value in printed.items() if value == top}


def _published_row(evaluation: Evaluation, row: PublishedRow) -> Row:
    metrics = [
        number(row.values.get(name), _printed_digits(evaluation, row.source, name))
        for name in evaluation.metrics
    ]
    # "G-IDRN" is our "g-idrn": naming both would only be longer.
    same = row.model if row.model and _plain(row.model) != _plain(row.method) else None
    remarks = [row.source]
    if row.protocol:
        remarks.append(f"protocol: {row.protocol}")
    if row.note:
        remarks.append(row.note)
    return Row(
        group=row.dataset,
        label=f"{row.method} ({same})" if same else row.method,
        cells=("printed", *metrics, NOTHING),
        source="; ".join(remarks),
    )


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _printed_digits(evaluation: Evaluation, source: str, metric: str) -> int:
    """Return the digits of a source: those of its longest value, as 32.2 was printed 32.20."""
    values = [
        row.values[metric]
        for row in evaluation.published
        if row.source == source and metric in row.values
    ]
    least = LEAST_DIGITS.get(metric, 0)
    return max([least, *(len(repr(float(value)).partition(".")[2]) for value in values)])


def _cost_cells(cost: ModelCost) -> tuple[str, ...]:
    memory = NOTHING
    if cost.peak_memory is not None:
        memory = f"{cost.peak_memory / 2**20:.0f} MiB ({cost.memory_of})"
    counts = (cost.conv_macs, cost.challenge_flops, cost.hd_conv_macs)
    return (
        short(cost.parameters),
        f"{cost.size[1]}×{cost.size[0]}",
        *map(short, counts),
        memory,
    )
