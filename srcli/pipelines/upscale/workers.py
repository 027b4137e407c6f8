"""Upscale inputs by units of work, which are done here or by several workers.

A unit is a share of the photographs, or a piece of a raster's steps: prepare it, make its parts,
merge them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from srcli.errors import PictureError, SrxError, one_file
from srcli.files import attributes_for
from srcli.imaging.rasters.merging import merge_parts, try_creation_options
from srcli.imaging.rasters.parts import Parts, PartWriter, open_parts
from srcli.imaging.rasters.reading import MaskedSink, RasterSource
from srcli.inference.calibration import calibrate
from srcli.inference.engine import RasterEngine
from srcli.inference.engines import EnginePool, cached_pool, run_one
from srcli.inference.stream import PaddedSource, TileTooLargeError, Timing, make_job
from srcli.inference.tiling import Tiling, padded_grid, tile_rows
from srcli.layers.tiles import Calibration
from srcli.metrics.machine import processors, threads
from srcli.models.weights import network_digest
from srcli.pipelines.executors.processes import JsonDict, Place, SerialExecutor, run_units, shares
from srcli.pipelines.upscale.inputs import open_photographs
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.photographs import PhotographRun
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.raster_job import RasterJob, check_disk, open_job, plan_memory
from srcli.pipelines.upscale.reporter import Reporter
from srcli.threads import WriteBehind

if TYPE_CHECKING:
    from srcli.imaging.rasters.selection import BandLayout
    from srcli.pipelines.executors.processes import Executor, UnitResult
    from srcli.ports.image import TileGrid
    from srcli.ports.progress import Progress, Task


LARGE = 100_000_000
"""Output pixels that take some seconds to write."""
LEAST_TILE_ROWS = 20
"""Of a run of parts: one row of tiles is computed twice at each cut, which is 5 % of these."""
FEWEST_TILE_ROWS = 4
"""Of a run, where longer ones would leave workers without work."""


@dataclass(frozen=True)
class UpscaleShare:
    """A unit of work: some of the inputs."""

    items: Sequence[Item]
    options: UpscaleOptions
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class RasterUnit:
    """A unit of work of one raster."""

    step: Literal["prepare", "make", "merge"]
    item: Item
    options: UpscaleOptions
    tiling: Tiling
    job: RasterJob | None = None
    """None until the raster is prepared."""
    runs: tuple[range, ...] = ()
    """Runs of consecutive parts to make."""
    pool: EnginePool | None = None
    """Engines of this process; None takes those of the worker."""
    again: bool = False
    """The worker that did it before was lost."""
    label: str = ""


RasterSteps = Generator[Sequence[RasterUnit], Sequence[Any] | None, None]
"""Gives the units of one step after the other, and takes their results."""


@dataclass
class _RasterUnderWay:
    steps: RasterSteps
    results: list[JsonDict] = field(default_factory=list)
    """Those of its present step, as far as they are there."""
    units: int = 0


@dataclass(kw_only=True)
class _RasterRun:
    """Upscales rasters, some at once: the units of their present steps are among all."""

    tiling: Tiling
    options: UpscaleOptions
    reporter: Reporter
    slots: int
    """Units that can be done at once."""
    pool: EnginePool | None
    """Engines of this process, which does all units then."""
    units: list[Any]
    """Receives their units, while others are run."""
    waiting: deque[Item] = field(default_factory=deque)
    under_way: dict[Item, _RasterUnderWay] = field(default_factory=dict)

    def add(self, items: Sequence[Item]) -> None:
        """Take on rasters."""
        self.waiting += items
        # workers have something to do while the parts of one are merged
        while self.waiting and len(self.under_way) < 2 * self.slots - 1:
            item = self.waiting.popleft()
            self.under_way[item] = _RasterUnderWay(self._upscale(item))
            self._go_on(item)

    def take(self, unit: RasterUnit, done: UnitResult) -> None:
        """Take the result of a unit; after the last one of its step begin the next.

        A unit whose worker was lost is done once more.
        """
        if done.result is None and not unit.again:
            self.units.append(replace(unit, again=True))
            return
        raster = self.under_way[unit.item]
        failed = {"error": PictureError(f"{unit.item.source}: {done.failure}")}
        raster.results.append(failed if done.result is None else done.result)
        if len(raster.results) == raster.units:
            self._go_on(unit.item)
        self.add([])

    def _go_on(self, item: Item) -> None:
        raster = self.under_way[item]
        errors = [result["error"] for result in raster.results if "error" in result]
        # smaller tiles may help against all of them
        errors.sort(key=lambda error: not isinstance(error, TileTooLargeError))
        try:
            if errors:
                units = raster.steps.throw(errors[0])
            else:
                units = raster.steps.send(raster.results or None)
        except StopIteration:
            del self.under_way[item]
            return
        raster.results, raster.units = [], len(units)
        self.units += units

    def close(self) -> None:
        """Release the parts of all rasters that are under way."""
        for raster in self.under_way.values():
            raster.steps.close()

    def _upscale(self, item: Item) -> RasterSteps:
        """Upscale a raster and report it, a failure too; out of memory, with halved tiles."""
        started = time.monotonic()
        unit = RasterUnit(
            step="prepare", item=item, options=self.options, tiling=self.tiling, pool=self.pool
        )
        while True:
            try:
                with one_file(item.source):
                    yield from self._steps(unit, started)
                return
            except SrxError as error:
                smaller = unit.tiling.halved() if isinstance(error, TileTooLargeError) else None
                if smaller is None:
                    self.reporter.fail(item, error, started)
                    return
            self.reporter.progress.warn(
                f"{item.source}: out of memory: starts over with tiles of {smaller.tile} pixels"
            )
            unit = replace(unit, tiling=smaller)

    def _steps(self, unit: RasterUnit, started: float) -> RasterSteps:
        """Do all steps once."""
        item, options, told = unit.item, unit.options, unit.tiling != self.tiling

        def tell(text: str) -> None:
            self.reporter.progress.message(f"{item.source}: {text}")

        prepared = yield [unit]
        assert prepared is not None
        job: RasterJob = prepared[0]["job"]
        for remark in job.remarks if not told else ():
            tell(remark)
        item.make_folder()
        try_creation_options(item.target, job.output)
        resume, timing = options.raster.resume, Timing()
        with open_parts(item.target, job.output, job.fingerprint, resume=resume) as (parts, notes):
            for note in notes:
                tell(note)
            grid = _grid(unit, job)
            total, across, what = grid.count, len(grid.lefts), "tiles"
            if job.layout.all_classes:
                total, across, what = parts.count, 1, "parts"
            missing = parts.missing()
            count = sum(len(_tile_rows(unit, job, run)) for run in missing)
            if (kept := total - count * across) > 0:
                tell(f"{kept} of {total} {what} are kept from an earlier run")
            shares = _shares(missing, count, self.slots)
            tiles = across * sum(len(_tile_rows(unit, job, run)) for runs in shares for run in runs)
            self.reporter.tiles.grow(tiles)
            if units := [replace(unit, step="make", job=job, runs=tuple(runs)) for runs in shares]:
                for made in (yield units) or ():
                    timing += made["timing"]
            if job.output.height * job.output.width >= LARGE:
                tell(f"the tiles are done; writing {item.target.name}")
            yield [replace(unit, step="merge", job=job)]
        waited = (
            f"the network waited for reading {timing.reading:.1f} s and for writing "
            f"{timing.writing:.1f} s of {timing.total:.1f} s"
        )
        self.reporter.add(
            item,
            started=started,
            tiles=tiles,
            size=(job.output.height, job.output.width),
            warnings=job.notes,
            details=() if job.layout.all_classes else (waited,),
        )


def _shares(missing: list[range], rows: int, slots: int) -> list[list[range]]:
    """Cut runs of parts, of so many rows of tiles in all, into those that each worker makes.

    One worker makes all, so that no row of tiles is computed twice. Among several there is a run
    for each, or a multiple of that. Runs have ``LEAST_TILE_ROWS`` and more where that gives every
    worker one, else ``FEWEST_TILE_ROWS`` and more.
    """
    if slots == 1:
        return [missing] if missing else []
    wanted = slots * max(rows // (LEAST_TILE_ROWS * slots), 1)
    count = max(min(wanted, rows // FEWEST_TILE_ROWS), 1)
    length = max(-(-sum(map(len, missing)) // count), 1)
    starts = ((run, start) for run in missing for start in range(run.start, run.stop, length))
    return [[range(start, min(start + length, run.stop))] for run, start in starts]


def _do_raster_unit(unit: RasterUnit, progress: Progress) -> JsonDict:
    source = unit.item.source
    try:
        with one_file(source):
            try:
                if unit.step == "prepare":
                    return {"job": _prepare(unit)}
                assert unit.job is not None
                if unit.step == "make":
                    return {"timing": _make(unit, unit.job, progress.task("tiles"))}
                target = unit.item.target
                attributes = attributes_for(target, source, dates=unit.options.keep_dates)
                merge_parts(Parts(target, unit.job.output), attributes)
                return {}
            except MemoryError as error:
                short = "out of memory; --max-memory says early what does not fit"
                raise PictureError(f"{source}: {short}") from error
    except SrxError as error:
        return {"error": error}


def _prepare(unit: RasterUnit) -> RasterJob:
    """Look at a raster, and measure it for networks that need that."""
    job = open_job(unit.item, unit.options)
    # a header may claim more pixels than fit into memory as a grid
    job = replace(job, notes=(*job.notes, *check_disk(job)))
    if job.layout.all_classes:
        return job
    engine, grid = _engine(unit, job), _grid(unit, job)
    own = engine.engine
    network = {
        "model": f"{unit.options.model} {network_digest(own.network)[:16]}",
        "tile": [grid.tile_height, grid.tile_width, grid.overlap],
        "batch": own.batch_size(grid.tile_height, grid.tile_width),
        "precision": str(own.half or "fp32"),
        "device": own.device.type,
        "engine": own.name,
        "tta": own.tta,
        "back_project": own.back_project,
    }
    cache, _ = plan_memory(job, grid, unit.options.scale, unit.options.raster.max_memory)
    with RasterSource(job.info, job.layout.interpolated(), job.window, cache) as source:
        found = calibrate(engine, PaddedSource(source, unit.tiling.edge), grid)
    arrays = found.arrays() if isinstance(found, Calibration) else None
    return replace(job, fingerprint={**job.fingerprint, **network}, calibration=arrays)


def _engine(unit: RasterUnit, job: RasterJob) -> RasterEngine:
    options = unit.options
    pool = unit.pool or cached_pool(options.model, options.scale, options.engine)
    engine = pool.engine(bits=8 if job.layout.dtype == "uint8" else 32)
    return RasterEngine(engine, groups=job.layout.interpolated().groups, values=job.values)


def _make(unit: RasterUnit, job: RasterJob, task: Task) -> Timing:
    """Make the parts of a unit that are not there: windows in, tiles through it, rows out."""
    scale = unit.options.scale
    parts = Parts(unit.item.target, job.output)
    cache, waiting = plan_memory(job, _grid(unit, job), scale, unit.options.raster.max_memory)
    runs = parts.missing(unit.runs)  # those that are there were made by a worker that was lost
    timing, layout = Timing(), job.layout
    with ExitStack() as stack:

        def opened(layout: BandLayout) -> RasterSource:
            return stack.enter_context(RasterSource(job.info, layout, job.window, cache))

        if layout.all_classes:
            source = opened(layout)
            for run in runs:
                sink = MaskedSink(PartWriter(parts, run), source, scale, layout)
                for number in run:
                    sink.repeat(parts.span(number))
                    task.advance(1)
            return timing
        engine, source = _engine(unit, job), opened(layout.interpolated())
        classes = opened(layout.repeated()) if layout.classes else None
        arrays, device = job.calibration, engine.engine.device
        for run in runs:
            sink = MaskedSink(PartWriter(parts, run), source, scale, layout, classes)
            with WriteBehind(sink.write, waiting) as rows:
                work = make_job(
                    source,
                    rows,
                    name=str(unit.item.source),
                    scale=scale,
                    tiling=unit.tiling,
                    tile_rows=_tile_rows(unit, job, run),
                )
                work.calibration = Calibration.of_arrays(arrays, device) if arrays else None
                run_one(engine, work, task=task)
            timing += work.timing
    return timing


def _grid(unit: RasterUnit, job: RasterJob) -> TileGrid:
    return padded_grid(job.window.height, job.window.width, unit.tiling)


def _tile_rows(unit: RasterUnit, job: RasterJob, run: range) -> range:
    """Return the rows of tiles that a run of parts needs; the parts if it needs none."""
    if job.layout.all_classes:
        return run
    parts = Parts(unit.item.target, job.output)
    rows = range(parts.span(run.start).start, parts.span(run.stop - 1).stop)
    return tile_rows(_grid(unit, job), rows, unit.options.scale, unit.tiling.edge)


def run_on_workers(
    items: Sequence[Item],
    rasters: Sequence[Item],
    tiling: Tiling,
    options: UpscaleOptions,
    reporter: Reporter,
    executor: Executor | EnginePool,
) -> None:
    """Upscale inputs by an executor; one that fails is reported and leaves the others alone.

    Some of the items may prove to be rasters; ``tiling`` is theirs. The executor chooses the
    device; engines let this process do all.
    """
    pool = None
    if isinstance(executor, EnginePool):
        pool, executor = executor, SerialExecutor(Place(device=options.engine.device, threads=0))
    slots = max(executor.slots, 1)  # a cluster may wait for its first node
    units: list[UpscaleShare | RasterUnit] = []
    units += [UpscaleShare(share, options) for share in shares(items, slots)]
    run = _RasterRun(
        tiling=tiling, options=options, reporter=reporter, slots=slots, pool=pool, units=units
    )
    first = next(iter((*items, *rasters)))
    try:
        run.add(rasters)
        for unit, done in run_units(
            executor,
            upscale_unit,
            units,
            progress=reporter.progress,
            task=reporter.tiles,
            shared=(first.target.parent, first.source, Path(options.model)),
        ):
            if isinstance(unit, RasterUnit):
                run.take(unit, done)
            elif done.result is not None:
                for report in done.result["files"]:
                    reporter.record(report)
                run.add(done.result["rasters"])
            else:
                reporter.fail(unit.items[0], f"{unit.items[0].source}: {done.failure}")
    finally:
        run.close()


def upscale_unit(
    unit: UpscaleShare | RasterUnit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Do a unit, here or in a worker.

    Photographs give ``files``, the reports of all that were done or failed, and ``rasters``, the
    other inputs. Of a raster "prepare" gives a ``job``, "make" a ``timing``; what failed gives an
    ``error``.
    """
    options = replace(unit.options, engine=replace(unit.options.engine, device=place.device))
    with threads(place.threads or None):
        if isinstance(unit, RasterUnit):
            return _do_raster_unit(replace(unit, options=options), progress)
        pool = cached_pool(options.model, options.scale, options.engine)
        reporter = Reporter(progress)
        reporter.open()
        rasters: list[Item] = []
        photographs = open_photographs(unit.items, options, reporter, rasters)
        sharing = max(processors() // place.threads, 1) if place.threads else 1
        PhotographRun(pool, options, reporter, sharing).upscale(photographs)
    reporter.close()
    return {"files": reporter.summary.files, "rasters": rasters}
