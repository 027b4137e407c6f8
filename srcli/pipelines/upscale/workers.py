"""Upscale inputs by several workers: shares of the files, then each large raster by all.

A worker is a process on a device of this machine, or on a node of a cluster (see
``pipelines.executors``). ``upscale_by_workers`` runs in the parent, ``upscale_share`` and
``run_step`` in the workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError, as_failure_of
from srcli.imaging.rasters.gdal_access import network_access
from srcli.imaging.rasters.opening import keep_open
from srcli.inference.engines import pools_of_run
from srcli.machine import processor_count, torch_threads
from srcli.pipelines.upscale.kinds import Kind, Opened
from srcli.pipelines.upscale.looking import raster_size
from srcli.pipelines.upscale.makers import claim, upscale_items
from srcli.pipelines.upscale.photographs import PhotographUpscaler
from srcli.pipelines.upscale.rasters import (
    LARGE_OUTPUT,
    RasterCalibration,
    RasterStep,
    run_steps_here,
    upscale_one_raster,
)
from srcli.pipelines.upscale.reporter import Item, Reporter, explain_defect
from srcli.pipelines.upscale.sidecars import carry_sidecar
from srcli.ports import Progress, Stop

if TYPE_CHECKING:
    from srcli.pipelines.executors.processes import JsonDict, ProcessExecutor, Slot
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.photographs import Pools

LARGEST_SHARE = 16
"""Most inputs of a share; reading the first and writing the last of so many costs little
beside all of them."""


@dataclass(frozen=True)
class UpscaleShare:
    """Some of the inputs, as a unit of work for one worker."""

    items: Sequence[Item]
    options: Settled


def upscale_by_workers(
    items: Sequence[Item],
    options: Settled,
    reporter: Reporter,
    executor: ProcessExecutor,
) -> None:
    """Upscale inputs by an executor; a failure is reported, and the others go on.

    The executor chooses the device. Workers do all but large rasters by themselves;
    these follow, one after another, each made by all workers.
    """
    slot_count = max(executor.slot_count, 1)  # a cluster may wait for its first node
    shared = (items[0].target.parent, items[0].source, Path(options.model))
    run = partial(
        executor.run, progress=reporter.progress, task=reporter, shared=shared
    )
    large: list[Item] = []
    if reporter.ending is not None:  # which finished parts have, not a worker's file
        large += items
        items = []
    shares = _split_items(items, options, slot_count)
    for outcome in run(upscale_share, shares, parts_of=_single_items):
        if outcome.result is None:
            (item,) = outcome.unit.items
            reporter.fail(item, f"{item.source}: {outcome.failure}")
            continue
        for report in outcome.result["files"]:
            reporter.record(report)
        large += outcome.result["large"]
        reporter.elsewhere += outcome.result["elsewhere"]

    def run_steps(steps: Sequence[RasterStep]) -> Sequence[RasterCalibration | None]:
        calibrations = []
        # a list: all steps end before the error of one is raised
        for outcome in list(run(run_step, steps)):
            if outcome.result is None:
                source = outcome.unit.plan.item.source
                raise PictureError(f"{source}: {outcome.failure}")
            if "error" in outcome.result:
                raise outcome.result["error"]
            calibrations.append(outcome.result["calibration"])
        return calibrations

    for item in large:
        maker = partial(
            upscale_one_raster, item, options, reporter, run_steps, slot_count
        )
        with reporter.guard(item):
            if claim(item, options, reporter):
                reporter.make(item, maker)


def _split_items(
    items: Sequence[Item], options: Settled, slot_count: int
) -> list[UpscaleShare]:
    """Split inputs into shares that become smaller, so that all workers end at the same time."""
    shares = []
    while items:
        size = max(1, min(LARGEST_SHARE, len(items) // (2 * slot_count)))
        shares.append(UpscaleShare(items[:size], options))
        items = items[size:]
    return shares


def _single_items(share: UpscaleShare) -> list[UpscaleShare]:
    """Return a share for each input of one, so that a bad one takes no other with it."""
    return [replace(share, items=[item]) for item in share.items]


def run_step(step: RasterStep, slot: Slot, progress: Progress, stop: Stop) -> JsonDict:
    """Do a step of a raster in a worker.

    Return its ``calibration``, maybe None, or the ``error`` that it failed with; values
    are objects, not JSON.
    """
    options = step.plan.options
    with _open_pools(options, slot) as pools:
        try:
            path = step.plan.info.path
            with as_failure_of(step.plan.item.source), keep_open(path) as opened:
                info = replace(step.plan.info, opened=opened)
                step = replace(step, plan=replace(step.plan, info=info))
                (calibration,) = run_steps_here(pools, progress.task("tiles"), [step])
                return {"calibration": calibration}
        except SrxError as error:
            return {"error": explain_defect(error, step.plan.item)}


def upscale_share(
    share: UpscaleShare, slot: Slot, progress: Progress, stop: Stop
) -> JsonDict:
    """Upscale some inputs in a worker.

    Return ``files``, the reports of all that were done or failed, ``large``, the rasters
    that are left for all workers, and ``elsewhere``, what other runs are making; values
    are objects, not JSON.
    """
    options = share.options
    reporter = Reporter(progress, options=options)
    reporter.carry_sidecar = partial(carry_sidecar, options=options)
    reporter.open(0)
    processes = 1
    if slot.threads:
        processes = max(processor_count() // slot.threads, 1)
    large: list[Item] = []

    def leaves(opened: Opened) -> bool:
        if opened.kind is not Kind.RASTER:  # pages of a stack are made by one worker
            return False
        is_large = math.prod(raster_size(opened.item, options)) >= LARGE_OUTPUT
        if is_large:
            large.append(opened.item)
        return is_large

    with _open_pools(options, slot) as pools:
        photographs = PhotographUpscaler(pools, options, reporter, processes)
        try:
            upscale_items(share.items, photographs, leaves)
        finally:
            reporter.claims.release_all()
    return {
        "files": reporter.files,
        "large": large,
        "elsewhere": reporter.elsewhere,
    }


@contextmanager
def _open_pools(options: Settled, slot: Slot) -> Iterator[Pools]:
    """Yield what gives a worker its engines, on the device and threads of its slot."""
    engine_options = replace(options.engine, device=slot.device)
    access = network_access(allowed=options.allow_remote)
    with torch_threads(slot.threads or None), access:
        pools = _pools_of_worker(engine_options)
        pools(options.model, options.scale)  # refuses what does not fit the device
        yield pools


_pools_of_worker = cache(pools_of_run)
"""A worker lives for one run, of which it does several units."""
