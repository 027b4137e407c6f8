"""Estimate the sizes, memory and failures of a run without doing it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from srcli.errors import SrxError, one_file
from srcli.imaging.animation import is_kept
from srcli.imaging.rasters.drivers import check_options
from srcli.imaging.rasters.output import disk_needed
from srcli.inference.engines import EnginePool, choose_tiling
from srcli.inference.tiling import padded_grid
from srcli.metrics.machine import free_memory
from srcli.models import MODELS
from srcli.models.weights import find_weights
from srcli.pipelines.upscale.choice import AUTO, CLEAN_MODEL
from srcli.pipelines.upscale.finished import sort_items
from srcli.pipelines.upscale.memory import memory_budget, photograph_memory
from srcli.pipelines.upscale.opening import open_photograph
from srcli.pipelines.upscale.photographs import check_output
from srcli.pipelines.upscale.plan import Item, is_folder, make_plan
from srcli.pipelines.upscale.raster_job import check_disk, open_job, plan_memory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from srcli.imaging.photograph import Picture
    from srcli.inference.tiling import Tiling
    from srcli.pipelines.upscale.options import UpscaleOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Size, cost and losses of one result, from the header of its input."""

    height: int
    """Of the output, in pixels."""
    width: int
    bytes: int
    """On disk at most, without compression."""
    memory: int
    """Bytes held while it is upscaled, beside the program."""
    warnings: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    """Choices made for the user, such as the values taken as black and white."""


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """Estimates of all files of a run."""

    items: tuple[tuple[Item, Estimate | str | None], ...]
    """Each input with its estimate, or the error with which it would fail; None if it is finished
    and will be skipped."""
    notes: tuple[str, ...]
    """On what will be made again or renamed."""
    memory: int
    """Bytes for pictures at the worst moment, beside the program."""


def estimate_files(inputs: Sequence[Path], output: Path, options: UpscaleOptions) -> RunEstimate:
    """Estimate a run of ``upscale_files``.

    Raises:
        UsageError: If inputs or outputs do not fit each other.
        ModelError: If the model or its scale does not exist.
    """
    plan = make_plan(inputs, output, options.naming, remote=options.allow_remote)
    chosen = options
    if options.model == AUTO:  # the models to choose from differ in nothing that is estimated
        options = replace(options, model=CLEAN_MODEL)
    find_weights(options.model, options.scale)
    network = None
    if _needs_torch(options):
        network = EnginePool(options.model, options.scale, options.engine).network
    tiling = choose_tiling(options.model, network, options.tile, options.overlap)
    there = sort_items(plan.items, chosen, in_folder=is_folder(output))
    found: list[tuple[Item, Estimate | str | None]] = [*plan.failures, *there.kept]
    found += ((item, str(error)) for item, error in there.failed)
    found += ((item, None) for item, _ in there.finished)
    budget, memory = memory_budget(options), 0
    folder, free = None, free_memory()  # once: reading it for 100,000 files would take seconds
    for item in there.due:
        try:
            with one_file(item.source):
                picture = open_photograph(item, options)
                if item.target.parent != folder:
                    item.check_folder()
                    folder = item.target.parent
                estimate = (
                    estimate_raster(item, options, tiling)
                    if picture is None
                    else estimate_photograph(item, picture, options, free)
                )
        except SrxError as error:
            found.append((item, str(error)))
            continue
        found.append((item, estimate))
        held = estimate.memory
        if picture is not None:
            # each worker may hold one that is read or written, beside the one upscaled
            held = max(held, min(held * (1 + options.workers), budget))
        memory = max(memory, held)
    return RunEstimate(items=tuple(found), notes=tuple(there.notes), memory=memory)


def estimate_photograph(
    item: Item, picture: Picture, options: UpscaleOptions, free: int | None
) -> Estimate:
    """Estimate one photograph.

    Args:
        item: The input and its output.
        picture: The input, opened.
        options: All options.
        free: Bytes of memory that are free; None if unknown.

    Raises:
        PictureError: If the output's format, ``--max-memory`` or the free memory cannot hold the
            result.
    """
    (height, width), warnings = check_output(item, picture, options, free)
    depth = (picture.channels + picture.has_alpha) * picture.bits // 8
    frames = picture.frames if is_kept(picture, item.format) else 1
    return Estimate(
        height=height,
        width=width,
        bytes=height * width * depth * frames,
        memory=photograph_memory(item, picture, options),
        warnings=warnings,
    )


def estimate_raster(item: Item, options: UpscaleOptions, tiling: Tiling) -> Estimate:
    """Estimate one raster.

    Raises:
        PictureError: If it cannot be read, or its result could not be written.
        UsageError: If the options do not fit it.
    """
    job = open_job(item, options)
    tight = check_disk(job)
    check_options(item.target, job.output)  # options that GDAL refuses are refused here too
    grid = padded_grid(job.window.height, job.window.width, tiling)
    memory = plan_memory(job, grid, options.scale, options.raster.max_memory)
    return Estimate(
        height=job.output.height,
        width=job.output.width,
        bytes=disk_needed(job.output),
        memory=memory.pictures,
        warnings=(*job.notes, *tight),
        remarks=job.remarks,
    )


def _needs_torch(options: UpscaleOptions) -> bool:
    """Return True for options that only the network, or torch's view of the machine, can check."""
    everywhere = options.engine.device in ("auto", "cpu") and options.engine.precision != "fp16"
    known = options.model in MODELS and options.raster.max_memory is None
    return not (everywhere and known)
