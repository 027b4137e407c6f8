"""An evaluation as tables, and as the Markdown and CSV files made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.evaluation.scores import METRICS
from srcli.metrics.fidelity import LUMA_FLOAT
from srcli.recipes.published import name_key
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
    make_table,
    markdown_section,
    markdown_table,
    number,
    printed_cost_table,
    short,
)

if TYPE_CHECKING:
    from srcli.evaluation.scores import Evaluation, Failure
    from srcli.recipes.published import PublishedRow
    from srcli.report.table import Cell

LEAST_DIGITS = {"psnr": 2, "ssim": 3}
"""Of printed values, where the rows at hand happen to end on a zero."""
MODEL = Column("model", kind="text")
COST_NOTE = (
    "MACs: multiply-accumulates of the convolutions. FLOPs: as efficient-SR challenges count them, "
    "MACs and one for every output of an activation. Peak memory: of one forward pass."
)


def score_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate the means of every model on every set, published rows of the same set below them.

    Published rows of another protocol are marked as not comparable. A model that no picture of a
    set was measured with has a row of dashes. Only means over all pictures of a set can be its
    best. Seconds stand in the last column where any were taken.
    """
    timed = any(mean.seconds is not None for mean in evaluation.means(scale))
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
            cells: list[Cell] = [model, count, *map(values.get, evaluation.metrics)]
            cells += [mean.seconds if mean else None] * timed
            marked = frozenset(METRICS[name].heading for name in best if model in best[name])
            rows.append(Row(cells=tuple(cells), group=dataset, best=marked))
        rows += [
            _published_row(evaluation, row, timed=timed)
            for row in evaluation.published
            if (row.scale, row.dataset) == (scale, dataset)
        ]
    seconds = [Column("s/picture", digits=3)] * timed
    return Table(
        title=f"x{scale}",
        group_heading="set",
        columns=(MODEL, Column("pictures"), *_metric_columns(evaluation), *seconds),
        rows=tuple(rows),
        notes=tuple(
            f"{model} is below bicubic interpolation on {dataset}, {own:.2f} dB against "
            f"{bicubic:.2f}: a model for other pictures, or one trained to look sharp, can be; "
            "else something is wrong, such as its weights, its range of values, or a shift of its "
            "pictures."
            for dataset, model, own, bicubic in evaluation.below_bicubic(scale)
        ),
    )


def difference_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate differences to the first model with their intervals, a line for each metric."""
    rows = []
    for each in evaluation.differences:
        if each.scale == scale:
            metric = METRICS[each.metric]
            mean = number(each.mean, metric.digits, sign=True)
            ends = ends_text(each.low, each.high, metric.digits) or NOTHING
            cells = (each.model, metric.heading, each.pictures, mean, ends)
            rows.append(Row(cells=cells, group=each.dataset))
    headings = ("metric", "pictures", "difference", "95 % interval")
    return Table(
        title=f"x{scale}, difference to {evaluation.models[0]}",
        group_heading="set",
        columns=columns_of(("model",), headings),
        rows=tuple(rows),
    )


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


def published_costs_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate costs printed in papers beside those measured here."""
    own = [cost for cost in evaluation.costs if cost.scale == scale]
    counted = {cost.model: (cost.parameters, cost.challenge_flops) for cost in own}
    return printed_cost_table(evaluation.published_costs, counted, scale)


def picture_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate every picture under every model; below each set the medians."""
    found: list[tuple[str, str, dict[str, float]]] = []
    for dataset in evaluation.sets(scale):
        found += [
            (f"{dataset}/{each.picture}", each.model, each.values)
            for each in sorted(evaluation.of(scale, dataset), key=lambda score: score.picture)
        ]
        found += [
            (f"{dataset}, median", mean.model, mean.medians)
            for mean in evaluation.means(scale, dataset)
        ]
    return Table(
        title=f"x{scale}, pictures",
        group_heading="picture",
        columns=(MODEL, *_metric_columns(evaluation)),
        rows=tuple(
            Row(cells=(model, *map(values.get, evaluation.metrics)), group=group)
            for group, model, values in found
        ),
    )


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
    """Return an evaluation as Markdown: for every scale its tables; then protocol and failures.

    Best means are bold; published rows name their source.
    """
    lines: list[str] = []
    for scale in evaluation.scales:
        for tabulate in (score_table, difference_table, cost_table, published_costs_table):
            lines += markdown_section(tabulate(evaluation, scale))
        lines += ["<details>", f"<summary>x{scale}: every picture, and medians</summary>", ""]
        lines += [*markdown_table(picture_table(evaluation, scale)), "</details>", ""]
    lines += [escape(evaluation.chain), ""]
    if evaluation.failures:
        lines += ["### Not measured", ""]
        for failure in evaluation.failures:
            lines.append(f"- {escape(failure_line(failure))}: {escape(failure.reason)}")
        lines.append("")
    return "\n".join(lines)


def _metric_columns(evaluation: Evaluation) -> list[Column]:
    """Return a column for each metric, in its digits."""
    found = [METRICS[name] for name in evaluation.metrics]
    return [Column(metric.heading, digits=metric.digits) for metric in found]


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
