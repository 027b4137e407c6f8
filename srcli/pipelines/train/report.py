"""Curves of a training while it runs: a page, and event files of TensorBoard."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from srcli.errors import UsageError
from srcli.files import read_input, write_whole
from srcli.quantities import format_duration
from srcli.report.page import draw_chart, render_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch.utils.tensorboard import SummaryWriter

    from srcli.training.folder import RunFolder

Points = list[tuple[int, float]]
"""Pairs of iteration and value."""

LEAST_SECONDS = 30.0
"""Between pages; a training that took less in all of its runs is a trial and needs
none."""
SHARE = 0.02
"""Largest share of the time that is spent on pages."""
RELOAD = 60
"""Seconds after which a page in a browser loads itself again, until the training has
ended."""
NOT_CURVES = frozenset({"event", "stage", "step", "total", "elapsed", "iterations"})
"""Fields of an entry that are no measurements."""
FLUSH_SECONDS = 10
"""Longest time until an event is written."""
POINTS = 200
"""Largest number of points of a curve; of more, means are drawn."""
EARLY = 0.25
"""Part of the iterations whose values may lie beyond the vertical axis."""

log = logging.getLogger(__name__)


@contextmanager
def event_files(folder: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yield what writes an entry of the log as scalars of TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "--tensorboard needs TensorBoard, which is not installed: pip install tensorboard"
        ) from error
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():  # which the writer finds out at the first entry
        raise UsageError(f"--tensorboard {folder}: {there} is a file; give a folder")
    with ExitStack() as held:
        writer: SummaryWriter | None = None

        def write(entry: Mapping[str, Any]) -> None:
            nonlocal writer
            if writer is None:
                # A resumed training repeats iterations after its checkpoint:
                # "purge_step" drops the entries of the killed run from here on.
                total = entry["total"]
                writer = SummaryWriter(
                    str(folder), purge_step=total, flush_secs=FLUSH_SECONDS
                )
                held.callback(writer.close)
            for name, value in scalars(entry).items():
                writer.add_scalar(name, value, entry["total"])

        yield write


def scalars(entry: Mapping[str, Any]) -> dict[str, float]:
    """Return the measurements of an entry by name: ``train/loss``, ``validation/Set5``, ..."""
    return {
        f"{entry['event']}/{name}": float(value)
        for name, value in entry.get("sets", entry).items()
        if name not in NOT_CURVES and isinstance(value, int | float)
    }


@contextmanager
def report_page(folder: RunFolder, about: str) -> Iterator[Callable[[object], None]]:
    """Yield what keeps ``report.html`` up to date when the log has a new entry.

    What cannot be written is a warning: the training counts for more.
    """
    first = due = time.monotonic() + LEAST_SECONDS

    def write(_: object = None, reload: int = RELOAD) -> None:
        nonlocal due
        start = time.monotonic()
        if reload and start < due:
            return
        try:
            entries = _read_entries(folder)
            if start < first and trained_seconds(entries) < LEAST_SECONDS:
                return
            html = _page(folder, entries, about, reload)
            write_whole(folder.path / "report.html", html.encode())
        except OSError as error:
            log.warning("report.html cannot be written (%s)", error.strerror)
        now = time.monotonic()
        due = now + max(LEAST_SECONDS, (now - start) / SHARE)

    try:
        yield write
    finally:
        write(reload=0)


def trained_seconds(entries: Sequence[Mapping[str, Any]]) -> float:
    """Add up how long all stages of a training have taken, by the entries of its log."""
    elapsed_of_stages = {
        int(entry["stage"]): float(entry["elapsed"]) for entry in entries
    }
    return sum(elapsed_of_stages.values())


def _read_entries(folder: RunFolder) -> list[dict[str, Any]]:
    """Read the log; none before its first line."""
    entries: list[dict[str, Any]] = []
    if not folder.log.exists():
        return entries
    for line in read_input(folder.log).decode().splitlines():
        with suppress(ValueError):  # a line that is not finished
            entries.append(json.loads(line))
    return entries


def _page(
    folder: RunFolder, entries: Sequence[Mapping[str, Any]], about: str, reload: int
) -> str:
    """Return the page, which with ``reload`` loads itself again after so many seconds."""
    curves: dict[str, Points] = {}
    for entry in entries:
        for name, value in scalars(entry).items():
            curves.setdefault(name, []).append((int(entry["total"]), value))
    curves.pop("train/per_second", None)
    charts = []
    for name in sorted(
        curves, key=lambda name: (name.startswith("train/"), name == "train/rate")
    ):
        event, _, what = name.partition("/")
        heading, digits = f"Loss: {what}".removesuffix(": loss"), ".4g"
        if event == "validation":
            heading, digits = f"Validation: {what}, PSNR-Y in dB", ".3f"
        elif what == "rate":
            heading = "Learning rate"
        draw = partial(_draw, points=curves[name], falling=heading.startswith("Loss"))
        charts.append(
            (heading, f"{curves[name][-1][1]:{digits}}", draw_chart(draw, heading))
        )
    facts = [("Training", about)]
    if entries:
        duration = format_duration(trained_seconds(entries))
        facts.append(("So far", f"{entries[-1]['total']:,} iterations, {duration}"))
    if best := [
        entry for entry in entries if entry.get("best") and entry["psnr"] is not None
    ]:
        sets = ", ".join(
            f"{name} {psnr:.3f} dB" for name, psnr in best[-1]["sets"].items()
        )
        facts.append(("Best weights", f"iteration {best[-1]['total']:,}: {sets}"))
    title = folder.path.absolute().name
    return render_page(
        __package__, title=title, reload=reload, facts=facts, charts=charts
    )


def _draw(axes: Axes, *, points: Points, falling: bool) -> None:
    """Draw a curve; ``falling`` is for values that begin high, as those of losses do.

    Neighbours are averaged where there are many. The first quarter does not widen the
    axis to where values begin: every training begins badly.
    """
    size = -(-len(points) // POINTS)
    groups = (points[start : start + size] for start in range(0, len(points), size))
    points = [(own[-1][0], fmean(value for _, value in own)) for own in groups]
    axes.plot(*zip(*points, strict=True), marker="." if len(points) == 1 else "")
    late = [value for at, value in points if at >= EARLY * points[-1][0]]
    values = [value for _, value in points]
    low, high = (min(values), max(late)) if falling else (min(late), max(values))
    space = 0.06 * (high - low or min(abs(high), 1.0) or 1.0)
    axes.set(xlim=(0, 1.03 * points[-1][0]), ylim=(low - space, high + space))
