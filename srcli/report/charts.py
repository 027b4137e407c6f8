"""Charts of a page as inline SVG, drawn by matplotlib: quality against parameters, and curves.

Colours become variables of the page's style sheet, so that charts follow the dark scheme, and text
stays text in the page's own font.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from srcli.report.page import COLOURS
from srcli.report.table import printable, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes

SETTINGS: Any = {
    "svg.hashsalt": "srx",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 12,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": False,
    "lines.scale_dashes": False,
}
NAMES = ("ink", "quiet", "line", "panel", *(f"c{i}" for i in range(COLOURS)))
"""Colours of the style sheet that charts use."""
PAINT = {name: f"#00ff{i:02x}" for i, name in enumerate(NAMES)}
"""Stand-ins for those colours while matplotlib draws."""
RADIUS = 5
"""Of dots, in CSS pixels as all lengths here."""
LETTERS, LINE = 26, 15
"""Longest label, which a point's title holds in full; height of its line."""
EARLY = 0.25
"""Part of the iterations whose values do not widen the vertical axis: every training begins low."""

CLEANING = (
    (r"^.*?<svg[^>]*>", ""),
    (r"<defs>.*?</defs>\s*", ""),
    (r'<use xlink:href="[^"]*" x="([^"]*)" y="([^"]*)"', rf'<circle r="{RADIUS}" cx="\1" cy="\2"'),
    (r' font-family: [^"]*?sans-serif;', ""),
    (r' transform="rotate\(-0 [^"]*\)"', ""),
    *((f'{colour}(?=[;"])', f"var(--{name})") for name, colour in PAINT.items()),
    (r"\s*\n\s*", "\n"),
)
"""Patterns and what replaces them in matplotlib's SVG: the page has colours and font, dots are the
only symbols, and nothing needs an id."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One model on one set."""

    label: str
    parameters: float
    """0 for a method that has none: it becomes a level line."""
    value: float
    text: str
    """The value as tables print it."""
    colour: str
    """Class of the style sheet."""
    source: str = ""
    """The publication that printed the value; empty for measured ones. A printed point is hollow,
    and without a label where there is no room."""

    @property
    def title(self) -> str:
        """The text that is shown when pointed at."""
        source = f", as printed in {self.source}" if self.source else ""
        return f"{self.label}: {self.text}, {short(self.parameters)} parameters{source}"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One training."""

    points: tuple[tuple[int, float], ...]
    """(iteration, value), at least one."""
    colour: str
    title: str
    """Shown when pointed at."""


def scatter_chart(points: Sequence[Point], caption: str) -> Markup:
    """Draw quality upwards against parameters, which are on a logarithmic axis.

    Args:
        points: At least one has parameters; those without a finite value are left out.
        caption: Read by screen readers, before the points.
    """
    shown = sorted((p for p in points if math.isfinite(p.value)), key=lambda p: bool(p.source))
    marks: list[tuple[str, str]] = []
    with _axes(540, 340) as axes:
        _use_parameters(axes, [p.parameters for p in points if p.parameters > 0])
        axes.margins(y=0.1)
        for point in shown:
            colour, gid = PAINT[point.colour], f"mark-{len(marks)}"
            if point.parameters > 0:
                face = PAINT["panel"] if point.source else colour
                over = 2 if point.source else 3
                axes.scatter(
                    point.parameters, point.value, fc=face, ec=colour, lw=2, gid=gid, zorder=over
                )
                marks.append(("printed" if point.source else "measured", point.title))
            else:
                axes.axhline(point.value, color=colour, ls=(0, (5, 4)), lw=1, gid=gid)
                marks.append(("level", point.title))
        _label_points(axes, shown)
        return _svg(axes, "scatter", marks, caption)


def curve_chart(
    curves: Sequence[Line], caption: str, *, falling: bool = False, wide: bool = True
) -> Markup:
    """Draw values against iterations; early ones that lie beyond the axis are cut off.

    Args:
        curves: At least one.
        caption: Read by screen readers, before the curves.
        falling: True where values begin high, as losses do; else they begin low.
        wide: True for the whole width of a page; else half of it.
    """
    last = max(at for curve in curves for at, _ in curve.points)
    low, high = value_limits([curve.points for curve in curves], falling)
    sign = -1 if falling else 1  # what lies above the axis is below it in the mirror
    marks: list[tuple[str, str]] = []
    with _axes(1100 if wide else 540, 330) as axes:
        for curve in curves:
            points = [(at, sign * value) for at, value in curve.points]
            across, up = _cut(points, min(sign * low, sign * high), last)
            axes.plot(
                across,
                [sign * value for value in up],
                color=PAINT[curve.colour],
                lw=2,
                gid=f"mark-{len(marks)}",
            )
            marks.append(("curve", curve.title))
        axes.set(xlim=(0, 1.03 * last), ylim=(low, high))
        axes.set_xlabel("iterations", loc="right", color=PAINT["quiet"])
        return _svg(axes, "curves" if wide else "scatter", marks, caption)


@contextmanager
def _axes(width: int, height: int) -> Iterator[Axes]:
    """Make the axes of a chart; while they are in use, no other settings than ours hold."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that matplotlib's font lacks, the page's has
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)  # a dot is a CSS pixel
        figure.patch.set_visible(False)
        place = (48 / width, 44 / height, (width - 58) / width, (height - 58) / height)
        axes = figure.add_axes(place, frameon=False)
        axes.tick_params(which="both", left=False, bottom=False, labelcolor=PAINT["quiet"])
        axes.set_axisbelow(True)
        axes.grid(axis="y", color=PAINT["line"], lw=1)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(lambda value, _: short(value))
        yield axes


