"""Make a raster by its plan, in steps: calibrate its network, make the parts, keep them as a file.

Steps are plain data, which can be sent to another process. A raster has at most one
``CalibratingStep``; its parts are made by one ``MakingStep``, or by several at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.files import open_input
from srcli.imaging.files.tiff_pages import read_page
from srcli.imaging.rasters.creation import copied_by_gdal
from srcli.imaging.rasters.dataset_names import DatasetName
from srcli.imaging.rasters.opening import open_raster
from srcli.imaging.rasters.part_writer import PartWriter
from srcli.imaging.rasters.parts import Parts, open_parts
from srcli.imaging.rasters.publishing import publish, try_creation_options
from srcli.imaging.rasters.source import RasterSource
from srcli.imaging.rasters.stac import acquisition_time, write_item
from srcli.inference.calibration import calibrate
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.stream import ImageJob, run_one
from srcli.inference.tiling import Tiling, cut_grid, tile_rows
from srcli.models.weights import network_digest
from srcli.pipelines.upscale.choosing import INTERPOLATION_COST, INTERPOLATION_MODEL
from srcli.pipelines.upscale.looking import look_at_raster
from srcli.pipelines.upscale.plans import plan_raster
from srcli.pipelines.upscale.single_photographs import make_pages
from srcli.pipelines.upscale.writing_forecast import WritingForecast, check_room
from srcli.ports import Task, TileGrid, Window
from srcli.threads import write_behind

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from srcli.imaging.photographs.photograph import Picture
    from srcli.imaging.rasters.opening import OpenedRaster
    from srcli.inference.engines import EnginePool
    from srcli.pipelines.upscale.kinds import Opened
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.photographs import PhotographUpscaler, Pools
    from srcli.pipelines.upscale.plans import RasterPlan
    from srcli.pipelines.upscale.reporter import Facts, Item, Reporter


QUEUED_BYTES = 64 << 20
"""Most bytes of finished rows that may wait for the writer."""
LEAST_TRIED = 1_000_000
"""Output pixels below which a trial of the options would take as long as the file."""
LARGE_OUTPUT = 100_000_000
"""Output pixels from which on a raster takes seconds to write, and is shared by workers."""
USUAL_TILE_ROWS = 20
"""Rows of tiles that one step has at least, where that gives every worker one; each cut
between steps computes one row twice, which is 5 % of these."""
FEWEST_TILE_ROWS = 4
"""Fewest rows of tiles in a step where longer ones would leave workers without work."""


@dataclass(frozen=True)
class RasterCalibration:
    """Measurements on a whole raster before its parts are made, the same for all of them."""

    tiling: Tiling
    fingerprint: Mapping[str, object]
    """What the pixels depend on of the network and the way in which it runs; with that of
    the plan it tells if parts of an earlier run can be kept."""
    is_gray: bool
    """Red, green and blue are equal everywhere."""
    statistics: dict[str, Any] | None
    """The network's statistics of the whole raster, as arrays by name; None where it needs
    none."""


@dataclass(frozen=True)
class CalibratingStep:
    """Find the ``RasterCalibration`` of a raster."""

    plan: RasterPlan

    def run(self, pool: EnginePool, task: Task) -> RasterCalibration:
        """Return the calibration; networks that need statistics run on the whole raster."""
        plan = self.plan
        raster_engine = make_raster_engine(plan, pool)
        engine = raster_engine.engine
        options = plan.options
        tiling = pool.tiling(options.tile, options.overlap)
        area = plan.area
        grid = tiling.padded_grid(area.height, area.width, options.wrap)
        source = plan.source(area, grid.tile_height)
        tensors = calibrate(raster_engine, source, grid)
        statistics = None
        if tensors is not None:
            statistics = {
                name: tensor.cpu().numpy() for name, tensor in tensors.items()
            }
        return RasterCalibration(
            tiling=tiling,
            fingerprint={
                "model": f"{plan.options.model} {network_digest(engine.network)[:16]}",
                "tile": [grid.tile_height, grid.tile_width, grid.overlap],
                "batch": engine.batch_size(grid.tile_height, grid.tile_width),
                "precision": str(engine.half or "fp32"),
                "device": engine.device.type,
                "tta": engine.options.tta,
                "corrections": [correction.name for correction in engine.corrections],
            },
            is_gray=source.is_gray(),
            statistics=statistics,
        )


@dataclass(frozen=True)
class MakingStep:
    """Make parts of a raster: ``runs`` are ranges of part numbers."""

    plan: RasterPlan
    calibration: RasterCalibration | None
    """None where all bands hold classes, whose pixels are repeated; bicubic interpolation has
    one."""
    runs: Sequence[range]

    @cached_property
    def grid(self) -> TileGrid:
        """The tiles that the window needs; of a large raster they take a while to be cut."""
        assert self.calibration is not None
        area = self.plan.area
        options = self.plan.options
        grid = self.calibration.tiling.padded_grid(
            area.height, area.width, options.wrap
        )
        return cut_grid(grid, _within(self.plan.window, area), options.scale)

    @property
    def tiles_across(self) -> int:
        """Number of tiles in a row of tiles; 1 without a network, where parts are counted."""
        return 1 if self.calibration is None else len(self.grid.lefts)

    @property
    def cost(self) -> float:
        """Passes of the network through which all bands of a pixel go."""
        if self.plan.options.model == INTERPOLATION_MODEL:
            return INTERPOLATION_COST
        return len(self.plan.layout.groups)

    @property
    def tile_work(self) -> float:
        """As how much work a tile counts, or a part without a network."""
        if self.calibration is None:
            pixels = len(self.plan.parts.span(0)) * self.plan.output.width
            return pixels / 1e6 * INTERPOLATION_COST
        return self.grid.tile_megapixels * self.cost

    @property
    def tile_row_count(self) -> int:
        """Number of rows of tiles that all runs need."""
        return sum(len(self.tile_rows(run)) for run in self.runs)

    def tile_rows(self, run: range) -> range:
        """Return the rows of tiles that a run of parts needs; without a network, the parts."""
        if self.calibration is None:
            return run
        parts = self.plan.parts
        top = parts.span(run.start).start
        bottom = parts.span(run.stop - 1).stop
        return tile_rows(self.grid, range(top, bottom), self.plan.options.scale)

    def run(self, pool: EnginePool, task: Task) -> None:
        """Make the parts; the task advances by their tiles."""
        plan = self.plan
        scale = plan.options.scale
        engine = None
        # without a network, those that one part repeats
        rows_read = len(plan.parts.span(0)) // scale + 1
        if self.calibration is not None:
            engine = make_raster_engine(plan, pool, gray=self.calibration.is_gray)
            rows_read = self.grid.tile_height
        source = plan.source(plan.area, rows_read)
        # where pictures wrap, zeros at a border are enlarged with the opposite one
        source.keeps_zeros = not plan.options.wrap and all(
            low == 0 for low, _ in plan.values.ranges
        )
        # parts that exist already are of a worker that was lost
        still_missing = self._write_blanks(source, task)
        for run in still_missing:
            window = plan.source(plan.window, rows_read)
            writer = PartWriter(plan.parts, run, window, scale)
            if engine is None:  # all bands hold classes
                for number in run:
                    writer.write_part(number)
                    task.advance(self.tile_work)
            else:
                self._enlarge(engine, source, writer, run, task)

    def _enlarge(
        self,
        engine: RasterEngine,
        source: RasterSource,
        writer: PartWriter,
        run: range,
        task: Task,
    ) -> None:
        """Make a run of parts by the network, through ``writer``."""
        from srcli.layers.transfer import upload

        assert self.calibration is not None
        tensors = None
        if self.calibration.statistics:
            tensors = {}
            for name, values in self.calibration.statistics.items():
                tensors[name] = upload(values, engine.engine.device)
        with write_behind(writer.write, QUEUED_BYTES) as write:
            job = ImageJob(
                name=str(self.plan.item.source),
                source=source,
                write=write,
                grid=self.grid,
                tile_rows=self.tile_rows(run),
                calibration=tensors,
                cost=self.cost,
            )
            run_one(engine, job, task=task)
            blended = time.monotonic()
        # leaving the block above waits for the rows that are still queued
        job.waited["writing"] += time.monotonic() - blended
        task.add_waiting(job.waited)

    def _write_blanks(self, source: RasterSource, task: Task) -> list[range]:
        """Store missing parts that a sparse file leaves blank; return the runs still missing.

        A part is blank if no tile that reaches into it sees a pixel.
        """
        plan = self.plan
        missing = plan.parts.missing(self.runs)
        if plan.info.block_share == 1 or plan.output.mask:
            return missing
        for run in missing:
            for number in run:
                if source.is_left_out(self._find_input(number)):
                    plan.parts.add(number, b"")
        still_missing = plan.parts.missing(self.runs)
        # tiles of blank parts count as computed, else the task never gets to its end
        blank_rows = replace(self, runs=missing).tile_row_count
        blank_rows -= replace(self, runs=still_missing).tile_row_count
        task.advance(blank_rows * self.tiles_across * self.tile_work)
        return still_missing

    def _find_input(self, number: int) -> Window:
        """Return the rows of the area that a part depends on, through the tiles it needs."""
        plan = self.plan
        scale = plan.options.scale
        if self.calibration is None:
            window = _within(plan.window, plan.area)
            span = plan.parts.span(number)
            top = window.top + span.start // scale
            bottom = window.top - (-span.stop // scale)
            return replace(window, top=top, height=bottom - top)
        grid = self.grid
        rows = self.tile_rows(range(number, number + 1))
        top = grid.tops[rows.start] - grid.edge
        bottom = grid.tops[rows.stop - 1] - grid.edge + grid.tile_height
        if grid.wrap in ("y", "both"):
            top = 0
            bottom = plan.area.height
        top = max(top, 0)
        bottom = min(bottom, plan.area.height)
        return Window(top=top, left=0, height=bottom - top, width=plan.area.width)


def _within(window: Window, area: Window) -> Window:
    """Return a window as it is counted from the upper left corner of an area around it."""
    return replace(window, top=window.top - area.top, left=window.left - area.left)


RasterStep = CalibratingStep | MakingStep
RunSteps = Callable[[Sequence[RasterStep]], Sequence[RasterCalibration | None]]
"""Runs steps, in this process or in several, and returns a calibration or None for each;
raises the error of one that fails."""


def make_raster_engine(
    plan: RasterPlan, pool: EnginePool, *, gray: bool = False
) -> RasterEngine:
    """Return the engine for a raster's bands, with the network of the pool."""
    bits = 8 if plan.layout.smooth_dtype == "uint8" else 32
    return RasterEngine(
        pool.engine(bits),
        groups=plan.layout.groups,
        values=plan.values,
        interpolated=plan.interpolated,
        gray=gray,
    )


