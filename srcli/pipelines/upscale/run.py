"""Upscale files and folders, or say what would be done; photographs first, then rasters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.output import disk_needed
from srcli.imaging.rasters.parts import try_creation_options
from srcli.imaging.writing import is_kept
from srcli.inference.engines import EngineOptions, EnginePool
from srcli.models import MODELS
from srcli.models.weights import find_weights
from srcli.pipelines.upscale.inputs import find_due, open_photograph
from srcli.pipelines.upscale.mosaic import upscale_mosaic
from srcli.pipelines.upscale.options import AUTO, USUAL_MODEL
from srcli.pipelines.upscale.photographs import check_output
from srcli.pipelines.upscale.reporter import Reporter
from srcli.pipelines.upscale.workers import open_job, upscale_by_workers, upscale_here
from srcli.ports.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from srcli.pipelines.executors.processes import ProcessExecutor
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.plan import Item
    from srcli.pipelines.upscale.reporter import FileReport


def upscale_files(
    inputs: Sequence[Path],
    output: Path,
    options: UpscaleOptions,
    *,
    progress: Progress | None = None,
    on_file: Callable[[FileReport], None] | None = None,
    executor: ProcessExecutor | None = None,
    dry_run: bool = False,
) -> Reporter:
    """Upscale pictures and folders.

    Args:
        inputs: Pictures and folders.
        output: A folder, or a file name for one picture.
        options: Model, scale, naming, tiling.
        progress: Shows files, tiles and warnings.
        on_file: Called with the report of every file, as soon as it is known.
        executor: Runs shares of the inputs, each on a device of its own; None upscales all in this
            process, on the device that the options name.
        dry_run: Make nothing; report what would be made, by the headers of the inputs.

    Returns:
        The reports of all files; one bad file never stops the others.

    Raises:
        UsageError: If inputs or outputs do not fit each other; nothing was written then.
        ModelError: If the model or its scale does not exist.
    """
    if options.model == AUTO:
        options = replace(options, model=USUAL_MODEL, auto=True)
    reporter = Reporter(progress or Progress(), on_file, options.model)
    if options.mosaic:
        if dry_run:
            raise UsageError("--mosaic has no --dry-run: it decodes all tiles first")

        def upscale(raster: Path, result: Path, own: UpscaleOptions) -> str:
            made = upscale_files([raster], result, own, progress=progress, executor=executor)
            return "; ".join(file.error for file in made.files if file.state == "failed")

        upscale_mosaic(inputs, output, options, reporter, upscale)
        return reporter
    items, finished = find_due(inputs, output, options, reporter)
    for item in finished:
        reporter.add(item, "skipped")
    try:
        if items and dry_run:
            _estimate(items, options, reporter)
        elif items:
            # workers check device and precision on their machines
            plain = EngineOptions(value_range=options.engine.value_range)
            own = options.engine if executor is None else plain
            pool = EnginePool(options.model, options.scale, own)  # a wrong name makes no folder
            for note in pool.network.notes:
                reporter.progress.message(note)
            try:  # what cannot be written is told before minutes are spent on it
                items[0].make_folder()
            except PictureError as error:
                raise UsageError(str(error)) from error
            reporter.open(len(items))
            if executor is None:
                upscale_here(items, options, pool, reporter)
            else:
                upscale_by_workers(items, options, reporter, executor)
    finally:
        reporter.tiles.close()
    return reporter


def _estimate(items: Sequence[Item], options: UpscaleOptions, reporter: Reporter) -> None:
    """Report size, disk and losses of each result, from the header of its input, without torch."""
    find_weights(options.model, options.scale)
    everywhere = options.engine.device in ("auto", "cpu") and options.engine.precision != "fp16"
    if not everywhere or options.model not in MODELS:
        # only the network, or torch's view of the machine, can check these
        EnginePool(options.model, options.scale, options.engine)
    for item in items:
        with reporter.guard(item):
            picture = open_photograph(item, options)
            item.check_folder()
            if picture is None:
                job = open_job(item, options)
                result, details, warnings = job.output, job.remarks, job.notes
                try_creation_options(item.target, result)  # what GDAL refuses is refused here too
                size, disk = (result.height, result.width), disk_needed(result)
            else:
                (size, warnings), details = check_output(item, picture, options), ()
                depth = (picture.channels + picture.has_alpha) * picture.bits // 8
                frames = picture.frames if is_kept(picture, item.format) else 1
                disk = size[0] * size[1] * depth * frames
            reporter.add(item, size=size, bytes=disk, warnings=warnings, details=details)