def _use_parameters(axes: Axes, counts: Sequence[float]) -> None:
    """Make the horizontal axis logarithmic, with ticks that are few and round."""
    from matplotlib.ticker import LogLocator, NullLocator

    ratio = max(counts) / min(counts)
    space = max(ratio, 2.0) ** 0.12
    axes.set(xscale="log", xlim=(min(counts) / space, max(counts) * space))
    axes.set_xlabel("parameters", loc="right", color=PAINT["quiet"])
    steps = (1, 2, 5) if ratio < 50 else (1, 3) if ratio < 1000 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: short(value))


def _label_points(axes: Axes, points: Sequence[Point]) -> None:
    """Write a label beside each point, moved up or down where another label or a dot stands."""
    from matplotlib.transforms import Bbox

    axes.autoscale_view()
    dots = axes.transData.transform([(p.parameters or 1, p.value) for p in points])
    taken = [
        Bbox.from_bounds(x - RADIUS, y - RADIUS, 2 * RADIUS, 2 * RADIUS)
        for point, (x, y) in zip(points, dots, strict=True)
        if point.parameters > 0
    ]
    for point, (x, y) in zip(points, dots, strict=True):
        name = printable(point.label)
        name = name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"
        text = axes.text(0, 0, name, va="center_baseline", transform=None, color=PAINT["ink"])
        steps = (0, 1, -1) if point.source else (0, 1, -1, 2, -2, 3, -3)
        if point.source:  # one that is far from its dot would be taken for another's
            text.set(color=PAINT["quiet"], style="italic")
        wide = text.get_window_extent().width
        sides = {"left": x + 10, "right": x - 10}
        if not point.parameters:  # above the right end of its line
            sides, y = {"right": axes.bbox.x1}, y + 9
        places = [
            (side, edge, Bbox.from_bounds(edge - wide * (side == "right"), up, wide, LINE))
            for up in (y + step * LINE - LINE / 2 for step in steps)
            for side, edge in sides.items()
        ]
        places = [each for each in places if axes.bbox.contains(each[2].x0, each[2].y0)]
        places = [each for each in places if each[2].x1 <= axes.bbox.x1]
        free = [each for each in places if not each[2].count_overlaps(taken)]
        if chosen := free[:1] or ([] if point.source else places[:1]):
            ((side, edge, box),) = chosen
            text.set(ha=side, position=(edge, box.y0 + LINE / 2))
            taken.append(box)
        else:
            text.remove()


def value_limits(
    curves: Sequence[Sequence[tuple[float, float]]], falling: bool
) -> tuple[float, float]:
    """Return the ends of the vertical axis; early values widen it to one side only.

    Args:
        curves: Pairs of iteration and value; at least one.
        falling: True if early values are high ones, which may lie beyond the axis.
    """
    last = max(at for points in curves for at, _ in points)
    late = [value for points in curves for at, value in points if at >= EARLY * last]
    values = [value for points in curves for _, value in points]
    low, high = (min(values), max(late)) if falling else (min(late), max(values))
    space = 0.06 * (high - low or min(abs(high), 1.0) or 1.0)
    return low - space, high + space


def _cut(
    points: Sequence[tuple[float, float]], low: float, last: float
) -> tuple[list[float], list[float]]:
    """Return the coordinates of a line without what lies below an axis."""
    if len(points) == 1:  # a line of one point would not be seen
        points = [(points[0][0] - last / 50, points[0][1]), *points]
    across, up = [], []
    for (x0, y0), (x1, y1) in zip([points[0], *points], points, strict=False):
        if (y0 < low) != (y1 < low):
            across.append(x0 + (x1 - x0) * (low - y0) / (y1 - y0))
            up.append(low)
        across.append(x1)
        up.append(math.nan if y1 < low else y1)
    return across, up


def _svg(axes: Axes, kind: str, marks: Sequence[tuple[str, str]], caption: str) -> Markup:
    """Write a chart for a page.

    The groups ``mark-0``, ``mark-1`` and so on of the axes are the marks, given by class and title;
    screen readers hear the caption, then the titles.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    for artist in figure.findobj():
        artist.set_clip_on(False)  # a reference to a clip path looks like one to another file
    stream = io.StringIO()
    empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", transparent=True, metadata=empty)
    drawn = stream.getvalue()
    view = re.search(r'viewBox="([^"]*)"', drawn)
    assert view is not None
    for pattern, text in CLEANING:
        drawn = re.sub(pattern, text, drawn, flags=re.DOTALL)
    label = f"{caption}: {'; '.join(title for _, title in marks)}"
    for i, (class_, title) in enumerate(marks):
        group = f'<g class="{class_}"><title>{escape(title)}</title>'
        drawn = drawn.replace(f'<g id="mark-{i}">', group)
    start = Markup('<svg viewBox="{}" class="{}" role="img" aria-label="{}">')
    return start.format(view[1], kind, label) + Markup(re.sub('<g id="[^"]*"', "<g", drawn))
