"""Upscale rasters one after another: make the missing parts of each, and merge them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError
from srcli.imaging.rasters.drivers import check_options
from srcli.imaging.rasters.merging import merge_parts
from srcli.imaging.rasters.resuming import open_parts
from srcli.inference.engines import EnginePool
from srcli.inference.stream import TileTooLargeError, Timing
from srcli.inference.tiling import Tiling
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.raster_job import RasterJob, check_disk, fingerprint, open_job
from srcli.pipelines.upscale.raster_parts import PartMaker, tile_rows_of
from srcli.pipelines.upscale.reporter import FileReport, Reporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.pipelines.upscale.naming import Item


LARGE = 100_000_000
"""Output pixels that take some seconds to write."""


@dataclass(frozen=True, kw_only=True)
class RasterResult:
    """Work done on one raster."""

    tiles: int
    """Without those of an earlier run."""
    timing: Timing


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
        return report_of(job, self._retry(job, self.tiling), started, tight)

    def _tell(self, job: RasterJob, text: str) -> None:
        self.reporter.progress.message(f"{job.item.source}: {text}")

    def _retry(self, job: RasterJob, tiling: Tiling) -> RasterResult:
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

    def _write(self, job: RasterJob, tiling: Tiling) -> RasterResult:
        """Upscale a raster to its file; the parts of an interrupted one are kept, to be resumed."""
        maker = PartMaker(job, self.pool.engine(job.bits), tiling, self.options)
        grid, edge = maker.grid, tiling.edge
        check_options(job.item.target, job.output)
        mark = fingerprint(job, maker.engine.engine, grid, self.options)
        resume = self.options.raster.resume
        with open_parts(job.item.target, job.output, mark, resume=resume) as (parts, notes):
            for note in notes:
                self._tell(job, note)
            missing = parts.missing()
            rows = (tile_rows_of(parts, run, grid, maker.engine.scale, edge) for run in missing)
            tiles = sum(map(len, rows)) * len(grid.lefts)
            if tiles < grid.count:
                kept = grid.count - tiles
                self._tell(job, f"{kept} of {grid.count} tiles are kept from an earlier run")
            self.reporter.tiles.grow(tiles)
            try:
                timing = maker.make(missing, self.reporter.tiles)
            except TileTooLargeError:
                parts.clear()
                raise
            if job.output.height * job.output.width >= LARGE:
                self._tell(job, f"the tiles are done; writing {job.item.target.name}")
            merge_parts(parts)
        return RasterResult(tiles=tiles, timing=timing)


def report_of(
    job: RasterJob, result: RasterResult, started: float, tight: tuple[str, ...]
) -> FileReport:
    """Return the report of a raster that is done."""
    timing = result.timing
    total = max(timing.total, 1e-9)
    return FileReport(
        source=job.item.source,
        target=job.item.target,
        state="done",
        seconds=time.monotonic() - started,
        tiles=result.tiles,
        size=(job.output.height, job.output.width),
        warnings=(*job.notes, *tight),
        details=(
            f"the network waited for reading {timing.reading / total:.1%} and for writing "
            f"{timing.writing / total:.1%} of {timing.total:.1f} s",
        ),
    )
