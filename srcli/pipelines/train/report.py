"""Curves of a training while it runs: a page, and event files of TensorBoard."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.errors import UsageError
from srcli.files import read_input, write_whole
from srcli.quantities import format_duration
from srcli.report.curves import Points, draw_curve
from srcli.report.page import data_uri, draw_chart, render_page

if TYPE_CHECKING:
    from markupsafe import Markup
    from torch.utils.tensorboard import SummaryWriter

    from srcli.pipelines.train.pictures import ProgressPictures
    from srcli.training.folder import RunFolder

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
            if pictures:
                pictures.write()  # first: they stand on the page
            html = _page(folder, entries, about, reload, pictures)
            write_whole(folder.path / "report.html", html.encode())
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
    folder: RunFolder,
    entries: Sequence[Mapping[str, Any]],
    about: str,
    reload: int,
    pictures: ProgressPictures | None,
) -> str:
    """Return the page, which with ``reload`` loads itself again after so many seconds."""
    bicubic: Mapping[str, float] = {}
    progress = ""
    if pictures:
        bicubic = pictures.bicubic
        if pictures.file.is_file():
            progress = data_uri(pictures.file.read_bytes(), "gif")
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
        charts=[_chart(name, curves[name], bicubic) for name in names],
        progress=progress,
    )


def _chart(
    name: str, points: Points, bicubic: Mapping[str, float]
) -> tuple[str, str, Markup]:
    """Return the heading, the newest value and the curve of a measurement.

    ``bicubic`` is the PSNR of bicubic interpolation by set, in dB.
    """
    event, _, measure = name.partition("/")
    digits = ".4g"
    falling = False
    axis = measure
    if event == "validation":
        axis = "PSNR-Y in dB"
        heading = f"Validation: {measure}, {axis}"
        digits = ".3f"
    elif measure == "rate":
        axis = heading = "Learning rate"
    else:
        heading = f"Loss: {measure}".removesuffix(": loss")
        falling = True
    draw = partial(
        draw_curve,
        points=points,
        axis=axis,
        falling=falling,
        level=bicubic.get(measure),
    )
    return heading, f"{points[-1][1]:{digits}}", draw_chart(draw, heading)
