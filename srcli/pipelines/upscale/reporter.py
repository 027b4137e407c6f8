"""Tells of the files of a run: progress for people, reports for programs, a summary."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from srcli.pipelines.upscale.report import FileReport, Summary
from srcli.ports.progress import NoTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from srcli.errors import SrxError
    from srcli.pipelines.upscale.plan import Item
    from srcli.ports.progress import Progress, Task


class Reporter:
    """Collects reports and shows how far a run is.

    Args:
        progress: Told of files, tiles and warnings.
        on_file: Called with every report, as soon as it is known.
    """

    def __init__(
        self, progress: Progress, on_file: Callable[[FileReport], None] | None = None
    ) -> None:
        self.progress = progress
        self.summary = Summary()
        self.tiles: Task = NoTask()
        self._files: Task = NoTask()
        self._on_file = on_file
        self._started = time.monotonic()

    def open(self, files: int) -> None:
        """Begin to show progress over so many files."""
        self._files = self.progress.task("files", total=files, unit="files")
        self.tiles = self.progress.task("tiles", unit="tiles")

    def close(self) -> Summary:
        """End the display and return what became of everything."""
        self.tiles.close()
        self._files.close()
        self.summary.seconds = time.monotonic() - self._started
        return self.summary

    def tell(self, report: FileReport) -> None:
        """Take the report of a file."""
        self.summary.files.append(report)
        if report.state != "skipped":
            self._files.advance(1)
            speed = self.summary.megapixels / max(time.monotonic() - self._started, 1e-3)
            self._files.describe(f"{speed:.2f} megapixels/s")
        for warning in report.warnings:
            self.progress.warn(f"{report.source}: {warning}")
        if self._on_file is not None:
            self._on_file(report)

    def fail(self, item: Item, error: SrxError, started: float | None = None) -> None:
        """Report that an item failed.

        Args:
            item: What failed.
            error: Why.
            started: When its work began, by ``time.monotonic``.
        """
        seconds = 0.0 if started is None else time.monotonic() - started
        self.tell(
            FileReport(
                source=item.source,
                target=item.target,
                state="failed",
                seconds=seconds,
                error=str(error),
            )
        )
