"""Upscale shares of the inputs in several workers, each of which keeps its engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.inference.engines import cached_pool, choose_tiling
from srcli.metrics.machine import threads
from srcli.pipelines.executors.relay import SharedTasks, StoppingTask
from srcli.pipelines.executors.shares import run_in_shares
from srcli.pipelines.upscale.opening import open_photographs
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.photographs import PhotographRun
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.rasters import RasterRun
from srcli.pipelines.upscale.reporter import Reporter

if TYPE_CHECKING:
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
    options: UpscaleOptions,
    reporter: Reporter,
    executor: Executor,
) -> None:
    """Upscale inputs by an executor; one that fails is reported and leaves the others alone.

    Args:
        items: Inputs and outputs.
        options: All options; the executor chooses the device.
        reporter: Receives the reports.
        executor: Runs the shares.

    Raises:
        SrxError: If the options do not fit the workers' devices.
    """
    for share, done in run_in_shares(
        executor,
        upscale_share,
        items,
        lambda share: UpscaleShare(share, options),
        progress=SharedTasks(reporter.progress, {"tiles": reporter.tiles}),
        stop=lambda: False,
        shared=(items[0].target.parent, items[0].source, Path(options.model)),
    ):
        if done.result is None:
            reporter.fail(share[0], f"{share[0].source}: {done.failure}")
            continue
        for report in done.result["files"]:
            reporter.record(report)


def upscale_share(
    unit: UpscaleShare, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Upscale the inputs of a share in a worker.

    Args:
        unit: The share.
        place: Device and threads.
        progress: Receives warnings, and the progress of tiles.
        stop: Called after every batch of tiles; true interrupts the work as Ctrl-C does.

    Returns:
        ``files``: the reports of all that were done or failed.
    """
    options = replace(unit.options, engine=replace(unit.options.engine, device=place.device))
    pool = cached_pool(options.model, options.scale, options.engine)
    tiling = choose_tiling(options.model, pool.network, options.tile, options.overlap)
    reporter = Reporter(progress)
    reporter.open(len(unit.items))
    reporter.tiles = StoppingTask(reporter.tiles, stop)
    rasters: list[Item] = []
    try:
        with threads(place.threads or None):
            photographs = open_photographs(unit.items, options, reporter, rasters)
            made_by = options.raster.provenance
            PhotographRun(pool, tiling, options, reporter, made_by).upscale(photographs)
            RasterRun(pool, tiling, options, reporter).upscale(rasters)
    except KeyboardInterrupt:
        pass  # what was done by then is reported
    reporter.close()
    return {"files": reporter.summary.files}
