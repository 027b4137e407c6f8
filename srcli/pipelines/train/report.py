"""The page of a training while it runs: validation, loss and learning rate."""

from __future__ import annotations

import io
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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from srcli.training.folder import RunFolder

    Points = list[tuple[int, float]]
    """Pairs of iteration and value."""

FIRST_SECONDS = 30.0
"""From the start to the first page: a short trial needs none."""
LEAST_SECONDS = 30.0
"""Between pages."""
SHARE = 0.02
"""Largest share of the time that is spent on pages."""
RELOAD = 60
"""Seconds after which a page in a browser loads itself again, until the training has ended."""
POINTS = 200
"""Largest number of points of a curve; of more, means are drawn."""
EARLY = 0.25
"""Part of the iterations whose values may lie beyond the vertical axis."""
LOSS, RATE = "Loss", "Learning rate"
_NO_CURVES = frozenset({"event", "stage", "step", "total", "elapsed", "iterations", "per_second"})

log = logging.getLogger(__name__)


class ReportPage:
    """Keep ``report.html`` and ``curves.png`` up to date; a ``LogWriter``.

    What cannot be written is a warning: the training counts for more.
    """

    def __init__(self, folder: RunFolder, about: str) -> None:
        self._folder = folder
        self._about = about
        self._first = self._due = time.monotonic() + FIRST_SECONDS
        self._stale = False

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write the page if that is due."""
        self._stale = True
        if time.monotonic() >= self._due:
            self._render(RELOAD)

    def close(self) -> None:
        """Write the page of the end."""
        if self._stale and time.monotonic() >= self._first:
            self._render(0)

    def _render(self, reload: int) -> None:
        start = time.monotonic()
        try:
            write_report(self._folder, self._about, reload=reload)
        except OSError as error:
            log.warning("report.html cannot be written (%s)", error.strerror)
        self._stale = False
        now = time.monotonic()
        self._due = now + max(LEAST_SECONDS, (now - start) / SHARE)


def write_report(folder: RunFolder, about: str, *, reload: int = 0) -> None:
    """Write the page of a training and its curves as PNG."""
    entries = read_log(folder.log)
    curves = _curves(entries)
    losses = [heading for heading in curves if heading.startswith(LOSS)]
    sets = [heading for heading in curves if heading not in (*losses, RATE)]
    html = render_page(
        __package__,
        title=folder.path.absolute().name,
        version=srcli.__version__,
        reload=reload,
        facts=_facts(entries, about),
        charts=[
            (
                heading,
                f"{points[-1][1]:{'.3f' if heading in sets else '.4g'}}",
                draw_chart(partial(_draw, points=points, falling=heading in losses), heading),
            )
            for heading, points in curves.items()
        ],
    )
    write_whole(folder.path / "report.html", html.encode())
    if curves:
        write_whole(folder.path / "curves.png", curves_png(curves, falling=losses))


def read_log(file: Path) -> list[dict[str, Any]]:
    """Return the entries of a log; one that is not finished is left out."""
    entries = []
    for line in read_input(file).decode().splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def _curves(entries: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    """Return the curve of each chart by heading, in the order of the page."""
    validation: dict[str, Points] = {}
    losses: dict[str, Points] = {LOSS: []}
    rate: Points = []
    for entry in entries:
        for name, value in entry.get("sets", entry).items():
            if name in _NO_CURVES or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if entry["event"] == "validation":
                points = validation.setdefault(f"Validation: {name}, PSNR-Y in dB", [])
            elif name == "rate":
                points = rate
            else:
                points = losses.setdefault(LOSS if name == "loss" else f"{LOSS}: {name}", [])
            points.append((int(entry["total"]), value))
    found = validation | losses | {RATE: rate}
    return {heading: _thinned(points) for heading, points in found.items() if points}


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
    axes.grid(alpha=0.3)


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


def curves_png(curves: Mapping[str, Points], falling: Sequence[str]) -> bytes:
    """Draw curves below each other as one PNG picture, for slides and messages."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3 * len(curves)), layout="constrained")
    rows = figure.subplots(len(curves), squeeze=False)[:, 0]
    for axes, (heading, points) in zip(rows, curves.items(), strict=True):
        _draw(axes, points=points, falling=heading in falling)
        axes.set_title(heading, loc="left")
    rows[-1].set_xlabel("iterations")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()
