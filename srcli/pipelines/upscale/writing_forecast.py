"""Foresee what writing a raster takes: room on the disk, and time, a part of its progress.

Parts go into the canvas while others are made. What the end writes beside it may take as
long as a fast network, and is counted from the start as so many tiles.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from srcli.files import file_state, free_disk
from srcli.imaging.rasters.canvas import Canvas, append_behind
from srcli.imaging.rasters.disk_use import disk_needed, growth_at_end, sample_disk
from srcli.machine import processor_count
from srcli.pipelines.upscale.reporter import LARGEST_SHARE, WritingWork
from srcli.quantities import format_bytes

if TYPE_CHECKING:
    from srcli.imaging.rasters.parts import Parts
    from srcli.pipelines.upscale.plans import RasterPlan
    from srcli.pipelines.upscale.reporter import Reporter

BYTES_A_SECOND = 100_000_000
"""Pixels, without compression, that one processor reads from the canvas or writes at the
end: measured are 80 to 130 MB with DEFLATE (overviews, strips, COG)."""
MOST_PROCESSORS = 6
"""Beyond these GDAL, which reads and hands out blocks in one thread, is no faster."""
TELLING_SHARE = 0.1
"""Of the file, from which on the time that it took tells more than the forecast."""

USUAL_SHARE = 0.4
"""Share of its uncompressed size that an output takes where no sample of it is made;
photographs rarely shrink so far."""
MOST_GROWTH = 12
"""How many times larger a pixel becomes by compression without loss; that of the input
may have been a lossy one."""
SURE_SHARE = 0.6
"""Share of the foreseen bytes that must be free on disk, as samples may be unlike the
rest."""
UNSURE_SHARE = 1.3
"""Share of the foreseen bytes that an output may take after all."""


def check_room(plan: RasterPlan) -> RasterPlan:
    """Return a plan with a note if its output may not fit on the disk.

    Raises:
        PictureError: If it cannot fit.
    """
    free, _ = free_disk(plan.item.target)
    if free >= round(disk_needed(plan.output) * plan.info.block_share):
        return plan
    # parts of an earlier run are there, or are removed
    likely = max(foresee_disk(plan) - plan.parts.stored_bytes, 0)
    advice = "a part (--srcwin)"
    if plan.options.mosaic:
        advice = "a folder with fewer of its files"
    notes = plan.item.check_disk(
        "parts and result may take",
        round(UNSURE_SHARE * likely),
        round(SURE_SHARE * likely),
        advice,
        refuses=plan.options.disk_check,
    )
    return replace(plan, notes=(*plan.notes, *notes))


def foresee_disk(plan: RasterPlan) -> int:
    """Estimate the bytes on disk that an output takes on the way, by a sample of it."""
    info = plan.info
    scale = plan.options.scale
    sample = sample_disk(info, plan.layout, plan.window, scale, plan.output)
    most = round(disk_needed(plan.output) * info.block_share)
    # a mosaic may have large holes, and its samples lie beside them by chance
    input_bytes = sum((file_state(name) or (0,))[0] for name in info.files)
    if info.driver == "VRT" and input_bytes:
        # twice, as parts and result lie there together
        most = min(most, round(2 * MOST_GROWTH * input_bytes * scale**2))
    if sample is None:
        return round(USUAL_SHARE * most)
    return min(sample, most)


class WritingForecast(WritingWork):
    """Forecast of writing a raster's file, counted in tiles of its progress."""

    def __init__(self, plan: RasterPlan, parts: Parts, reporter: Reporter) -> None:
        super().__init__(reporter)
        self._plan = plan
        self._parts = parts
        self._finished_before = reporter.finished
        self._started = time.monotonic()
        self._seconds_for_tiles = 0.0
        self._canvas_bytes = 0
        self._is_warned = False
        self._growth = growth_at_end(parts.output)
        self._foreseen = 0.0
        if self._growth:
            pixel_bytes = parts.output.height * parts.output.row_bytes
            processors = min(processor_count(), MOST_PROCESSORS)
            speed = BYTES_A_SECOND * processors
            self._foreseen = (1 + self._growth) * pixel_bytes / speed
        if reporter.ending is not None:
            self._foreseen = reporter.ending.seconds

    @property
    def text(self) -> str:
        """The work at the end in words, for the user."""
        if self.reporter.ending is not None:
            return self.reporter.ending.text
        return f"writing {self._parts.target.name}"

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Append parts to the canvas, in a thread, while others are made."""
        with append_behind(self._parts, self._look):
            yield
        self._seconds_for_tiles = time.monotonic() - self._started

    def begin(self) -> None:
        """Tell that the file is written now."""
        self.reporter.describe(self.text)
        self._canvas_bytes = self._parts.stored_bytes
        self._weigh_seconds(self._foreseen)

    def count_bytes(self, count: int) -> None:
        """Count what is on the disk of canvas and file as progress."""
        if not self._growth:
            return
        seconds = time.monotonic() - self._started - self._seconds_for_tiles
        growth = self._growth * self._canvas_bytes
        written = (count - self._canvas_bytes) / max(growth, 1)
        # what GDAL makes of a canvas may be much smaller
        expected = seconds / max(self._foreseen, seconds, 1e-3)
        self.count_share(max(written, expected * (1 - TELLING_SHARE)))

    def count_share(self, share: float) -> None:
        """Count a share of what is done at the end as progress."""
        share = min(share, LARGEST_SHARE)
        seconds = time.monotonic() - self._started - self._seconds_for_tiles
        if share > TELLING_SHARE:
            self._weigh_seconds(seconds / share)
        self.advance_to(share)

    def _look(self, canvas: Canvas) -> None:
        """Count the writing at the end by the time that tiles take; warn of a full disk."""
        self._weigh_seconds(self._foreseen)
        if self._is_warned or not canvas.share:
            return
        canvas_bytes = canvas.length / canvas.share
        needed = round(canvas_bytes * (1 + self._growth) - canvas.length)
        free, folder = free_disk(self._parts.target)
        if free < needed:
            self._is_warned = True
            self.reporter.progress.warn(
                f"{self._plan.item.source}: what is left may take {format_bytes(needed)} on "
                f"the disk, and {format_bytes(free)} are free in {folder}; make room "
                "meanwhile, or the run stops there, and the same command goes on later"
            )

    def _weigh_seconds(self, seconds: float) -> None:
        """Count writing as the tiles that are made in so many seconds."""
        passed = self._seconds_for_tiles or time.monotonic() - self._started
        finished = self.reporter.finished - self._finished_before - self.done
        speed = finished / max(passed, 1e-3)
        if not finished:  # all parts are there: the progress is that of the file
            speed = 1.0
        self.weigh(seconds * speed)
