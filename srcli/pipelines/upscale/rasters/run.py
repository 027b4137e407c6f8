"""Rasters through a network: windows in, blocks out, resumable; one file after the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError
from srcli.imaging.rasters.masking import MaskedSink
from srcli.imaging.rasters.reading import RasterSource
from srcli.imaging.rasters.writing import RasterWriter
from srcli.inference.edges import make_work, padded_grid, row_to_start
from srcli.inference.engines import run_one
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.stream import TileTooLargeError
from srcli.inference.write_behind import WriteBehind
from srcli.pipelines.upscale.item import make_folder
from srcli.pipelines.upscale.photographs import SMALLEST_TILE
from srcli.pipelines.upscale.rasters.fingerprint import fingerprint
from srcli.pipelines.upscale.rasters.job import RasterJob, check_disk, open_job
from srcli.pipelines.upscale.rasters.memory import plan_memory
from srcli.pipelines.upscale.report import FileReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.inference.engines import EnginePool
    from srcli.inference.stream import Work
    from srcli.inference.tiling import Tiling
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.plan import Item
    from srcli.pipelines.upscale.reporter import Reporter


class RasterRun:
    """Enlarge rasters of any size.

    Args:
        pool: Engines of the model.
        tiling: How rasters are cut.
        options: Scale, bands, values, memory.
        reporter: Told of every file.
    """

    def __init__(
        self, pool: EnginePool, tiling: Tiling, options: UpscaleOptions, reporter: Reporter
    ) -> None:
        self.pool = pool
        self.tiling = tiling
        self.options = options
        self.reporter = reporter

    def upscale(self, todo: Sequence[Item]) -> None:
        """Enlarge all of them; one that fails is reported and leaves the others alone."""
        for item in todo:
            started = time.monotonic()
            try:
                self.reporter.tell(self._upscale(item, started))
            except SrxError as error:
                self.reporter.fail(item, error, started)
            except MemoryError:
                short = PictureError(
                    f"{item.source}: out of memory; --max-memory says early what does not fit"
                )
                self.reporter.fail(item, short, started)

    def _upscale(self, item: Item, started: float) -> FileReport:
        job = open_job(item, self.options)
        tight = check_disk(job)
        make_folder(item)
        if job.range_found:
            self.reporter.progress.message(f"{item.source}: {job.range_found}")
        tiles, details = self._pass(job, self.tiling)
        return FileReport(
            source=item.source,
            target=item.target,
            state="done",
            seconds=time.monotonic() - started,
            tiles=tiles,
            size=(job.output.height, job.output.width),
            warnings=(*job.notes, *([tight] if tight else [])),
            details=details,
        )

    def _pass(self, job: RasterJob, tiling: Tiling) -> tuple[int, tuple[str, ...]]:
        try:
            return _Pass(job, tiling, self).run()
        except TileTooLargeError:
            if tiling.tile < 2 * SMALLEST_TILE:
                raise
        smaller = tiling.halved()
        self.reporter.progress.warn(
            f"{job.item.source}: out of memory: starts over with tiles of {smaller.tile} pixels"
        )
        return self._pass(job, smaller)


class _Pass:
    """One attempt at one raster, with one size of tiles."""

    def __init__(self, job: RasterJob, tiling: Tiling, run: RasterRun) -> None:
        self.job = job
        self.tiling = tiling
        self.options = run.options
        self.reporter = run.reporter
        inner = run.pool.engine(job.bits)
        self.engine = RasterEngine(inner, groups=job.layout.groups, values=job.values)
        self.grid = padded_grid(job.window.height, job.window.width, tiling)
        asked = run.options.raster
        self.memory = plan_memory(job, self.grid, run.options.scale, asked.max_memory)
        self.mark = fingerprint(job, inner, self.grid, run.options)

    def run(self) -> tuple[int, tuple[str, ...]]:
        """Enlarge the raster.

        Returns:
            Tiles computed, and what ``--verbose`` shows.
        """
        job = self.job
        resume = self.options.raster.resume
        writer = RasterWriter.begin(job.item.target, job.output, self.mark, resume=resume)
        for note in writer.notes:
            self.reporter.progress.message(f"{job.item.source}: {note}")
        if writer.first_row:
            share = writer.first_row / job.output.height
            self.reporter.progress.message(
                f"{job.item.source}: goes on where an earlier run stopped, at {share:.0%}"
            )
        try:
            with RasterSource(
                job.info, job.layout, job.window, limit_bytes=self.memory.reading
            ) as source:
                work = self._enlarge(source, writer)
            if job.output.copied or job.output.overviews:
                last = job.output.format if not job.output.cog else "COG"
                what = f"copied into its last form ({last})" if job.output.copied else "overviews"
                self.reporter.progress.message(f"{job.item.source}: rows are done; now {what}")
            writer.finish()
        except TileTooLargeError:
            writer.discard()
            raise
        except BaseException:
            writer.suspend()  # also after Ctrl-C: the same command goes on from here
            raise
        return work.tiles_done, _details(work)

    def _enlarge(self, source: RasterSource, writer: RasterWriter) -> Work:
        scale = self.options.scale
        first = row_to_start(self.grid, writer.first_row, scale, self.tiling.edge)
        masked = MaskedSink(writer, source, scale, needs_mask=self.job.output.mask)
        with WriteBehind(masked, self.memory.waiting) as sink:
            work = make_work(
                source,
                sink,
                name=str(self.job.item.source),
                scale=scale,
                tiling=self.tiling,
                first_row=first,
            )
            self.reporter.tiles.grow(work.open_tiles)
            run_one(self.engine, work, task=self.reporter.tiles)
        return work


def _details(work: Work) -> tuple[str, ...]:
    timing = work.timing
    total = max(timing.total, 1e-9)
    return (
        f"the network waited for reading {timing.reading / total:.1%} and for writing "
        f"{timing.writing / total:.1%} of {timing.total:.1f} s",
    )
