"""PSNR against iterations as inline SVG that takes any width: one line for each training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.pipelines.evaluate.tables import short
from srcli.report.axis import Axis, linear_axis
from srcli.report.charts import COLOURS, colour_of, percent, rule, svg
from srcli.report.page import Markup, element

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT = 320
TOP, BOTTOM, LEFT = 14, 34, 0.1
"""Space above and below the lines in CSS pixels, and beside them as a part of the width."""
UNIT = 1000
"""Width and height of the drawing ground of the lines, which is stretched to what there is."""
EARLY = 0.25
"""Part of the iterations whose values do not widen the vertical axis: every training begins low."""
DASHES = 4


@dataclass(frozen=True, kw_only=True)
class Line:
    """One training."""

    points: tuple[tuple[int, float], ...]
    """(iteration, dB), at least one."""
    style: str
    """Classes, from :func:`style_of`."""
    title: str
    """Shown when pointed at."""
    again: bool = False
    """A further seed of the same variant, drawn faintly."""


def style_of(index: int) -> str:
    """Return the classes of a variant's line by its place: colours, and dashes once they repeat."""
    return f"{colour_of(index)} d{min(max(index - 1, 0) // (COLOURS - 1), DASHES - 1)}"


def curves_svg(lines: Sequence[Line], *, label: str) -> Markup:
    """Draw lines; what lies below the axis, early in a training, is cut off.

    Args:
        lines: At least one.
        label: What the chart says, for those who cannot see it.
    """
    last = max(at for line in lines for at, _ in line.points)
    x = linear_axis([0.0, float(last)])
    late = [v for line in lines for at, v in line.points if at >= EARLY * last]
    y = linear_axis(late, count=5)
    drawn = [_polyline(line, x, y) for line in lines]
    ground = element(
        "svg",
        *drawn,
        x=percent(LEFT),
        y=TOP,
        width=percent(1 - LEFT),
        height=HEIGHT - TOP - BOTTOM,
        viewBox=f"0 0 {UNIT} {UNIT}",
        preserveAspectRatio="none",
        class_="lines",
    )
    return svg(HEIGHT, *_frame(x, y), ground, class_="curves", label=label)


def legend(names: Sequence[tuple[str, str]]) -> Markup:
    """Write what each line is.

    Args:
        names: Name and style of each.
    """
    items = [
        element(
            "li",
            element(
                "svg",
                element("line", x1=0, x2=26, y1=5, y2=5, class_=style),
                class_="sample",
                aria_hidden="true",
            ),
            name,
        )
        for name, style in names
    ]
    return element("ul", *items, class_="legend")


def _polyline(line: Line, x: Axis, y: Axis) -> Markup:
    places = [(x.at(at) * UNIT, (1 - y.at(value)) * UNIT) for at, value in line.points]
    if len(places) == 1:  # a line of one point would not be seen
        places = [(places[0][0] - UNIT / 50, places[0][1]), *places]
    return element(
        "polyline",
        element("title", line.title),
        points=" ".join(f"{across:.1f},{down:.1f}" for across, down in places),
        vector_effect="non-scaling-stroke",
        class_=f"{line.style} again" if line.again else line.style,
    )


def _frame(x: Axis, y: Axis) -> list[Markup]:
    base = HEIGHT - BOTTOM
    parts = []
    for tick in y.ticks:
        down = base - (base - TOP) * y.at(tick)
        parts.append(rule(0.0, 1.0, down, class_="grid"))
        parts.append(_text(f"{tick:.{y.digits}f}", 0.0, down - 4, "first"))
    for tick in (each for each in x.ticks if each >= 0):
        place = LEFT + (1 - LEFT) * x.at(tick)
        at = percent(place)
        parts.append(element("line", x1=at, x2=at, y1=base, y2=base + 4, class_="grid"))
        parts.append(_text(short(tick), place, base + 16))
    parts.append(_text("iterations", 1.0, HEIGHT - 3, "last"))
    return parts


def _text(text: str, place: float, down: float, class_: str | None = None) -> Markup:
    return element("text", text, x=percent(place), y=f"{down:.1f}", class_=class_)
