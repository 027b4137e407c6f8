"""Charts as inline SVG without a viewBox: they take any width, and their text keeps its size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.report.page import Markup, element

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.report.axis import Axis

BAR, GAP = 7, 2
"""Height of a bar and the space below it, in CSS pixels."""
COLOURS = 8
"""Classes ``c0`` to ``c7`` of the style sheet; ``c0`` is a quiet gray for the first model."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One value of a picture."""

    value: float
    colour: str
    title: str
    """Shown when pointed at."""


def colour_of(index: int) -> str:
    """Return the class of a model's colour by its place; beyond the last they repeat, never c0."""
    return f"c{index if index < COLOURS else (index - 1) % (COLOURS - 1) + 1}"


def ticks_svg(axis: Axis) -> Markup:
    """Write the values of an axis, for the head of a column of charts."""
    texts = [
        element("text", f"{tick:.{axis.digits}f}", x=percent(axis.at(tick)), y=13)
        for tick in axis.ticks
    ]
    return svg(18, *texts, class_="ticks")


def interval_svg(axis: Axis, mean: float, low: float, high: float) -> Markup:
    """Draw a mean as a dot on its interval; hollow where the interval holds zero.

    Args:
        axis: Shared by the column.
        mean: Nothing but the zero line is drawn where it is not finite.
        low: Lower end; NaN for no interval.
        high: Upper end.
    """
    parts = _grid(axis)
    if math.isfinite(mean):
        known = math.isfinite(low) and math.isfinite(high)
        if known:
            parts.append(rule(axis.at(low), axis.at(high), 12, class_="interval"))
        clear = known and (low > 0 or high < 0)
        parts.append(
            element(
                "circle",
                cx=percent(axis.at(mean)),
                cy=12,
                r=4.5,
                class_="dot" if clear else "dot hollow",
            )
        )
    return svg(24, *parts, class_="forest")


def bars_svg(axis: Axis, bars: Sequence[Bar]) -> Markup:
    """Draw bars from zero, one below the other; a value that is not finite has none."""
    parts = _grid(axis)
    zero = axis.at(0.0)
    for i, bar in enumerate(bars):
        if not math.isfinite(bar.value):
            continue
        end = axis.at(bar.value)
        parts.append(
            element(
                "rect",
                element("title", bar.title),
                x=percent(min(zero, end)),
                width=percent(abs(end - zero)),
                y=GAP + i * (BAR + GAP),
                height=BAR,
                rx=1,
                class_=bar.colour,
            )
        )
    return svg(GAP + len(bars) * (BAR + GAP), *parts, class_="bars")


def _grid(axis: Axis) -> list[Markup]:
    lines = []
    for tick in axis.ticks:
        place = percent(axis.at(tick))
        kind = "zero" if abs(tick) < 1e-12 else "grid"
        lines.append(element("line", x1=place, x2=place, y1=0, y2="100%", class_=kind))
    return lines


def rule(start: float, end: float, down: float, *, class_: str) -> Markup:
    """Draw a level line between two places (0..1) at a height in CSS pixels."""
    y = f"{down:.1f}"
    return element("line", x1=percent(start), x2=percent(end), y1=y, y2=y, class_=class_)


def svg(height: int, *parts: str, class_: str, label: str | None = None) -> Markup:
    """Return a chart as wide as it may be.

    Args:
        height: In CSS pixels.
        parts: Its marks; across they lie at parts of the width, down at pixels.
        class_: For the style sheet.
        label: What it says; None hides it from those who cannot see, who read the cells beside it.
    """
    return element(
        "svg",
        *parts,
        width="100%",
        height=height,
        class_=class_,
        role=None if label is None else "img",
        aria_label=label,
        aria_hidden="true" if label is None else None,
    )


def percent(place: float) -> str:
    """Return a place (0..1) as a part of the width."""
    return f"{100 * place:.2f}%"
