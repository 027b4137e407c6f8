"""Upscale a raster in steps: its network measures it, its parts are made, and put together.

Each step can be sent to another process; the parts of a large raster are made by several.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from srcli.files import attributes_for
from srcli.holding import begin
from srcli.imaging.rasters.merging import merge_parts, try_creation_options
from srcli.imaging.rasters.opened import OpenedRaster
from srcli.imaging.rasters.parts import open_parts
from srcli.imaging.rasters.reading import RasterSource
from srcli.imaging.rasters.values import is_gray_raster
from srcli.imaging.rasters.writing import PartWriter
from srcli.inference.building import EnginePool, choose_tiling, run_one
from srcli.inference.calibration import calibrate
from srcli.inference.stream import ImageJob
from srcli.inference.tiling import Tiling, tile_rows
from srcli.models.weights import network_digest
from srcli.pipelines.upscale.plans import RasterPlan, plan_raster
from srcli.ports.image import TileGrid, Window
from srcli.ports.progress import Task
from srcli.threads import write_behind

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from srcli.inference.raster_engine import RasterEngine
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.reporter import Item, Reporter

WAITING = 64 << 20
"""Bytes of finished rows that may wait for the writer."""
LARGE = 100_000_000
"""Output pixels that take some seconds to write."""
LEAST_TILE_ROWS = 20
"""Fewest rows of tiles in one unit of work; each cut between units computes one row
twice, which is 5 % of these."""
FEWEST_TILE_ROWS = 4
"""Fewest rows of tiles in a unit where longer ones would leave workers without work."""


@dataclass(frozen=True)
class Measurement:
    """What a network has found out of a whole raster before parts are made."""

    tiling: Tiling
    fingerprint: Mapping[str, object]
    """What the pixels depend on of the network and the way in which it runs."""
    is_gray: bool
    """Red, green and blue are equal everywhere."""
    calibration: dict[str, Any] | None
    """The network's measurements as arrays; None where it needs none."""


@dataclass(frozen=True)
class MeasuringStep:
    """Measure a raster by its network."""

    plan: RasterPlan

    def do(self, pool: EnginePool, task: Task) -> Measurement:
        """Return what was measured."""
        plan = self.plan
        raster_engine = make_raster_engine(plan, pool)
        engine = raster_engine.engine
        tiling = choose_tiling(
            plan.options.model, pool.network, plan.options.tile, plan.options.overlap
        )
        grid = tiling.padded_grid(plan.window.height, plan.window.width)
        with plan.open(grid.tile_height) as source:
            tensors = calibrate(raster_engine, source, grid)
        calibration = None
        if tensors is not None:
            calibration = {
                name: tensor.cpu().numpy() for name, tensor in tensors.items()
            }
        return Measurement(
            tiling=tiling,
            fingerprint={
                "model": f"{plan.options.model} {network_digest(engine.network)[:16]}",
                "tile": [grid.tile_height, grid.tile_width, grid.overlap],
                "batch": engine.batch_size(grid.tile_height, grid.tile_width),
                "precision": str(engine.half or "fp32"),
                "device": engine.device.type,
                "tta": engine.options.tta,
                "corrections": list(engine.corrections),
            },
            is_gray=is_gray_raster(plan.info, plan.layout, plan.window),
            calibration=calibration,
        )


