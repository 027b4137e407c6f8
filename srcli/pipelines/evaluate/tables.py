"""An evaluation as tables, and as the Markdown and CSV files made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from srcli.evaluation.scores import METRICS
from srcli.metrics.protocol import LUMA_FLOAT
from srcli.recipes.published import name_key
from srcli.report.printed_costs import printed_cost_table
from srcli.report.table import (
    NOTHING,
    Column,
    Row,
    Table,
    best_of,
    columns_of,
    csv_text,
    decimals,
    ends_text,
    escape,
    interval_text,
    make_table,
    markdown_table,
    number,
    short,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from srcli.evaluation.scores import Evaluation, Failure
    from srcli.evaluation.statistics import Difference
    from srcli.recipes.published import PublishedRow
    from srcli.report.table import Cell

LEAST_DIGITS = {"psnr": 2, "ssim": 3}
"""Of printed values, where the rows at hand happen to end on a zero."""
MODEL = Column("model", kind="text")
COST_NOTE = (
    "MACs: multiply-accumulates of the convolutions. FLOPs: as efficient-SR challenges count them, "
    "MACs and one for every output of an activation. Peak memory: of one forward pass."
)


def sets_of(evaluation: Evaluation, scale: int) -> list[str]:
    """Return the sets of a scale, in the order of measuring."""
    return [dataset for each, dataset in evaluation.sizes if each == scale]


def best_models(evaluation: Evaluation, scale: int, dataset: str) -> dict[str, set[str]]:
    """Return for every metric the models whose mean prints as the best of a set.

    Only means over all pictures of the set compete; nothing is best among fewer than two.
    """
    rows = [m for m in evaluation.means(scale, dataset) if m.pictures == m.of]
    return {
        name: best_of(
            {m.model: -m.values[name] if each.lower_is_better else m.values[name] for m in rows},
            each.digits,
        )
        for name, each in ((name, METRICS[name]) for name in evaluation.metrics)
    }


def metric_columns(names: Iterable[str]) -> list[Column]:
    """Return a column for each metric, in its digits."""
    return [Column(METRICS[name].heading, digits=METRICS[name].digits) for name in names]


def score_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate the means of every model on every set, published rows of the same set below them.

    Published rows of another protocol are marked as not comparable.

    A model that no picture of a set was measured with has a row of dashes. Seconds stand in the
    last column where any were taken.
    """
    timed = any(mean.seconds is not None for mean in evaluation.means(scale))
    rows: list[Row] = []
    for dataset in sets_of(evaluation, scale):
        means = {mean.model: mean for mean in evaluation.means(scale, dataset)}
        best = best_models(evaluation, scale, dataset)
        for model in evaluation.models:
            mean = means.get(model)
            values = mean.values if mean else {}
            count = f"{mean.pictures if mean else 0} of {evaluation.sizes[scale, dataset]}"
            cells: list[Cell] = [model, count, *map(values.get, evaluation.metrics)]
            cells += [mean.seconds if mean else None] * timed
            marked = frozenset(METRICS[name].heading for name in best if model in best[name])
            rows.append(Row(cells=tuple(cells), group=dataset, best=marked))
        rows += [
            _published_row(evaluation, row, timed=timed)
            for row in evaluation.published
            if (row.scale, row.dataset) == (scale, dataset)
        ]
    columns = [MODEL, Column("pictures"), *metric_columns(evaluation.metrics)]
    columns += [Column("s/picture", digits=3)] * timed
    return replace(_grouped(f"x{scale}", columns, rows), notes=bicubic_notes(evaluation, scale))


def bicubic_notes(evaluation: Evaluation, scale: int) -> tuple[str, ...]:
    """Return a sentence for every model that scores below bicubic interpolation on a set."""
    return tuple(
        f"{model} is below bicubic interpolation on {dataset}, {own:.2f} dB against {bicubic:.2f}: "
        "a model for other pictures, or one trained to look sharp, can be; else something is "
        "wrong, such as its weights, its range of values, or a shift of its pictures."
        for dataset, model, own, bicubic in evaluation.below_bicubic(scale)
    )


def picture_table(evaluation: Evaluation, scale: int, *, by: str = "set") -> Table:
    """Tabulate every picture under every model; below each set the medians."""
    rows = []
    for dataset in sets_of(evaluation, scale):
        found = [
            (f"{dataset}/{each.picture}", each.model, each.values)
            for each in sorted(evaluation.of(scale, dataset), key=lambda score: score.picture)
        ]
        found += [
            (f"{dataset}, median", mean.model, mean.medians)
            for mean in evaluation.means(scale, dataset)
        ]
        rows += [
            Row(cells=(model, *map(values.get, evaluation.metrics)), group=group)
            for group, model, values in found
        ]
    columns = [MODEL, *metric_columns(evaluation.metrics)]
    return _grouped(f"x{scale}, pictures", columns, rows, heading=by)


