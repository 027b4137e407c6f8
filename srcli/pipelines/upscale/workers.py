"""Upscale inputs by several workers: shares of the files, then each large raster by all.

A worker is a process on a device of this machine, or on a node of a cluster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError, one_file
from srcli.imaging.rasters.opening import network_access
from srcli.inference.building import EnginePool, cached_pool
from srcli.machine import processor_count, torch_threads
from srcli.pipelines.upscale.inputs import raster_size
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.photographs import PhotographRun
from srcli.pipelines.upscale.rasters import (
    LARGE,
    Measurement,
    RasterStep,
    do_here,
    upscale_raster,
)
from srcli.pipelines.upscale.reporter import Item, Reporter, explained
from srcli.ports.progress import Progress

if TYPE_CHECKING:
    from srcli.pipelines.executors.processes import JsonDict, Place, ProcessExecutor

LARGEST_SHARE = 16
"""Inputs; reading the first and writing the last of so many costs little beside all of
them."""


@dataclass(frozen=True)
class UpscaleShare:
    """A unit of work: some of the inputs."""

    items: Sequence[Item]
    options: UpscaleOptions


def upscale_by_workers(
    items: Sequence[Item],
    options: UpscaleOptions,
    reporter: Reporter,
    executor: ProcessExecutor,
) -> None:
    """Upscale inputs by an executor; one that fails is reported and leaves the others alone.

    The executor chooses the device. Workers do all but large rasters by themselves;
    these follow, one after another, each made by all workers.
    """
    slots = max(executor.slots, 1)  # a cluster may wait for its first node
    shared = (items[0].target.parent, items[0].source, Path(options.model))
    run = partial(
        executor.run,
        upscale_unit,
        progress=reporter.progress,
        task=reporter,
        shared=shared,
    )
    large: list[Item] = []
    for share in run(_share_out(items, options, slots)):
        if share.result is None:
            (item,) = share.unit.items
            reporter.fail(item, f"{item.source}: {share.failure}")
            continue
        for report in share.result["files"]:
            reporter.record(report)
        large += share.result["large"]

    def do(steps: Sequence[RasterStep]) -> Sequence[Measurement | None]:
        measurements = []
        for step in list(run(steps)):  # others end before the error of one is raised
            if step.result is None:
                source = step.unit.plan.item.source
                raise PictureError(f"{source}: {step.failure}")
            if "error" in step.result:
                raise step.result["error"]
            measurements.append(step.result["measurement"])
        return measurements

    for item in large:
        upscale_raster(item, options, reporter, do, slots)


def _share_out(
    items: Sequence[Item], options: UpscaleOptions, slots: int
) -> list[UpscaleShare]:
    """Cut inputs into shares that become smaller, so that all workers end at the same time."""
    shares = []
    while items:
        size = max(1, min(LARGEST_SHARE, len(items) // (2 * slots)))
        shares.append(UpscaleShare(items[:size], options))
        items = items[size:]
    return shares


def upscale_unit(
    unit: UpscaleShare | RasterStep,
    slot: Place,
    progress: Progress,
    stop: Callable[[], bool],
) -> JsonDict:
    """Do a unit in a worker.

    A share gives ``files``, the reports of all that were done or failed, and ``large``,
    the rasters that are left for all workers; a step of a raster its ``measurement``,
    maybe None, or the ``error`` of which it failed.
    """
    if isinstance(unit, UpscaleShare):
        return _do_share(unit, slot, progress)
    with _working(unit.plan.options, slot) as pool:
        try:
            with one_file(unit.plan.item.source):
                return {"measurement": unit.do(pool, progress.task("tiles"))}
        except SrxError as error:
            return {"error": explained(error, unit.plan.item)}


def _do_share(unit: UpscaleShare, slot: Place, progress: Progress) -> JsonDict:
    options = unit.options
    reporter = Reporter(progress, model=options.model)
    reporter.open(0)
    sharing = 1
    if slot.threads:
        sharing = max(processor_count() // slot.threads, 1)
    large: list[Item] = []
    with _working(options, slot) as pool:
        do = partial(do_here, pool, reporter)
        for item in PhotographRun(pool, options, reporter, sharing).upscale(unit.items):
            with reporter.guard(item):
                if math.prod(raster_size(item, options)) >= LARGE:
                    large.append(item)
                else:
                    upscale_raster(item, options, reporter, do)
    return {"files": reporter.files, "large": large}


@contextmanager
def _working(options: UpscaleOptions, slot: Place) -> Iterator[EnginePool]:
    """Yield the engines of a worker, which takes the device and threads of its place."""
    engine_options = replace(options.engine, device=slot.device)
    pool = cached_pool(options.model, options.scale, engine_options)
    access = network_access(allowed=options.allow_remote)
    with torch_threads(slot.threads or None), access:
        yield pool
