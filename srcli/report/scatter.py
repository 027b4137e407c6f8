"""Quality against parameters as inline SVG, with labels that do not lie on each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.pipelines.evaluate.tables import short
from srcli.report.axis import Axis, linear_axis, log_axis
from srcli.report.charts import percent, rule, svg
from srcli.report.page import Markup, element, join

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT = 340
TOP, BOTTOM = 14, 34
"""Space above and below the points, in CSS pixels as all lengths here."""
LETTER, LINE = 6.6, 15
"""Width and height that a letter of a label takes."""
NARROW = 340
"""Width of the chart at which labels still keep clear of each other."""
LONGEST = 26
"""Letters of a label; what is cut off stands in the point's title."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One model on one set."""

    label: str
    parameters: float
    """0 for a method that has none: it becomes a level line."""
    value: float
    colour: str
    title: str
    """Shown when pointed at."""
    printed: bool = False
    """Drawn hollow: a paper's value, not measured. Its label is left out where there is no room."""


@dataclass(frozen=True)
class _Box:
    """The ground that a label or a dot covers in a chart of ``NARROW``."""

    left: float
    right: float
    middle: float
    height: float = LINE

    def meets(self, other: _Box) -> bool:
        """Whether two boxes share ground."""
        apart = self.right <= other.left or other.right <= self.left
        return not apart and abs(self.middle - other.middle) < (self.height + other.height) / 2


def scatter_svg(points: Sequence[Point], *, label: str) -> Markup:
    """Draw quality upwards against parameters, which are on a logarithmic axis.

    Args:
        points: At least one has parameters.
        label: What the chart says, for those who cannot see it.
    """
    x = log_axis([p.parameters for p in points if p.parameters > 0])
    y = linear_axis([p.value for p in points], count=5)
    shown = sorted((p for p in points if math.isfinite(p.value)), key=lambda p: p.printed)
    boxes = [_dot_box(p, x, y) for p in shown if p.parameters > 0]
    marks = []
    for point in shown:
        mark = _dot(point, x, y) if point.parameters > 0 else _level(point, y)
        text = _place_label(point, x, y, boxes)
        kind = f"{point.colour} printed" if point.printed else point.colour
        marks.append(element("g", element("title", point.title), mark, text, class_=kind))
    return svg(HEIGHT, *_frame(x, y), *marks, class_="scatter", label=label)


def _frame(x: Axis, y: Axis) -> list[Markup]:
    base = HEIGHT - BOTTOM
    parts = []
    for tick in y.ticks:
        down = _down(y, tick)
        parts.append(rule(0.0, 1.0, down, class_="grid"))
        parts.append(_text(f"{tick:.{y.digits}f}", 0.0, down - 4, "first"))
    for tick in x.ticks:
        place = percent(_across(x, tick))
        parts.append(element("line", x1=place, x2=place, y1=base, y2=base + 4, class_="grid"))
        parts.append(_text(short(tick), _across(x, tick), base + 16))
    parts.append(_text("parameters", 1.0, HEIGHT - 3, "last"))
    return parts


def _dot(point: Point, x: Axis, y: Axis) -> Markup:
    place = percent(_across(x, point.parameters))
    return element("circle", cx=place, cy=f"{_down(y, point.value):.1f}", r=5)


def _level(point: Point, y: Axis) -> Markup:
    return rule(0.0, 1.0, _down(y, point.value), class_="level")


def _dot_box(point: Point, x: Axis, y: Axis) -> _Box:
    middle = _across(x, point.parameters) * NARROW
    return _Box(middle - 6, middle + 6, _down(y, point.value), height=12)


def _place_label(point: Point, x: Axis, y: Axis, taken: list[_Box]) -> Markup:
    """Put a label beside its point, moved up or down where another one stands.

    What was measured always gets a label. Its ground is added to what is taken.
    """
    name = point.label if len(point.label) <= LONGEST else f"{point.label[: LONGEST - 1]}…"
    down = _down(y, point.value)
    places = [(1.0, 0, "last")]
    if point.parameters > 0:
        across = _across(x, point.parameters)
        places = [(across, 10, "first"), (across, -10, "last")]
    else:
        down -= 9  # above its line
    inside = []
    for shift in (0, -LINE, LINE, -2 * LINE, 2 * LINE):
        for place, gap, anchor in places:
            left = place * NARROW + gap - (anchor == "last") * len(name) * LETTER
            box = _Box(left, left + len(name) * LETTER, down + shift)
            if left >= 0 and box.right <= NARROW and box.middle <= HEIGHT - BOTTOM:
                text = _text(name, place, box.middle + 4, f"label {anchor}", gap)
                inside.append((text, box))
    free = [each for each in inside if not any(each[1].meets(other) for other in taken)]
    chosen = free[:1] or ([] if point.printed else inside[:1])
    taken.extend(box for _, box in chosen)
    return join(*(text for text, _ in chosen))


def _text(
    text: str, place: float, down: float, class_: str | None = None, dx: int | None = None
) -> Markup:
    return element("text", text, x=percent(place), y=f"{down:.1f}", dx=dx or None, class_=class_)


def _across(axis: Axis, value: float) -> float:
    """Place on the horizontal axis, which leaves room for the values of the vertical one."""
    return 0.1 + 0.9 * axis.at(value)


def _down(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * axis.at(value)