def run_steps_here(
    pools: Pools, task: Task, steps: Sequence[RasterStep]
) -> Sequence[RasterCalibration | None]:
    """Run steps in this process; see ``RunSteps``."""
    results = []
    for step in steps:
        options = step.plan.options
        results.append(step.run(pools(options.model, options.scale), task))
    return results


def upscale_raster(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale a raster in this process."""
    reporter = photographs.reporter
    run_steps = partial(run_steps_here, photographs.pools, reporter)
    return upscale_one_raster(
        opened.item,
        photographs.options,
        reporter,
        run_steps,
        picture=opened.picture,
    )


def upscale_one_raster(
    item: Item,
    options: Settled,
    reporter: Reporter,
    run_steps: RunSteps,
    slot_count: int = 1,
    dataset: DatasetReader | None = None,
    picture: Picture | None = None,
) -> Facts:
    """Look at a raster, decide, make its parts, keep them as a file, and return what is reported.

    ``run_steps`` runs ``slot_count`` steps at once. ``dataset`` and ``picture`` are those
    of ``look_at_raster``.
    """
    reporter.describe(f"looking at {item.source.name}")
    with look_at_raster(item, options, dataset, picture) as seen:
        taken = ""
        if options.stac:
            taken = acquisition_time(seen.opened.dataset, item.source, item.asset)
        plan = check_room(plan_raster(item, options, seen))
        tiles = make_raster(plan, seen.opened, reporter, run_steps, slot_count)
    if options.stac:
        write_item(item.target, taken, item.asset, options.bands)
    return {**plan.facts, "tiles": tiles}


def make_raster(
    plan: RasterPlan,
    opened: OpenedRaster,
    reporter: Reporter,
    run_steps: RunSteps,
    slot_count: int = 1,
) -> int:
    """Make a raster by its plan, write the file, and return the number of tiles computed."""
    reporter.tell(plan.item, *plan.remarks)
    plan.item.make_folder()
    # nobody is asked for patience before a small file of our own options
    if plan.options.creation or math.prod(plan.size) >= LEAST_TRIED:
        try_creation_options(plan.item.target, plan.output)
    if reporter.ending is not None:
        output = copied_by_gdal(plan.output, "tiles are cut from its canvas")
        plan = replace(plan, output=output)
    calibration = None  # where all bands hold classes
    if plan.layout.groups:
        reporter.describe(f"measuring {plan.item.source.name}")
        (calibration,) = run_steps([CalibratingStep(plan)])
    with _open_parts(plan, calibration, reporter) as parts:
        plan = replace(plan, output=parts.output)
        step = MakingStep(plan, calibration, parts.missing())
        steps = _split_runs(step, slot_count)
        tiles = sum(step.tile_row_count * step.tiles_across for step in steps)
        work = tiles * step.tile_work
        reporter.grow(work, plan.item.source, plan.item.target)
        reporter.describe(f"enlarging {plan.item.source.name}")
        forecast = WritingForecast(plan, parts, reporter)
        reporter.waited.clear()
        started = time.monotonic()
        with forecast.watch():
            run_steps(steps)
        last_tile = time.monotonic()
        _keep(plan, opened, parts, reporter, forecast)
    _tell_times(plan, tiles, reporter, last_tile - started, last_tile)
    return tiles


@contextmanager
def _open_parts(
    plan: RasterPlan, calibration: RasterCalibration | None, reporter: Reporter
) -> Iterator[Parts]:
    """Open the parts of the output, and tell which of them an earlier run has left."""
    item = plan.item
    fingerprint = plan.fingerprint
    if calibration is not None:
        fingerprint = {**fingerprint, **calibration.fingerprint}
    if plan.parts.stored_bytes:
        reporter.describe(f"checking earlier parts of {item.target.name}")
    resume = plan.options.resume
    opened = open_parts(item.target, plan.output, fingerprint, resume=resume)
    with opened as (parts, notes):
        reporter.tell(item, *notes)
        # tiles of a mosaic are cut from it, and nothing is copied
        if parts.output.why_copied and reporter.ending is None:
            reporter.progress.detail(
                f"{item.source}: GDAL copies it at the end: {parts.output.why_copied}"
            )
        earlier = parts.count - sum(map(len, parts.missing()))
        reporter.tell_kept(item, earlier, parts.count, "parts")
        yield parts


def _keep(
    plan: RasterPlan,
    opened: OpenedRaster,
    parts: Parts,
    reporter: Reporter,
    forecast: WritingForecast,
) -> None:
    """Write the file of finished parts, or what the reporter has made of them instead."""
    item = plan.item
    if math.prod(plan.size) >= LARGE_OUTPUT:
        reporter.tell(item, f"the tiles are done; {forecast.text}")
    forecast.begin()
    opened.check_unchanged()
    opened.close()  # the output may replace it
    if reporter.ending is not None:
        reporter.ending.finish(parts, forecast.count_share)
        parts.remove()
    else:
        attributes = item.attributes(dates=plan.options.keep_dates)
        publish(parts, attributes, plan.embed, forecast.count_bytes)
    forecast.advance_to(1.0)


def _tell_times(
    plan: RasterPlan,
    tiles: int,
    reporter: Reporter,
    seconds_of_tiles: float,
    last_tile: float,
) -> None:
    """Tell how long the tiles took, what they waited for, and how long the file took."""
    waits = [f"{seconds:.1f} s for {what}" for what, seconds in reporter.waited.items()]
    after = time.monotonic() - last_tile
    reporter.progress.detail(
        f"{plan.item.source}: {seconds_of_tiles:.1f} s for {tiles} tiles, of which it waited "
        f"{', '.join(waits) or 'for nothing'}; {after:.1f} s after the last one"
    )


def _split_runs(step: MakingStep, slot_count: int) -> list[MakingStep]:
    """Split a step into shorter ones, which workers run at once.

    One worker gets the whole step, so that no row of tiles is computed twice. Several get
    one step each, or a multiple of that. Steps have ``USUAL_TILE_ROWS`` and more where
    that gives every worker one, else ``FEWEST_TILE_ROWS`` and more.
    """
    if slot_count == 1:
        return [step] if step.runs else []
    rows = step.tile_row_count
    longest = slot_count * max(rows // (USUAL_TILE_ROWS * slot_count), 1)
    count = max(min(longest, rows // FEWEST_TILE_ROWS), 1)
    length = max(-(-sum(map(len, step.runs)) // count), 1)
    steps = []
    for run in step.runs:
        for start in range(run.start, run.stop, length):
            shorter = range(start, min(start + length, run.stop))
            steps.append(replace(step, runs=[shorter]))
    return steps


def upscale_stack(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale all pages of a TIFF into one file."""
    item = opened.item
    options = photographs.options
    reporter = photographs.reporter
    run_steps = partial(run_steps_here, photographs.pools, reporter)
    numbers = page_numbers(item.source, opened.picture.frames)

    def make_page(page_item: Item, index: int) -> Facts:
        with (
            open_page(item.source, numbers[index]) as dataset,
            look_at_raster(page_item, options, dataset, opened.picture) as seen,
        ):
            plan = check_room(plan_raster(page_item, options, seen))
            plan = replace(plan, output=replace(plan.output, overviews=()))
            if index:
                # mostly those of the first page
                plan = replace(plan, remarks=(), embedded=None)
            tiles = make_raster(plan, seen.opened, reporter, run_steps)
        return {**plan.facts, "tiles": tiles}

    return make_pages(item, photographs, len(numbers), make_page)


def page_numbers(path: Path, count: int) -> list[int]:
    """Return the numbers, as GDAL counts them, of the pages of a TIFF that are no thumbnails."""
    with open_input(path) as stream:
        return [read_page(stream, number).number for number in range(1, count + 1)]


def open_page(path: Path, page: int) -> DatasetReader:
    """Open a page of a TIFF, numbered as GDAL counts."""
    return open_raster(DatasetName(f"GTIFF_DIR:{page}:{path.absolute()}"))