@dataclass(frozen=True)
class MakingStep:
    """Make runs of consecutive parts of a raster."""

    plan: RasterPlan
    measurement: Measurement | None
    """None where no band is enlarged by a network."""
    runs: Sequence[range]

    @property
    def grid(self) -> TileGrid:
        """The tiles; a header may claim more pixels than fit into memory as a grid."""
        assert self.measurement is not None
        window = self.plan.window
        return self.measurement.tiling.padded_grid(window.height, window.width)

    @property
    def tiles_across(self) -> int:
        """Tiles in a row of them; 1 where parts are counted instead."""
        return 1 if self.measurement is None else len(self.grid.lefts)

    @property
    def tile_row_count(self) -> int:
        """Rows of tiles that all runs need."""
        return sum(len(self.tile_rows(run)) for run in self.runs)

    def tile_rows(self, run: range) -> range:
        """Return the rows of tiles that a run of parts needs; the parts if it needs none."""
        if self.measurement is None:
            return run
        parts = self.plan.parts
        top = parts.span(run.start).start
        bottom = parts.span(run.stop - 1).stop
        return tile_rows(self.grid, range(top, bottom), self.plan.options.scale)

    def do(self, pool: EnginePool, task: Task) -> None:
        """Make the parts; the task advances by their tiles."""
        plan = self.plan
        scale = plan.options.scale
        engine = None
        rows_read = len(plan.parts.span(0)) // scale + 1
        if self.measurement is not None:
            engine = make_raster_engine(plan, pool, gray=self.measurement.is_gray)
            rows_read = self.grid.tile_height
        with plan.open(rows_read) as source:
            source.zero_is_black = all(low == 0 for low, _ in plan.values.ranges)
            # those that are there were made by a worker that was lost
            for run in self._write_blanks(source, task):
                writer = PartWriter(plan.parts, run, source, scale)
                if engine is None:  # classes alone
                    for number in run:
                        writer.write_part(number)
                        task.advance(1)
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
        """Make a run of parts by the network."""
        from srcli.layers.transfer import upload

        assert self.measurement is not None
        tensors = None
        if self.measurement.calibration:
            tensors = {}
            for name, values in self.measurement.calibration.items():
                tensors[name] = upload(values, engine.engine.device)
        with write_behind(writer.write, WAITING) as write:
            job = ImageJob(
                name=str(self.plan.item.source),
                source=source,
                write=write,
                grid=self.grid,
                tile_rows=self.tile_rows(run),
                calibration=tensors,
            )
            run_one(engine, job, task=task)

    def _write_blanks(self, source: RasterSource, task: Task) -> list[range]:
        """Write the missing parts of which a sparse file holds nothing; return the others.

        No tile that reaches into them sees a pixel.
        """
        plan = self.plan
        missing = plan.parts.missing(self.runs)
        if plan.info.filled == 1 or plan.output.mask:
            return missing
        for run in missing:
            for number in run:
                if source.is_blank(self._rows_of(number, source)):
                    plan.parts.add(number, b"")
        still_missing = plan.parts.missing(self.runs)
        blank_rows = replace(self, runs=missing).tile_row_count
        blank_rows -= replace(self, runs=still_missing).tile_row_count
        task.advance(blank_rows * self.tiles_across)
        return still_missing

    def _rows_of(self, number: int, source: RasterSource) -> Window:
        """Return the rows of the input that a part depends on, by way of its tiles."""
        scale = self.plan.options.scale
        span = self.plan.parts.span(number)
        top = span.start // scale
        bottom = -(-span.stop // scale)
        if self.measurement is not None:
            grid = self.grid
            rows = self.tile_rows(range(number, number + 1))
            top = max(grid.tops[rows.start] - grid.edge, 0)
            last_top = grid.tops[rows.stop - 1] - grid.edge
            bottom = min(last_top + grid.tile_height, source.height)
        return Window(top=top, left=0, height=bottom - top, width=source.width)


RasterStep = MeasuringStep | MakingStep
DoSteps = Callable[[Sequence[RasterStep]], Sequence[Measurement | None]]
"""Does steps, in this process or in several; raises the error of one that fails."""


def make_raster_engine(
    plan: RasterPlan, pool: EnginePool, *, gray: bool = False
) -> RasterEngine:
    """Return the engine for a raster's bands, with the network of the pool."""
    from srcli.inference.raster_engine import RasterEngine

    engine = pool.engine(bits=8 if plan.layout.dtype == "uint8" else 32)
    return RasterEngine(
        engine,
        groups=plan.layout.groups,
        values=plan.values,
        interpolated=plan.interpolated,
        gray=gray,
    )


def do_here(
    pool: EnginePool, task: Task, steps: Sequence[RasterStep]
) -> Sequence[Measurement | None]:
    """Do the steps of rasters in this process."""
    results = []
    for step in steps:
        options = step.plan.options
        results.append(step.do(pool.of(options.model, options.scale), task))
    return results


def upscale_raster(
    item: Item,
    options: UpscaleOptions,
    reporter: Reporter,
    do: DoSteps,
    slots: int = 1,
    dataset: DatasetReader | None = None,
) -> None:
    """Upscale a raster and report it, a failure too; ``slots`` steps are done at once.

    ``dataset`` is read instead of the item's source, where that is open already.
    """
    started = time.monotonic()
    with reporter.guard(item, started):
        begin(item.source)
        with OpenedRaster(item.source, dataset) as opened:
            plan = plan_raster(item, options, opened)
            tiles = _make(plan, opened, reporter, do, slots)
        reporter.add(
            item,
            started=started,
            model=plan.options.model,
            condition=plan.condition,
            tiles=tiles,
            size=plan.size,
            warnings=plan.notes,
        )


def _make(
    plan: RasterPlan,
    opened: OpenedRaster,
    reporter: Reporter,
    do: DoSteps,
    slots: int,
) -> int:
    """Make a raster by its plan, write it, and return the number of its tiles."""
    item = plan.item

    def tell(text: str) -> None:
        reporter.progress.message(f"{item.source}: {text}")

    for remark in plan.remarks:
        tell(remark)
    item.make_folder()
    try_creation_options(item.target, plan.output)
    fingerprint = plan.fingerprint
    measurement = None
    if plan.has_network:
        (measurement,) = do([MeasuringStep(plan)])
        assert measurement is not None
        fingerprint = {**fingerprint, **measurement.fingerprint}
    resume = plan.options.raster.resume
    with open_parts(item.target, plan.output, fingerprint, resume=resume) as (
        parts,
        notes,
    ):
        for note in notes:
            tell(note)
        missing = parts.missing()
        earlier = parts.count - sum(map(len, missing))
        if earlier:
            tell(f"{earlier} of {parts.count} parts are kept from an earlier run")
        steps = _share_out(MakingStep(plan, measurement, missing), slots)
        tiles = sum(step.tile_row_count * step.tiles_across for step in steps)
        reporter.grow(tiles)
        do(steps)
        if math.prod(plan.size) >= LARGE:
            tell(f"the tiles are done; writing {item.target.name}")
        opened.check_unchanged()
        opened.close()  # the output may replace it
        dates = plan.options.keep_dates
        merge_parts(parts, attributes_for(item.target, item.source, dates=dates))
    return tiles


def _share_out(step: MakingStep, slots: int) -> list[MakingStep]:
    """Cut the runs of a step into those that each worker makes.

    One worker makes all, so that no row of tiles is computed twice. Among several there
    is a run for each, or a multiple of that. Runs have ``LEAST_TILE_ROWS`` and more where
    that gives every worker one, else ``FEWEST_TILE_ROWS`` and more.
    """
    if slots == 1:
        return [step] if step.runs else []
    rows = step.tile_row_count
    longest = slots * max(rows // (LEAST_TILE_ROWS * slots), 1)
    count = max(min(longest, rows // FEWEST_TILE_ROWS), 1)
    length = max(-(-sum(map(len, step.runs)) // count), 1)
    steps = []
    for run in step.runs:
        for start in range(run.start, run.stop, length):
            shorter = range(start, min(start + length, run.stop))
            steps.append(replace(step, runs=[shorter]))
    return steps
