"""Upscale rasters one after another: windows in, blocks out, resumable."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError
from srcli.imaging.rasters.masking import MaskedSink
from srcli.imaging.rasters.reading import RasterSource
from srcli.imaging.rasters.writing import RasterWriter
from srcli.inference.edges import make_work, padded_grid, row_to_start
from srcli.inference.engines import EnginePool, run_one
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.stream import TileTooLargeError
from srcli.inference.tiling import Tiling
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.raster_job import (
    RasterJob,
    check_disk,
    fingerprint,
    open_job,
    plan_memory,
)
from srcli.pipelines.upscale.reporter import FileReport, Reporter
from srcli.threads import WriteBehind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.inference.stream import Work
    from srcli.pipelines.upscale.plan import Item


@dataclass(frozen=True)
class RasterRun:
    """Upscales rasters of any size."""

    pool: EnginePool
    tiling: Tiling
    options: UpscaleOptions
    reporter: Reporter

    def upscale(self, items: Sequence[Item]) -> None:
        """Upscale all items; one that fails is reported and leaves the others alone."""
        for item in items:
            started = time.monotonic()
            try:
                self.reporter.add(self._upscale(item, started))
            except SrxError as error:
                self.reporter.fail(item, error, started)
            except MemoryError:
                short = f"{item.source}: out of memory; --max-memory says early what does not fit"
                self.reporter.fail(item, PictureError(short), started)

    def _upscale(self, item: Item, started: float) -> FileReport:
        job = open_job(item, self.options)
        tight = check_disk(job)
        item.make_folder()
        if job.range_found:
            self._tell(job, job.range_found)
        work = self._retry(job, self.tiling)
        timing = work.timing
        total = max(timing.total, 1e-9)
        return FileReport(
            source=item.source,
            target=item.target,
            state="done",
            seconds=time.monotonic() - started,
            tiles=work.tiles_done,
            size=(job.output.height, job.output.width),
            warnings=(*job.notes, *tight),
            details=(
                f"the network waited for reading {timing.reading / total:.1%} and for writing "
                f"{timing.writing / total:.1%} of {timing.total:.1f} s",
            ),
        )

    def _tell(self, job: RasterJob, text: str) -> None:
        self.reporter.progress.message(f"{job.item.source}: {text}")

    def _retry(self, job: RasterJob, tiling: Tiling) -> Work:
        """Upscale a raster, with smaller tiles after running out of memory."""
        while True:
            try:
                return self._write(job, tiling)
            except TileTooLargeError:
                smaller = tiling.halved()
                if smaller is None:
                    raise
            tiling = smaller
            self.reporter.progress.warn(
                f"{job.item.source}: out of memory: starts over with tiles of {tiling.tile} pixels"
            )

    def _write(self, job: RasterJob, tiling: Tiling) -> Work:
        """Upscale a raster to its file; an interrupted one is kept, to be resumed."""
        inner = self.pool.engine(job.bits)
        engine = RasterEngine(inner, groups=job.layout.groups, values=job.values)
        asked, output = self.options.raster, job.output
        grid = padded_grid(job.window.height, job.window.width, tiling)
        memory = plan_memory(job, grid, self.options.scale, asked.max_memory)
        mark = fingerprint(job, inner, grid, self.options)
        writer = RasterWriter.begin(job.item.target, output, mark, resume=asked.resume)
        for note in writer.notes:
            self._tell(job, note)
        if writer.first_row:
            share = writer.first_row / output.height
            self._tell(job, f"continues an earlier run that stopped at {share:.0%}")
        try:
            with (
                RasterSource(
                    job.info, job.layout, job.window, limit_bytes=memory.reading
                ) as source,
                WriteBehind(
                    MaskedSink(writer, source, self.options.scale, needs_mask=output.mask).write,
                    memory.waiting,
                ) as sink,
            ):
                work = make_work(
                    source,
                    sink,
                    name=str(job.item.source),
                    scale=self.options.scale,
                    tiling=tiling,
                    first_row=row_to_start(grid, writer.first_row, self.options.scale, tiling.edge),
                )
                self.reporter.tiles.grow(work.open_tiles)
                run_one(engine, work, task=self.reporter.tiles)
            if output.copied:
                last = "COG" if output.cog else output.format
                self._tell(job, f"rows are done; now copied into its last form ({last})")
            elif output.overviews:
                self._tell(job, "rows are done; now overviews")
            writer.finish()
        except TileTooLargeError:
            writer.discard()
            raise
        except BaseException:
            writer.suspend()  # also after Ctrl-C: the same command resumes here
            raise
        return work
