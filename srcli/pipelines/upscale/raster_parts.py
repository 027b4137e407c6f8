"""Make parts of a raster: windows in, tiles through the network, rows out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.imaging.rasters.masking import MaskedSink
from srcli.imaging.rasters.part_writing import PartWriter
from srcli.imaging.rasters.parts import Parts
from srcli.imaging.rasters.reading import RasterSource
from srcli.inference.edges import make_work, padded_grid, tile_rows
from srcli.inference.engines import run_one
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.stream import Timing
from srcli.inference.tiling import Tiling
from srcli.pipelines.upscale.raster_job import RasterJob, RasterMemory
from srcli.threads import WriteBehind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from srcli.inference.stream import Work
    from srcli.ports.progress import Task


@dataclass(kw_only=True)
class PartMaker:
    """Makes parts of one raster; several processes may make different parts at once."""

    job: RasterJob
    engine: RasterEngine
    tiling: Tiling
    memory: RasterMemory
    parts: Parts
    calibration: object | None = None
    """The engine's measurements of the whole raster; made with the first run of parts if None."""

    def tile_rows(self, run: range) -> range:
        """Return the rows of tiles that a run of consecutive parts needs."""
        window, spans = self.job.window, self.parts.span
        return tile_rows(
            padded_grid(window.height, window.width, self.tiling),
            range(spans(run.start).start, spans(run.stop - 1).stop),
            self.engine.scale,
            self.tiling.edge,
        )

    def make(self, runs: Iterable[range], task: Task) -> Timing:
        """Make runs of consecutive parts.

        Args:
            runs: Numbers of parts.
            task: Advanced by every tile.

        Returns:
            The time that it took.

        Raises:
            PictureError: If reading or writing fails; complete parts are kept.
            TileTooLargeError: If a tile does not fit into memory.
        """
        timing, job = Timing(), self.job
        limit = self.memory.reading
        with RasterSource(job.info, job.layout, job.window, limit_bytes=limit) as source:
            for run in runs:
                own = self._make_run(source, run, task).timing
                timing.reading += own.reading
                timing.writing += own.writing
                timing.total += own.total
        return timing

    def _make_run(self, source: RasterSource, run: range, task: Task) -> Work:
        scale, output = self.engine.scale, self.parts.output
        writer = PartWriter(self.parts, run)
        masked = MaskedSink(writer, source, scale, needs_mask=output.mask)
        with WriteBehind(masked.write, self.memory.waiting) as sink:
            work = make_work(
                source,
                sink,
                name=str(self.job.item.source),
                scale=scale,
                tiling=self.tiling,
                rows=self.tile_rows(run),
            )
            work.calibration = self.calibration
            run_one(self.engine, work, task=task)
        writer.finish()
        self.calibration = work.calibration
        return work
