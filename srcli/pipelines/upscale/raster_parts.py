"""Make parts of a raster: windows in, tiles through the network, rows out."""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING

from srcli.imaging.rasters.masking import ClassJoiner, MaskedSink, repeat_raster
from srcli.imaging.rasters.part_writing import PartWriter
from srcli.imaging.rasters.parts import Parts
from srcli.imaging.rasters.reading import RasterSource
from srcli.inference.edges import make_work, padded_grid, tile_rows
from srcli.inference.engines import run_one
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.stream import Timing
from srcli.pipelines.upscale.raster_job import plan_memory
from srcli.threads import WriteBehind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from srcli.imaging.rasters.masking import RowWriter
    from srcli.imaging.rasters.selection import BandLayout
    from srcli.inference.engine import TorchEngine
    from srcli.inference.tiling import Tiling
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.raster_job import RasterJob
    from srcli.ports.image import TileGrid
    from srcli.ports.progress import Task


def repeat_parts(
    job: RasterJob, runs: Iterable[range], tiling: Tiling, options: UpscaleOptions, task: Task
) -> Timing:
    """Make runs of consecutive parts of a raster whose bands all hold classes, without a network.

    Raises:
        PictureError: If reading or writing fails; complete parts are kept.
        UsageError: If the limit of memory is too low.
    """
    started = time.perf_counter()
    grid = padded_grid(job.window.height, job.window.width, tiling)
    limit = plan_memory(job, grid, options.scale, options.raster.max_memory).reading
    parts = Parts(job.item.target, job.output)
    with RasterSource(job.info, job.layout, job.window, limit_bytes=limit) as source:
        for number in chain.from_iterable(runs):
            writer = PartWriter(parts, range(number, number + 1))
            rows, needs_mask = parts.span(number), parts.output.mask
            repeat_raster(source, writer, options.scale, rows, needs_mask=needs_mask)
            writer.finish()
            task.advance(1)
    return Timing(total=time.perf_counter() - started)


class PartMaker:
    """Makes parts of one raster; several processes may make different parts at once.

    Args:
        job: The raster.
        engine: Takes and gives RGB.
        tiling: Tile, overlap and edge.
        options: Scale and limit of memory.
        calibration: The engine's measurements of the whole raster; made with the first run of
            parts if None.

    Raises:
        UsageError: If the limit of memory is too low.
    """

    def __init__(
        self,
        job: RasterJob,
        engine: TorchEngine,
        tiling: Tiling,
        options: UpscaleOptions,
        calibration: object | None = None,
    ) -> None:
        self.job = job
        self.tiling = tiling
        self.grid = padded_grid(job.window.height, job.window.width, tiling)
        self.memory = plan_memory(job, self.grid, options.scale, options.raster.max_memory)
        self.layout = job.layout.interpolated()
        self.engine = RasterEngine(engine, groups=self.layout.groups, values=job.values)
        self.parts = Parts(job.item.target, job.output)
        self.calibration = calibration

    def open_source(self) -> RasterSource:
        """Open the raster for reading.

        Raises:
            PictureError: If it cannot be opened.
        """
        return self._open(self.layout)

    def _open(self, layout: BandLayout) -> RasterSource:
        share = self.memory.reading // (1 + bool(self.job.layout.classes))
        return RasterSource(self.job.info, layout, self.job.window, limit_bytes=share)

    def make(self, runs: Iterable[range], task: Task) -> Timing:
        """Make runs of consecutive parts, and return the time that it took.

        Raises:
            PictureError: If reading or writing fails; complete parts are kept.
            TileTooLargeError: If a tile does not fit into memory.
        """
        timing = Timing()
        with ExitStack() as stack:
            source, classes = stack.enter_context(self.open_source()), None
            if self.job.layout.classes:
                classes = stack.enter_context(self._open(self.job.layout.repeated()))
            for run in runs:
                timing += self._make_run(source, classes, run, task)
        return timing

    def _make_run(
        self, source: RasterSource, classes: RasterSource | None, run: range, task: Task
    ) -> Timing:
        scale, parts = self.engine.scale, self.parts
        writer = PartWriter(parts, run)
        rows: RowWriter = writer
        if classes is not None:
            rows = ClassJoiner(writer=writer, classes=classes, layout=self.job.layout, scale=scale)
        masked = MaskedSink(rows, source, scale, needs_mask=parts.output.mask)
        with WriteBehind(masked.write, self.memory.waiting) as sink:
            work = make_work(
                source,
                sink,
                name=str(self.job.item.source),
                scale=scale,
                tiling=self.tiling,
                rows=tile_rows_of(parts, run, self.grid, scale, self.tiling.edge),
            )
            work.calibration = self.calibration
            run_one(self.engine, work, task=task)
        writer.finish()
        self.calibration = work.calibration
        return work.timing


def tile_rows_of(parts: Parts, run: range, grid: TileGrid, scale: int, edge: int) -> range:
    """Return the rows of tiles that a run of consecutive parts needs; see ``tile_rows``."""
    rows = range(parts.span(run.start).start, parts.span(run.stop - 1).stop)
    return tile_rows(grid, rows, scale, edge)
