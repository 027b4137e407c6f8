r"""Tables for papers: LaTeX with booktabs, the best value bold and the second one underlined.

A row is a method, with its parameters and MACs; a group of columns is a set of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Protocol

from srcli.report.table import NOTHING, number, printable

_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "–": "--", "×": r"$\times$",
} | {character: f"\\{character}" for character in "&%$#_{}"}  # fmt: skip
"""Characters that LaTeX takes for something else."""


class Measure(Protocol):
    """What a column shows; metrics are such."""

    @property
    def heading(self) -> str:
        """Of the column."""

    @property
    def digits(self) -> int:
        """Behind the point."""

    @property
    def lower_is_better(self) -> bool:
        """The lowest value is the best one."""


@dataclass(frozen=True)
class Method:
    """One row: a network, or a variant of one."""

    name: str
    parameters: str | None = None
    macs: str | None = None
    means: Mapping[tuple[str, str], Sequence[float]] = field(default_factory=dict)
    """By set and name of a metric: of each training one, over the pictures of the set."""


def latex_table(
    methods: Sequence[Method],
    sets: Sequence[str],
    metrics: Mapping[str, Measure],
    caption: str,
) -> str:
    """Return a table for a paper, which the package booktabs draws."""
    span = len(metrics)
    heads = ["", "", ""]
    rules = []
    headings = ["Method", "Params", "MACs"]
    columns = []
    for dataset in sets:
        heads.append(rf"\multicolumn{{{span}}}{{c}}{{{escape(dataset)}}}")
        begin = len(headings) + 1
        rules.append(rf"\cmidrule(lr){{{begin}-{begin + span - 1}}}")
        for name, metric in metrics.items():
            headings.append(metric.heading)
            means = [method.means.get((dataset, name), ()) for method in methods]
            columns.append(_column(means, metric))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\begin{{tabular}}{{lrr{'r' * len(columns)}}}",
        r"\toprule",
    ]
    if sets:
        lines += [_line(heads), "".join(rules)]
    lines += [_line(map(escape, headings)), r"\midrule"]
    for number_of_row, method in enumerate(methods):
        cells = [method.name, method.parameters or NOTHING, method.macs or NOTHING]
        cells = list(map(escape, cells))
        for column in columns:
            cells.append(column[number_of_row])
        lines.append(_line(cells))
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def _column(means_of_rows: Sequence[Sequence[float]], metric: Measure) -> list[str]:
    """Return the cells of a column: the best is bold, the second underlined, by their digits."""
    digits = metric.digits
    values = {round(fmean(means), digits) for means in means_of_rows if means}
    order = sorted(values, reverse=not metric.lower_is_better)
    cells = []
    for means in means_of_rows:
        if not means:
            cells.append(escape(NOTHING))
            continue
        text = number(fmean(means), digits)
        rank = order.index(round(fmean(means), digits))
        if len(order) > 1 and rank == 0:
            text = rf"\textbf{{{text}}}"
        elif len(means_of_rows) > 2 and rank == 1:
            text = rf"\underline{{{text}}}"
        if len(means) > 1:
            text += rf" $\pm$ {number(stdev(means), digits)}"
        cells.append(text)
    return cells


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Return text that LaTeX shows as it is."""
    shown = printable(" ".join(text.split()))
    return re.sub(
        "[" + re.escape("".join(_SPECIAL)) + "]",
        lambda match: _SPECIAL[match[0]],
        shown,
    )
