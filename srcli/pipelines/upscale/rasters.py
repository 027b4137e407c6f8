"""Upscale rasters: runs of parts, made here or by several workers, merged when all are there."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from srcli.errors import PictureError, SrxError, one_file
from srcli.imaging.rasters.drivers import check_options
from srcli.imaging.rasters.parts import Parts
from srcli.imaging.rasters.resuming import open_parts
from srcli.inference.edges import padded_grid
from srcli.inference.engines import EnginePool
from srcli.inference.stream import TileTooLargeError, Timing
from srcli.inference.tiling import Tiling
from srcli.pipelines.executors.relay import SharedTasks
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.raster_parts import tile_rows_of
from srcli.pipelines.upscale.raster_units import RasterUnit, raster_unit
from srcli.pipelines.upscale.reporter import FileReport, Reporter
from srcli.ports.executor import Place, UnitResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.pipelines.upscale.raster_job import RasterJob
    from srcli.ports.executor import JsonDict

LARGE = 100_000_000
"""Output pixels that take some seconds to write."""
LEAST_TILE_ROWS = 20
"""Of a run of parts: one row of tiles is computed twice at each cut, which is 5 % of these."""
FEWEST_TILE_ROWS = 4
"""Of a run, where longer ones would leave workers without work."""


def upscale_rasters(
    items: Sequence[Item],
    pool: EnginePool,
    tiling: Tiling,
    options: UpscaleOptions,
    reporter: Reporter,
) -> None:
    """Upscale rasters here, one by one; one that fails is reported and leaves the others alone."""
    place = Place(device=options.engine.device, threads=0)
    progress = SharedTasks(reporter.progress, {"tiles": reporter.tiles})
    for item in items:
        units: list[RasterUnit] = []
        rasters = RasterScheduler(options, tiling, reporter, 1, units, pool)
        try:
            rasters.add(item)
            for unit in units:  # which become more meanwhile
                result = raster_unit(unit, place, progress, lambda: False)
                rasters.on_result(unit, UnitResult(index=0, result=result))
        finally:
            rasters.close()


@dataclass(kw_only=True)
class _OpenRaster:
    """A raster that is under way."""

    item: Item
    started: float
    closing: ExitStack = field(default_factory=ExitStack)
    tight: tuple[str, ...] = ()
    parts: Parts | None = None
    runs: int = 0
    """Units that have not come back."""
    tiles: int = 0
    """Without those of an earlier run."""
    timing: Timing = field(default_factory=Timing)
    error: SrxError | None = None
    """The first failure."""
    too_large: bool = False
    """A tile did not fit into memory."""

    def report(self, job: RasterJob) -> FileReport:
        """Return the report of the raster once it is done."""
        return FileReport(
            source=self.item.source,
            target=self.item.target,
            state="done",
            seconds=time.monotonic() - self.started,
            tiles=self.tiles,
            size=(job.output.height, job.output.width),
            warnings=(*job.notes, *self.tight),
            details=() if job.layout.all_classes else (self._waited,),
        )

    @property
    def _waited(self) -> str:
        timing, total = self.timing, max(self.timing.total, 1e-9)
        return (
            f"the network waited for reading {timing.reading / total:.1%} and for writing "
            f"{timing.writing / total:.1%} of {timing.total:.1f} s"
        )


@dataclass
class RasterScheduler:
    """Turns rasters into units, and their results into further units and reports."""

    options: UpscaleOptions
    tiling: Tiling
    reporter: Reporter
    slots: int
    """Workers."""
    units: list[Any]
    """Receives units, while they are run."""
    pool: EnginePool | None = None
    """Engines of this process, which does all units; None for several workers with their own."""
    _open: dict[Item, _OpenRaster] = field(init=False, default_factory=dict)

    def add(self, item: Item) -> None:
        """Begin a raster."""
        self._open[item] = _OpenRaster(item=item, started=time.monotonic())
        self._append("prepare", item, self.tiling)

    def close(self) -> None:
        """Release the parts of all rasters that are under way."""
        while self._open:
            self._open.popitem()[1].closing.close()

    def on_result(self, unit: RasterUnit, done: UnitResult) -> None:
        """Take the result of a unit; begin what follows from it."""
        raster = self._open[unit.item]
        result = done.result
        if result is None:
            result = {"error": PictureError(f"{unit.item.source}: {done.failure}")}
        error = result.get("error")
        raster.error = raster.error or error
        raster.too_large = raster.too_large or isinstance(error, TileTooLargeError)
        try:
            with one_file(unit.item.source):
                if unit.what == "make":
                    self._made(unit, raster, result)
                elif raster.error:
                    self._end(raster, unit.tiling)
                elif unit.what == "prepare":
                    self._prepared(unit, raster, result)
                else:
                    self._end(raster, unit.tiling, unit.job)
        except SrxError as failure:
            raster.error, raster.too_large = failure, False
            self._end(raster, unit.tiling)

    def _append(
        self,
        what: Literal["prepare", "make", "merge"],
        item: Item,
        tiling: Tiling,
        **settings: Any,  # noqa: ANN401 - of ``RasterUnit``
    ) -> None:
        common: Any = {"item": item, "options": self.options, "tiling": tiling, "pool": self.pool}
        self.units.append(RasterUnit(what=what, **common, **settings))

    def _tell(self, item: Item, text: str) -> None:
        self.reporter.progress.message(f"{item.source}: {text}")

    def _prepared(self, unit: RasterUnit, raster: _OpenRaster, result: JsonDict) -> None:
        """Open the parts and begin to make the missing ones."""
        job: RasterJob = result["job"]
        item = unit.item
        raster.tight = result["tight"]
        item.make_folder()
        for remark in job.remarks if unit.tiling == self.tiling else ():
            self._tell(item, remark)
        check_options(item.target, job.output)
        resume = self.options.raster.resume
        opened = open_parts(item.target, job.output, result["fingerprint"], resume=resume)
        parts, notes = raster.closing.enter_context(opened)
        raster.parts = parts
        for note in notes:
            self._tell(item, note)
        grid = padded_grid(job.window.height, job.window.width, unit.tiling)
        total, across, what = grid.count, len(grid.lefts), "tiles"
        if job.layout.all_classes:
            total, across, what = parts.count, 1, "parts"

        def rows(run: range) -> int:
            if job.layout.all_classes:
                return len(run)
            return len(tile_rows_of(parts, run, grid, self.options.scale, unit.tiling.edge))

        missing = parts.missing()
        count = sum(map(rows, missing))
        if (kept := total - count * across) > 0:
            self._tell(item, f"{kept} of {total} {what} are kept from an earlier run")
        shares = [[run] for run in cut_runs(missing, count, self.slots)]
        if self.pool is not None:  # no row of tiles is computed twice
            shares = [missing] if missing else []
        settings = {"job": job, "calibration": result["calibration"]}
        for runs in shares:
            self._append("make", item, unit.tiling, parts=tuple(runs), **settings)
            raster.tiles += sum(map(rows, runs)) * across
        raster.runs = len(shares)
        self.reporter.tiles.grow(raster.tiles)
        if not shares:
            self._merge(item, unit.tiling, job)

    def _made(self, unit: RasterUnit, raster: _OpenRaster, result: JsonDict) -> None:
        """Begin to merge when the last run of parts has come back."""
        raster.runs -= 1
        if "timing" in result:
            raster.timing += result["timing"]
        if raster.runs:
            return
        if raster.error:
            self._end(raster, unit.tiling)
            return
        assert unit.job is not None
        self._merge(unit.item, unit.tiling, unit.job)

    def _merge(self, item: Item, tiling: Tiling, job: RasterJob) -> None:
        if job.output.height * job.output.width >= LARGE:
            self._tell(item, f"the tiles are done; writing {item.target.name}")
        self._append("merge", item, tiling, job=job)

    def _end(self, raster: _OpenRaster, tiling: Tiling, job: RasterJob | None = None) -> None:
        """Report a raster, or begin again with smaller tiles if those were too large."""
        item, smaller = raster.item, tiling.halved()
        again = raster.too_large and smaller is not None
        if again and raster.parts is not None:
            raster.parts.clear()
        raster.closing.close()
        del self._open[item]
        if again and smaller is not None:
            self.reporter.progress.warn(
                f"{item.source}: out of memory: starts over with tiles of {smaller.tile} pixels"
            )
            self._open[item] = _OpenRaster(item=item, started=raster.started)
            self._append("prepare", item, smaller)
        elif job is not None:
            self.reporter.add(raster.report(job))
        elif raster.error is not None:
            self.reporter.fail(item, raster.error, raster.started)


def cut_runs(missing: Sequence[range], rows: int, slots: int) -> Iterator[range]:
    """Cut runs of parts into shorter ones, which workers make side by side.

    There is a run for each worker, or a multiple of that. Runs have ``LEAST_TILE_ROWS`` and more
    where that gives every worker one, else ``FEWEST_TILE_ROWS`` and more.

    Args:
        missing: Runs of consecutive parts.
        rows: Rows of tiles that they take together.
        slots: Workers.
    """
    slots = max(slots, 1)
    wanted = slots * max(rows // (LEAST_TILE_ROWS * slots), 1)
    count = max(min(wanted, rows // FEWEST_TILE_ROWS), 1)
    length = max(-(-sum(map(len, missing)) // count), 1)
    for run in missing:
        for start in range(run.start, run.stop, length):
            yield range(start, min(start + length, run.stop))
