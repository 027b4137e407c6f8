"""The page of a training while it runs: validation, loss and learning rate."""

from __future__ import annotations

import json
import logging
import time
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

import srcli
from srcli.files import read_input, write_whole
from srcli.quantities import format_duration
from srcli.report.page import draw_chart, render_page
from srcli.training.folder import scalars

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from srcli.training.folder import RunFolder

    Points = list[tuple[int, float]]
    """Pairs of iteration and value."""

LEAST_SECONDS = 30.0
"""Between pages, and before the first one: a short trial needs none."""
SHARE = 0.02
"""Largest share of the time that is spent on pages."""
RELOAD = 60
"""Seconds after which a page in a browser loads itself again, until the training has ended."""
POINTS = 200
"""Largest number of points of a curve; of more, means are drawn."""
EARLY = 0.25
"""Part of the iterations whose values may lie beyond the vertical axis."""

log = logging.getLogger(__name__)


class ReportPage:
    """Keep ``report.html`` up to date; a ``LogWriter``.

    What cannot be written is a warning: the training counts for more.
    """

    def __init__(self, folder: RunFolder, about: str) -> None:
        self._folder = folder
        self._about = about
        self._first = self._due = time.monotonic() + LEAST_SECONDS

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write the page if that is due."""
        if time.monotonic() >= self._due:
            self._render(RELOAD)

    def close(self) -> None:
        """Write the page of the end."""
        if time.monotonic() >= self._first:
            self._render(0)

    def _render(self, reload: int) -> None:
        start = time.monotonic()
        try:
            write_report(self._folder, self._about, reload=reload)
        except OSError as error:
            log.warning("report.html cannot be written (%s)", error.strerror)
        now = time.monotonic()
        self._due = now + max(LEAST_SECONDS, (now - start) / SHARE)


def write_report(folder: RunFolder, about: str, *, reload: int = 0) -> None:
    """Write the page of a training; with ``reload`` it loads itself again after so many seconds."""
    entries = []
    for line in read_input(folder.log).decode().splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:  # a line that is not finished
            continue
    charts = []
    for name, points in _curves(entries).items():
        event, _, what = name.partition("/")
        last, falling = f"{points[-1][1]:.4g}", False
        if event == "validation":
            heading, last = f"Validation: {what}, PSNR-Y in dB", f"{points[-1][1]:.3f}"
        elif what == "rate":
            heading = "Learning rate"
        else:
            heading, falling = "Loss" if what == "loss" else f"Loss: {what}", True
        chart = draw_chart(partial(_draw, points=points, falling=falling), heading)
        charts.append((heading, last, chart))
    html = render_page(
        __package__,
        title=folder.path.absolute().name,
        version=srcli.__version__,
        reload=reload,
        facts=_facts(entries, about),
        charts=charts,
    )
    write_whole(folder.path / "report.html", html.encode())


def _curves(entries: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    """Return the curve of each measurement by name: validation, losses, learning rate last."""
    found: dict[str, Points] = {}
    for entry in entries:
        for name, value in scalars(entry).items():
            found.setdefault(name, []).append((int(entry["total"]), value))
    found.pop("train/per_second", None)
    order = sorted(found, key=lambda name: (name.startswith("train/"), name == "train/rate"))
    return {name: _thinned(found[name]) for name in order}


def _thinned(points: Points) -> Points:
    """Average neighbours where there are too many points; the last group may be smaller."""
    size = -(-len(points) // POINTS)
    groups = (points[start : start + size] for start in range(0, len(points), size))
    return [(own[-1][0], fmean(value for _, value in own)) for own in groups]


def _draw(axes: Axes, *, points: Points, falling: bool) -> None:
    """Draw a curve; ``falling`` is for values that begin high, as those of losses do.

    Its first quarter does not widen the axis to where values begin: every training begins badly.
    """
    axes.plot(*zip(*points, strict=True), marker="." if len(points) == 1 else "")
    late = [value for at, value in points if at >= EARLY * points[-1][0]]
    values = [value for _, value in points]
    low, high = (min(values), max(late)) if falling else (min(late), max(values))
    space = 0.06 * (high - low or min(abs(high), 1.0) or 1.0)
    axes.set(xlim=(0, 1.03 * points[-1][0]), ylim=(low - space, high + space))


def _facts(entries: Sequence[Mapping[str, Any]], about: str) -> list[tuple[str, str]]:
    """Return terms and texts for the head of the page."""
    facts = [("Training", about)]
    if entries:
        seconds = sum({entry["stage"]: entry["elapsed"] for entry in entries}.values())
        facts.append(("So far", f"{entries[-1]['total']:,} iterations, {format_duration(seconds)}"))
    for entry in reversed(entries):
        if entry.get("best") and entry["psnr"] is not None:
            sets = ", ".join(f"{name} {psnr:.3f} dB" for name, psnr in entry["sets"].items())
            facts.append(("Best weights", f"iteration {entry['total']:,}: {sets}"))
            break
    return facts
