r"""Tables for papers: LaTeX with booktabs, the best value bold and the second one underlined.

A row is a method, with its parameters and MACs; a group of columns is a set of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from srcli.report.table import NOTHING, number, printable

_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "–": "--", "×": r"$\times$",
} | {character: f"\\{character}" for character in "&%$#_{}"}  # fmt: skip
"""Characters that LaTeX takes for something else."""


@dataclass(frozen=True)
class Score:
    """A mean in one column, and its standard deviation over seeds."""

    mean: float
    deviation: float | None = None
    """None for a single training."""


@dataclass(frozen=True)
class Measure:
    """What a column shows."""

    heading: str
    digits: int
    lowest: bool = False
    """The lowest value is the best one."""


@dataclass(frozen=True)
class Method:
    """One row: a network, or a variant of one."""

    name: str
    parameters: str | None = None
    macs: str | None = None
    scores: Mapping[tuple[str, str], Score] = field(default_factory=dict)
    """By set and heading."""


def latex_table(
    methods: Sequence[Method],
    sets: Sequence[str],
    measures: Sequence[Measure],
    *,
    caption: str,
) -> str:
    """Return a table for a paper, which the package booktabs draws."""
    groups = [(dataset, measure) for dataset in sets for measure in measures]
    heads = ["", "", ""]
    rules = []
    for place, dataset in enumerate(sets):
        span = len(measures)
        heads.append(rf"\multicolumn{{{span}}}{{c}}{{{escape(dataset)}}}")
        first = 4 + place * span
        rules.append(rf"\cmidrule(lr){{{first}-{first + span - 1}}}")
    headings = ["Method", "Params", "MACs"]
    columns = {}
    for dataset, measure in groups:
        headings.append(measure.heading)
        columns[dataset, measure.heading] = _column(methods, dataset, measure)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\begin{{tabular}}{{lrr{'r' * len(groups)}}}",
        r"\toprule",
    ]
    if sets:
        lines += [_line(heads), "".join(rules)]
    lines += [_line(map(escape, headings)), r"\midrule"]
    for number_of_row, method in enumerate(methods):
        cells = [method.name, method.parameters or NOTHING, method.macs or NOTHING]
        cells = list(map(escape, cells))
        for column in columns.values():
            cells.append(column[number_of_row])
        lines.append(_line(cells))
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def _column(methods: Sequence[Method], dataset: str, measure: Measure) -> list[str]:
    """Return the cells of a column: the best is bold, the second underlined, by their digits."""
    scores = [method.scores.get((dataset, measure.heading)) for method in methods]
    values = {round(score.mean, measure.digits) for score in scores if score}
    order = sorted(values, reverse=not measure.lowest)
    cells = []
    for score in scores:
        if score is None:
            cells.append(escape(NOTHING))
            continue
        text = number(score.mean, measure.digits)
        place = order.index(round(score.mean, measure.digits))
        if len(order) > 1 and place == 0:
            text = rf"\textbf{{{text}}}"
        elif len(methods) > 2 and place == 1:
            text = rf"\underline{{{text}}}"
        if score.deviation is not None:
            text += rf" $\pm$ {number(score.deviation, measure.digits)}"
        cells.append(text)
    return cells


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Return text that LaTeX shows as it is."""
    shown = printable(" ".join(text.split()))
    return re.sub(
        "[" + re.escape("".join(_SPECIAL)) + "]",
        lambda found: _SPECIAL[found[0]],
        shown,
    )
