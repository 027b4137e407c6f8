"""Make parts of a raster: windows in, tiles through the network, rows out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.imaging.rasters.masking import MaskedSink
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

    from srcli.inference.engine import TorchEngine
    from srcli.inference.tiling import Tiling
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.raster_job import RasterJob
    from srcli.ports.image import TileGrid
    from srcli.ports.progress import Task


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
        self.engine = RasterEngine(engine, groups=job.layout.groups, values=job.values)
        self.parts = Parts(job.item.target, job.output)
        self.calibration = calibration

    def open_source(self) -> RasterSource:
        """Open the raster for reading.

        Raises:
            PictureError: If it cannot be opened.
        """
        job, limit = self.job, self.memory.reading
        return RasterSource(job.info, job.layout, job.window, limit_bytes=limit)

    def make(self, runs: Iterable[range], task: Task) -> Timing:
        """Make runs of consecutive parts, and return the time that it took.

        Raises:
            PictureError: If reading or writing fails; complete parts are kept.
            TileTooLargeError: If a tile does not fit into memory.
        """
        timing = Timing()
        with self.open_source() as source:
            for run in runs:
                timing += self._make_run(source, run, task)
        return timing

    def _make_run(self, source: RasterSource, run: range, task: Task) -> Timing:
        scale, parts = self.engine.scale, self.parts
        writer = PartWriter(parts, run)
        masked = MaskedSink(writer, source, scale, needs_mask=parts.output.mask)
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
