"""HTML pages from templates, and the marks (intervals and bars) in the cells of their tables.

A page is a single file that opens offline and loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from srcli.report.table import Column, Row, Table, columns_of, ends_text, number, printable, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from srcli.report.table import MeanInterval

TEMPLATES = "srcli.report"
"""Package with the layout of all pages and the macros for their parts."""
MARGIN = 0.06
"""Part of an axis left free on either side, so that marks stay inside."""
TICKS = 4
"""About so many intervals between ticks."""
COLOURS = 8
"""Classes ``c0`` to ``c7`` of the style sheet; ``c0`` is a quiet gray for the first model."""


@cache
def environment(package: str = TEMPLATES) -> Environment:
    """Return what renders a package's templates and the shared ones; every text is escaped."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader(TEMPLATES, "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(number=number, short=short)
    return found


def render_page(package: str, *, title: str, script: str = "", **values: object) -> str:
    """Return the page that ``page.html.j2`` of a package describes.

    A policy inside the page forbids it to load anything and to run any script but its own.

    ``script`` names a file in the package; ``values`` go to the template, with the program's
    ``version``.
    """
    code = _read(package, script) if script else ""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if code:
        digest = base64.b64encode(hashlib.sha256(code.encode("utf-8")).digest()).decode("ascii")
        policy += f"; script-src 'sha256-{digest}'"
    page = (
        environment(package)
        .get_template("page.html.j2")
        .render(
            title=title,
            policy=policy,
            style=Markup(_read(TEMPLATES, "page.css")),
            script=Markup(code),
            **values,
        )
    )
    return printable(page) + "\n"


def _read(package: str, name: str) -> str:
    return (files(package) / name).read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A range of values that holds zero, with round ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def percent(self, value: float) -> str:
        """Return the place of a value as a part of the width."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"

    def width(self, value: float) -> str:
        """Return the distance of a value from zero as a part of the width."""
        return f"{100 * abs(value) / (self.high - self.low):.2f}%"

    def holds(self, value: float) -> bool:
        """Return whether a value can be drawn; infinity and NaN cannot."""
        return self.low <= value <= self.high

    @property
    def labels(self) -> list[str]:
        """Ticks in as many digits as their step needs."""
        step = min(high - low for low, high in zip(self.ticks, self.ticks[1:], strict=False))
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [number(tick, digits) for tick in self.ticks]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One value of a row."""

    value: float
    colour: str
    """Class of the style sheet."""
    title: str
    """Shown when pointed at."""


def interval_table(
    entries: Sequence[tuple[str, str, str, MeanInterval]],
    headings: tuple[str, str],
    *,
    digits: int,
    title: str = "",
) -> Table:
    """Tabulate means with their intervals, as text and drawn along one axis.

    An entry is the group, name, colour and mean of a row; the headings are of names and means.
    """
    axis = axis_of(end for *_, each in entries for end in (each.mean, each.low, each.high))
    rows = []
    for group, name, colour, each in entries:
        text = Markup("<b>{}</b> <small>{}</small>").format(
            number(each.mean, digits, sign=True), ends_text(each, digits)
        )
        # hollow where the interval holds zero, or is not known
        drawn = _draw("interval", axis, each, each.low > 0 or each.high < 0, colour)
        rows.append(Row(cells=(name, text, drawn), group=group))
    columns = (*columns_of(headings[:1], headings[1:]), plot_column(axis))
    return Table(title=title, group_heading="set", columns=columns, rows=tuple(rows))


def axis_of(values: Iterable[float]) -> Axis:
    """Return an axis that holds zero and all finite values."""
    from matplotlib.ticker import MaxNLocator

    held = [0.0, *(value for value in values if math.isfinite(value))]
    low, high = min(held), max(held)
    if high - low < 1e-9:  # one value, or digits that are noise
        high = low + 1.0
    space = (high - low) * MARGIN
    low, high = low - space, high + space
    ticks = MaxNLocator(TICKS, steps=[1, 2, 5, 10], min_n_ticks=2).tick_values(low, high)
    return Axis(low=low, high=high, ticks=tuple(float(t) for t in ticks if low <= t <= high))


def colour_of(index: int) -> str:
    """Return the class of a model's colour by its place; beyond the last they repeat, never c0."""
    return f"c{index if index < COLOURS else (index - 1) % (COLOURS - 1) + 1}"


def plot_column(axis: Axis) -> Column:
    """Return the column of marks along an axis, with its ticks as heading."""
    return Column(_draw("ticks", axis), kind="plot")


def bar_marks(axis: Axis, bars: Sequence[Bar]) -> Markup:
    """Draw bars from zero, one below the other; a value that is not finite has none."""
    return _draw("bars", axis, bars)


def _draw(macro: str, *values: object) -> Markup:
    module = environment().get_template("marks.html.j2").module
    return Markup(vars(module)[macro](*values))
