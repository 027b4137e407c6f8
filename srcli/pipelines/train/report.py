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
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from torch.utils.tensorboard import SummaryWriter

    from srcli.pipelines.train.pictures import ProgressPictures
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
    """Yield a function that writes an entry of the log as scalars of TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "--tensorboard needs TensorBoard, which is not installed: pip install tensorboard"
        ) from error
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():  # which the writer finds out at the first entry
        raise UsageError(f"--tensorboard {folder}: {existing} is a file; give a folder")
    with ExitStack() as resources:
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
                resources.callback(writer.close)
            for name, value in scalars(entry).items():
                writer.add_scalar(name, value, entry["total"])

        yield write


def scalars(entry: Mapping[str, Any]) -> dict[str, float]:
    """Return the measurements of an entry: ``train/loss``, ``validation/Set5``, ..."""
    return {
        f"{entry['event']}/{name}": float(value)
        for name, value in entry.get("sets", entry).items()
        if name not in NOT_CURVES and isinstance(value, int | float)
    }


@contextmanager
def report_page(
    folder: RunFolder, about: str, pictures: ProgressPictures | None = None
) -> Iterator[Callable[[object], None]]:
    """Yield a function that writes ``report.html`` anew, to call at new entries.

    Pictures are written along with it. What cannot be written is a warning: the
    training counts for more.
    """
    earliest = due = time.monotonic() + LEAST_SECONDS

    def write(_: object = None, reload: int = RELOAD) -> None:
        nonlocal due
        start = time.monotonic()
        if reload and start < due:
            return
        try:
            entries = _read_entries(folder)
            if start < earliest and trained_seconds(entries) < LEAST_SECONDS:
                return
            html = _page(folder, entries, about, reload)
            write_whole(folder.path / "report.html", html.encode())
            if pictures:
                pictures.write()
        except OSError as error:
            log.warning(
                "report.html and its pictures cannot be written (%s)",
                error.strerror or error,
            )
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
    best = None
    for entry in entries:
        for name, value in scalars(entry).items():
            curves.setdefault(name, []).append((int(entry["total"]), value))
        if entry.get("best") and entry["psnr"] is not None:
            best = entry
    curves.pop("train/per_second", None)
    names = sorted(curves)
    # validation first, the rate last
    names.sort(key=lambda name: (name.startswith("train/"), name == "train/rate"))
    facts = [("Training", about)]
    if entries:
        duration = format_duration(trained_seconds(entries))
        facts.append(("So far", f"{entries[-1]['total']:,} iterations, {duration}"))
    if best:
        sets = ", ".join(f"{name} {psnr:.3f} dB" for name, psnr in best["sets"].items())
        facts.append(("Best weights", f"iteration {best['total']:,}: {sets}"))
    return render_page(
        __package__,
        title=folder.path.absolute().name,
        reload=reload,
        facts=facts,
        charts=[_chart(name, curves[name]) for name in names],
    )


def _chart(name: str, points: Points) -> tuple[str, str, Markup]:
    """Return the heading, the newest value and the curve of a measurement."""
    event, _, measure = name.partition("/")
    digits = ".4g"
    falling = False
    if event == "validation":
        heading = f"Validation: {measure}, PSNR-Y in dB"
        digits = ".3f"
    elif measure == "rate":
        heading = "Learning rate"
    else:
        heading = f"Loss: {measure}".removesuffix(": loss")
        falling = True
    draw = partial(_draw, points=points, falling=falling)
    return heading, f"{points[-1][1]:{digits}}", draw_chart(draw, heading)


def _draw(axes: Axes, *, points: Points, falling: bool) -> None:
    """Draw a curve; ``falling`` is for values that begin high, as those of losses do.

    Neighbours are averaged where there are many. The first quarter does not widen the
    axis to where values begin: every training begins badly.
    """
    size = -(-len(points) // POINTS)
    totals = []
    values = []
    for start in range(0, len(points), size):
        group = points[start : start + size]
        totals.append(group[-1][0])
        values.append(fmean(value for _, value in group))
    axes.plot(totals, values, marker="." if len(values) == 1 else "")
    late = [
        value
        for total, value in zip(totals, values, strict=True)
        if total >= EARLY * totals[-1]
    ]
    low = min(values if falling else late)
    high = max(late if falling else values)
    space = 0.06 * (high - low or min(abs(high), 1.0) or 1.0)
    axes.set(xlim=(0, 1.03 * totals[-1]), ylim=(low - space, high + space))
