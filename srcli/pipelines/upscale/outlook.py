"""What upscaling would do and take, without doing it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import SrxError
from srcli.imaging.rasters.output import disk_needed
from srcli.imaging.rasters.template import make_template
from srcli.inference.edges import padded_grid
from srcli.inference.engines import EnginePool, choose_tiling
from srcli.pipelines.upscale.estimate import Outlook, foresee
from srcli.pipelines.upscale.plan import Item, is_there, make_plan
from srcli.pipelines.upscale.rasters.job import RasterJob, check_disk, open_job
from srcli.pipelines.upscale.rasters.memory import PROGRAM, plan_memory
from srcli.pipelines.upscale.route import goes_by_rasters

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from srcli.inference.tiling import Tiling
    from srcli.pipelines.upscale.options import UpscaleOptions


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run would be like."""

    items: tuple[tuple[Item, Outlook | str], ...]
    """Each input with its outlook, or why it would fail."""
    memory: int
    """Bytes for pictures at the worst moment, beside the program."""
    seconds: float
    """How long the network would take here for what is not there yet, by one measured tile."""


def foresee_files(inputs: Sequence[Path], output: Path, options: UpscaleOptions) -> Forecast:
    """Look ahead at what ``upscale_files`` would do.

    Raises:
        UsageError: If inputs or outputs do not fit each other.
        ModelError: If the model or its scale does not exist.
    """
    plan = make_plan(inputs, output, options.naming)
    pool = EnginePool(options.model, options.scale, options.engine)
    tiling = choose_tiling(options.model, pool.network, options.tile, options.overlap)
    found: list[tuple[Item, Outlook | str]] = [
        (Item(source=folder, target=output, format=""), f"{folder}: {reason}")
        for folder, reason in plan.closed
    ]
    memory, pixels = 0, 0
    for item in plan.items:
        try:
            raster = goes_by_rasters(item, options)
            outlook = (
                _foresee_raster(item, options, tiling)
                if raster
                else foresee(item, options.scale, options.fit)
            )
        except SrxError as error:
            found.append((item, str(error)))
            continue
        found.append((item, outlook))
        if is_there(item) and not options.naming.overwrite:
            continue
        # Besides the picture in the network, each worker may hold one that is read or written.
        memory = max(memory, outlook.memory * (1 if raster else 1 + options.workers))
        pixels += outlook.made
    seconds = pixels * _seconds_per_pixel(pool, tiling) if pixels else 0.0
    return Forecast(items=tuple(found), memory=memory, seconds=seconds)


def _foresee_raster(item: Item, options: UpscaleOptions, tiling: Tiling) -> Outlook:
    job: RasterJob = open_job(item, options)
    tight = check_disk(job)
    make_template(item.target, job.output)  # options that GDAL refuses are refused here too
    grid = padded_grid(job.window.height, job.window.width, tiling)
    memory = plan_memory(job, grid, options.scale, options.raster.max_memory)
    return Outlook(
        height=job.output.height,
        width=job.output.width,
        bytes=disk_needed(job.output),
        made=job.output.height * job.output.width,
        memory=memory.total - PROGRAM,
        warnings=(*job.notes, *([tight] if tight else [])),
        remarks=(job.range_found,) if job.range_found else (),
    )


def _seconds_per_pixel(pool: EnginePool, tiling: Tiling) -> float:
    """Time a batch of 8-bit RGB tiles, the second one, and share it among the output's pixels."""
    engine = pool.engine(8)
    count = engine.batch_size(tiling.tile, tiling.tile)
    tiles = np.zeros((count, tiling.tile, tiling.tile, 3), np.uint8)
    engine.run(tiles)
    start = time.perf_counter()
    handles = engine.run(tiles)
    seconds = time.perf_counter() - start
    assert len(handles) == count  # the engine waits for results to see whether they are finite
    kept = (tiling.tile - tiling.overlap) * engine.scale
    return seconds / (count * kept * kept)
