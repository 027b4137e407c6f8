"""The page of a training while it runs: loss, validation and learning rate as curves."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

import srcli
from srcli.files import read_input, write_whole
from srcli.report.charts import Line, curve_chart
from srcli.report.page import COLOURS, render_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from srcli.training.folder import RunFolder
    from srcli.training.log import EventFiles

FIRST_SECONDS = 30.0
"""From the start to the first page: a short trial needs none."""
LEAST_SECONDS = 10.0
"""Between pages, which are written after validations."""
_TITLES = {"rate": "Learning rate", "loss": "Loss"}
_NO_CURVES = frozenset({"event", "stage", "step", "total", "elapsed", "iterations", "per_second"})

log = logging.getLogger(__name__)


def report_writer(
    folder: RunFolder, events: EventFiles | None
) -> Callable[[Mapping[str, object]], None]:
    """Return a function for entries of the log that keeps ``report.html`` up to date.

    Args:
        folder: Of the training.
        events: Receives every entry, too.
    """
    due = time.monotonic() + FIRST_SECONDS

    def write(entry: Mapping[str, object]) -> None:
        nonlocal due
        if events is not None:
            events.write(entry)
        if entry["event"] != "validation" or time.monotonic() < due:
            return
        try:
            write_report(folder.log, folder.path / "report.html", title=folder.path.name)
        except OSError as error:  # the training counts for more
            log.warning("report.html cannot be written (%s)", error.strerror)
        due = time.monotonic() + LEAST_SECONDS

    return write


def write_report(log_file: Path, page: Path, *, title: str) -> None:
    """Write the page of a training.

    Args:
        log_file: ``log.jsonl``; entries that are not finished are left out.
        page: The file to write.
        title: Heading.

    Raises:
        OSError: If a file cannot be read or written.
    """
    charts: dict[str, dict[str, list[tuple[int, float]]]] = {}
    last = 0
    for text in read_input(log_file).decode().splitlines():
        try:
            entry = json.loads(text)
        except ValueError:
            continue
        last = int(entry["total"])
        validates = entry["event"] == "validation"
        for name, value in entry.get("sets", entry).items():
            if name in _NO_CURVES or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            chart = "Validation, PSNR in dB" if validates else _TITLES.get(name, f"Loss: {name}")
            charts.setdefault(chart, {}).setdefault(name, []).append((last, value))
    drawn = [
        (
            heading,
            curve_chart(
                [
                    Line(points=tuple(points), colour=f"c{index % COLOURS}", dash="", title=name)
                    for index, (name, points) in enumerate(curves.items(), 1)
                ],
                heading,
            ),
            ", ".join(f"{name} {points[-1][1]:.6g}" for name, points in curves.items()),
        )
        for heading, curves in charts.items()
    ]
    html = render_page(
        __package__, title=title, version=srcli.__version__, iterations=last, charts=drawn
    )
    write_whole(page, html.encode())
