"""Upscale inputs in several workers, each of which keeps its engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.inference.engines import cached_pool, choose_tiling
from srcli.metrics.machine import processors, threads
from srcli.pipelines.executors.relay import SharedTasks, StoppingTask
from srcli.pipelines.executors.shares import shares
from srcli.pipelines.upscale.animations import upscale_photographs
from srcli.pipelines.upscale.opening import open_photographs
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.raster_units import RasterUnit, raster_unit
from srcli.pipelines.upscale.rasters import RasterScheduler
from srcli.pipelines.upscale.reporter import Reporter

if TYPE_CHECKING:
    from srcli.inference.tiling import Tiling
    from srcli.ports.executor import Executor, JsonDict, Place
    from srcli.ports.progress import Progress


@dataclass(frozen=True)
class UpscaleShare:
    """A unit of work: some of the inputs."""

    items: Sequence[Item]
    options: UpscaleOptions
    label: str = ""


def spread(
    items: Sequence[Item],
    rasters: Sequence[Item],
    tiling: Tiling,
    options: UpscaleOptions,
    reporter: Reporter,
    executor: Executor,
) -> None:
    """Upscale inputs by an executor; one that fails is reported and leaves the others alone.

    The inputs of a share whose worker died are done again, one by one, so that one that kills its
    worker takes no other with it.

    Args:
        items: Inputs; those that prove to be rasters become one.
        rasters: Inputs that are known to be rasters.
        tiling: Of rasters.
        options: All options; the executor chooses the device.
        reporter: Receives the reports.
        executor: Runs the shares.

    Raises:
        SrxError: If the options do not fit the workers' devices.
    """
    units: list[UpscaleShare | RasterUnit] = []
    units += [UpscaleShare(share, options) for share in shares(items, executor.slots)]
    open_rasters = RasterScheduler(options, tiling, reporter, executor.slots, units)
    for raster in rasters:
        open_rasters.add(raster)
    first = next(iter((*items, *rasters)))
    try:
        for done in executor.run(
            upscale_unit,
            units,
            progress=SharedTasks(reporter.progress, {"tiles": reporter.tiles}),
            stop=lambda: False,
            shared=(first.target.parent, first.source, Path(options.model)),
        ):
            unit = units[done.index]
            if isinstance(unit, RasterUnit):
                open_rasters.on_result(unit, done)
            elif done.result is not None:
                for report in done.result["files"]:
                    reporter.record(report)
                for raster in done.result["rasters"]:
                    open_rasters.add(raster)
            elif len(unit.items) > 1:
                units += [UpscaleShare([item], options) for item in unit.items]
            else:
                reporter.fail(unit.items[0], f"{unit.items[0].source}: {done.failure}")
    finally:
        open_rasters.close()


def upscale_unit(
    unit: UpscaleShare | RasterUnit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Do a unit in a worker; see ``upscale_share`` and ``raster_unit``."""
    if isinstance(unit, RasterUnit):
        return raster_unit(unit, place, progress, stop)
    return upscale_share(unit, place, progress, stop)


def upscale_share(
    unit: UpscaleShare, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Upscale the photographs of a share in a worker.

    Returns:
        ``files``: the reports of all that were done or failed; ``rasters``: the other inputs.
    """
    options = replace(unit.options, engine=replace(unit.options.engine, device=place.device))
    pool = cached_pool(options.model, options.scale, options.engine)
    tiling = choose_tiling(options.model, pool.network, options.tile, options.overlap)
    reporter = Reporter(progress)
    reporter.open_share()
    reporter.tiles = StoppingTask(reporter.tiles, stop)
    rasters: list[Item] = []
    try:
        with threads(place.threads or None):
            photographs = open_photographs(unit.items, options, reporter, rasters)
            sharing = max(processors() // place.threads, 1) if place.threads else 1
            upscale_photographs(pool, tiling, options, reporter, photographs, sharing)
    except KeyboardInterrupt:
        pass  # what was done by then is reported
    reporter.close()
    return {"files": reporter.summary.files, "rasters": rasters}
