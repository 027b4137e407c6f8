"""Upscale inputs by an executor: shares of photographs, and the units of work of rasters."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.errors import PictureError
from srcli.inference.engines import EnginePool, cached_pool
from srcli.inference.stream import TileTooLargeError
from srcli.metrics.machine import processors, threads
from srcli.pipelines.executors.processes import JsonDict, Place, SerialExecutor, run_units, shares
from srcli.pipelines.upscale.opening import open_photographs
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.photographs import PhotographRun
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.rasters import (
    RasterSteps,
    RasterUnit,
    do_raster_unit,
    upscale_raster,
)
from srcli.pipelines.upscale.reporter import Reporter

if TYPE_CHECKING:
    from srcli.inference.tiling import Tiling
    from srcli.pipelines.executors.processes import Executor, UnitResult
    from srcli.ports.progress import Progress


@dataclass(frozen=True)
class UpscaleShare:
    """A unit of work: some of the inputs."""

    items: Sequence[Item]
    options: UpscaleOptions
    label: str = ""


@dataclass(eq=False)
class _RasterUnderWay:
    steps: RasterSteps
    results: list[JsonDict] = field(default_factory=list)
    """Those of its present step, as far as they are there."""
    units: int = 0


@dataclass
class _RasterQueue:
    """Rasters, some of which are under way: the units of their present steps are among all."""

    start: Callable[[Item], RasterSteps]
    most: int
    """Rasters under way at once."""
    units: list[Any]
    """Receives their units, while others are run."""
    waiting: deque[Item] = field(default_factory=deque)
    owners: dict[int, _RasterUnderWay] = field(default_factory=dict)
    """By the place of each unit that has not come back."""

    def add(self, items: Sequence[Item]) -> None:
        """Take on rasters."""
        self.waiting += items
        while self.waiting and len(set(self.owners.values())) < self.most:
            self._go_on(_RasterUnderWay(self.start(self.waiting.popleft())))

    def take(self, unit: RasterUnit, done: UnitResult) -> None:
        """Take the result of a unit; after the last one of its step begin the next.

        A unit whose worker was lost is done once more.
        """
        raster = self.owners.pop(done.index)
        if done.result is None and not unit.again:
            self.owners[len(self.units)] = raster
            self.units.append(replace(unit, again=True))
            return
        failed = {"error": PictureError(f"{unit.item.source}: {done.failure}")}
        raster.results.append(failed if done.result is None else done.result)
        if len(raster.results) == raster.units:
            self._go_on(raster)
        self.add([])

    def _go_on(self, raster: _RasterUnderWay) -> None:
        errors = [result["error"] for result in raster.results if "error" in result]
        # smaller tiles may help against all of them
        errors.sort(key=lambda error: not isinstance(error, TileTooLargeError))
        try:
            if errors:
                units = raster.steps.throw(errors[0])
            else:
                units = raster.steps.send(raster.results or None)
        except StopIteration:
            return
        raster.results, raster.units = [], len(units)
        self.owners |= {len(self.units) + i: raster for i in range(len(units))}
        self.units += units

    def close(self) -> None:
        """Release the parts of all rasters that are under way."""
        for raster in self.owners.values():
            raster.steps.close()


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
    queue = _RasterQueue(
        lambda item: upscale_raster(item, tiling, options, reporter, slots, pool),
        2 * slots - 1,  # workers have something to do while the parts of one are merged
        units,
    )
    first = next(iter((*items, *rasters)))
    try:
        queue.add(rasters)
        for unit, done in run_units(
            executor,
            upscale_unit,
            units,
            progress=reporter.progress,
            task=reporter.tiles,
            shared=(first.target.parent, first.source, Path(options.model)),
        ):
            if isinstance(unit, RasterUnit):
                queue.take(unit, done)
            elif done.result is not None:
                for report in done.result["files"]:
                    reporter.record(report)
                queue.add(done.result["rasters"])
            else:
                reporter.fail(unit.items[0], f"{unit.items[0].source}: {done.failure}")
    finally:
        queue.close()


def upscale_unit(
    unit: UpscaleShare | RasterUnit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Do a unit in a worker; for rasters see ``do_raster_unit``.

    Photographs give ``files``, the reports of all that were done or failed, and ``rasters``, the
    other inputs.
    """
    if isinstance(unit, RasterUnit):
        return do_raster_unit(unit, place, progress)
    options = replace(unit.options, engine=replace(unit.options.engine, device=place.device))
    pool = cached_pool(options.model, options.scale, options.engine)
    reporter = Reporter(progress)
    reporter.open()
    rasters: list[Item] = []
    with threads(place.threads or None):
        photographs = open_photographs(unit.items, options, reporter, rasters)
        sharing = max(processors() // place.threads, 1) if place.threads else 1
        PhotographRun(pool, options, reporter, sharing).upscale(photographs)
    reporter.close()
    return {"files": reporter.summary.files, "rasters": rasters}