def difference_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate differences to the first model with their intervals, a line for each metric."""
    rows = []
    for each in evaluation.differences:
        if each.scale == scale:
            metric = METRICS[each.metric]
            mean = number(each.mean, metric.digits, sign=True)
            ends = ends_text(each, metric.digits) or NOTHING
            cells = (each.model, metric.heading, each.pictures, mean, ends)
            rows.append(Row(cells=cells, group=each.dataset))
    headings = ("metric", "pictures", "difference", "95 % interval")
    title = f"x{scale}, difference to {evaluation.models[0]}"
    return _grouped(title, columns_of(("model",), headings), rows)


def wide_difference_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate differences to the first model with their intervals, a column for each metric."""
    names = [n for n in evaluation.metrics if any(d.metric == n for d in evaluation.differences)]
    found: dict[tuple[str, str], dict[str, Difference]] = {}
    for each in evaluation.differences:
        if each.scale == scale:
            found.setdefault((each.dataset, each.model), {})[each.metric] = each
    rows = []
    for (dataset, model), own in found.items():
        counts = " or ".join(map(str, sorted({each.pictures for each in own.values()})))
        cells = [interval_text(own[n], METRICS[n].digits) if n in own else None for n in names]
        rows.append(Row(cells=(model, counts, *cells), group=dataset))
    return _grouped("", [MODEL, Column("pictures"), *metric_columns(names)], rows)


def cost_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate parameters, work and memory of the models of a scale."""
    headings = ("parameters", "LR size", "MACs", "FLOPs", "MACs to 1280×720", "peak memory")
    rows: list[list[Cell]] = []
    for cost in (each for each in evaluation.costs if each.scale == scale):
        memory = None
        if cost.peak_memory is not None:
            memory = f"{cost.peak_memory / 2**20:.0f} MiB ({cost.memory_of})"
        size = f"{cost.size[1]}×{cost.size[0]}"
        work = (cost.conv_macs, cost.challenge_flops, cost.hd_conv_macs)
        counts = [None if count is None else short(count) for count in work]
        rows.append([cost.model, short(cost.parameters), size, *counts, memory])
    title = f"x{scale}, cost"
    return make_table(rows, ("model",), headings, title=title, notes=(COST_NOTE,))


def failure_line(failure: Failure) -> str:
    """Return which picture failed, for which model."""
    model = failure.model or "every model"
    return f"{failure.dataset}/{failure.picture} ×{failure.scale}, {model}"


def evaluation_csv(evaluation: Evaluation) -> str:
    """Return a row for every score, in the order of measuring, as CSV.

    Protocol and chain stand in every row, so that a row says how it was measured wherever it is
    copied to. Values are printed so that reading them gives the very same number; one that was not
    taken is empty.
    """
    names = evaluation.metrics
    headings = ("scale", "set", "picture", "model", *names, "seconds", "protocol", "chain")
    rows = []
    for score in evaluation.scores:
        labels = (score.scale, score.dataset, score.picture, score.model)
        values = (*map(score.values.get, names), score.seconds)
        rows.append((*labels, *values, evaluation.protocol.name, evaluation.chain))
    return csv_text(headings, rows)


def evaluation_markdown(evaluation: Evaluation) -> str:
    """Return an evaluation as Markdown: for every scale scores, differences and costs.

    The protocol and failures follow. Best means are bold; published rows name their source.
    """
    lines: list[str] = []
    for scale in evaluation.scales:
        lines += _scale_markdown(evaluation, scale)
    lines += [escape(evaluation.chain), ""]
    if evaluation.failures:
        lines += ["### Not measured", ""]
        for failure in evaluation.failures:
            lines.append(f"- {escape(failure_line(failure))}: {escape(failure.reason)}")
        lines.append("")
    return "\n".join(lines)


def _scale_markdown(evaluation: Evaluation, scale: int) -> Iterator[str]:
    scores = score_table(evaluation, scale)
    yield from (f"## ×{scale}", "", *markdown_table(scores))
    for note in scores.notes:
        yield from (escape(note), "")
    differences = wide_difference_table(evaluation, scale)
    if differences.rows:
        first = escape(evaluation.models[0])
        known = any(ends_text(d, 0) for d in evaluation.differences if d.scale == scale)
        suffix = ", with 95 % intervals" if known else ""
        yield from (f"### ×{scale}: differences to {first}{suffix}", "")
        yield from markdown_table(differences)
    costs = cost_table(evaluation, scale)
    if costs.rows:
        yield from (f"### ×{scale}: costs", "", *markdown_table(costs), COST_NOTE, "")
    printed = printed_cost_table(evaluation.published_costs, evaluation.costs, scale)
    if printed.rows:
        yield from (
            f"### ×{scale}: printed costs",
            "",
            *markdown_table(printed),
            *printed.notes,
            "",
        )
    yield from ("<details>", f"<summary>×{scale}: every picture, and medians</summary>", "")
    yield from markdown_table(picture_table(evaluation, scale, by="picture"))
    yield from ("</details>", "")


def _grouped(
    title: str, columns: Iterable[Column], rows: Iterable[Row], heading: str = "set"
) -> Table:
    return Table(title=title, group_heading=heading, columns=tuple(columns), rows=tuple(rows))


def _published_row(evaluation: Evaluation, row: PublishedRow, *, timed: bool) -> Row:
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
        cells=(f"{row.method} ({same})" if same else row.method, kind, *metrics) + (None,) * timed,
        group=row.dataset,
        source="; ".join(filter(None, (row.source, protocol, hint, row.note))),
    )
