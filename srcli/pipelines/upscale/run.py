"""Upscale files and folders: plan, tell photographs from rasters, run both, report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from srcli.errors import PictureError, UsageError
from srcli.inference.device import choose_device
from srcli.inference.engines import EngineOptions, EnginePool, choose_tiling
from srcli.models.weights import find_weights
from srcli.pipelines.upscale.animations import upscale_photographs
from srcli.pipelines.upscale.choice import AUTO, group_by_model
from srcli.pipelines.upscale.finished import find_provenance, sort_items
from srcli.pipelines.upscale.opening import open_photographs
from srcli.pipelines.upscale.plan import is_folder, make_plan
from srcli.pipelines.upscale.reporter import FileReport, Reporter, Summary
from srcli.ports.progress import NoProgress, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from srcli.imaging.photograph import Picture
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.plan import Item, Plan
    from srcli.ports.executor import Executor


def upscale_files(
    inputs: Sequence[Path],
    output: Path,
    options: UpscaleOptions,
    *,
    progress: Progress | None = None,
    on_file: Callable[[FileReport], None] | None = None,
    executor: Executor | None = None,
) -> Summary:
    """Upscale pictures and folders.

    Args:
        inputs: Pictures and folders.
        output: A folder, or a file name for one picture.
        options: Model, scale, naming, tiling.
        progress: Shows files, tiles and warnings.
        on_file: Called with the report of every file, as soon as it is known.
        executor: Runs shares of the inputs, each on a device of its own; None upscales all in this
            process, on the device that the options name.

    Returns:
        The reports of all files; one bad file never stops the others.

    Raises:
        UsageError: If inputs or outputs do not fit each other; nothing was written then.
        ModelError: If the model or its scale does not exist.
    """
    reporter = Reporter(progress or NoProgress(), on_file)
    if options.mosaic:
        from srcli.pipelines.upscale.mosaic import upscale_mosaic  # and with it torch

        def upscale(raster: Path, result: Path, own: UpscaleOptions) -> str:
            made = upscale_files([raster], result, own, progress=progress, executor=executor)
            return "; ".join(file.error for file in made.files if file.state == "failed")

        upscale_mosaic(inputs, output, options, reporter, upscale)
        return reporter.close()
    plan = make_plan(inputs, output, options.naming, remote=options.allow_remote)
    for note in plan.notes:
        reporter.progress.message(note)
    for item, reason in plan.failures:
        reporter.fail(item, reason)
    items = _find_due(plan, options, reporter, in_folder=is_folder(output))
    try:
        if items:
            if options.model != AUTO:
                find_weights(options.model, options.scale)  # a wrong name makes no folder
            if executor is None:
                choose_device(options.engine.device)  # nor does a wrong device
            _make_first_folder(items[0])
            reporter.open(len(items))
        for model, group in group_by_model(items, options).items():
            reporter.model = model
            if options.model == AUTO:
                reporter.progress.message(f"{model}: {len(group)} of {len(items)} pictures")
            made_by = None
            if not (options.strip_provenance or options.strip_metadata):
                made_by = find_provenance(options, model)
            raster = replace(options.raster, provenance=made_by)
            if group:
                _upscale(group, replace(options, model=model, raster=raster), reporter, executor)
    finally:
        summary = reporter.close()
    return summary


def _find_due(
    plan: Plan, options: UpscaleOptions, reporter: Reporter, *, in_folder: bool
) -> list[Item]:
    """Return the items whose outputs are to be made; report the others."""
    found = sort_items(plan.items, options, in_folder=in_folder)
    for note in found.notes:
        reporter.progress.message(note)
    for item, has_parts in found.finished:
        if has_parts:
            reporter.progress.warn(
                f"{item.target}: an interrupted run with --overwrite has left work beside it; "
                "--overwrite goes on with it, --overwrite --no-resume starts over"
            )
        reporter.add(FileReport(source=item.source, target=item.target, state="skipped"))
    for item, reason in found.kept:
        reporter.fail(item, reason, kept=True)
    for item, error in found.failed:
        reporter.fail(item, error)
    return found.due


def _make_first_folder(item: Item) -> None:
    """Say before minutes are spent on it that nothing can be written.

    Raises:
        UsageError: If the folder of the outputs cannot be made.
    """
    try:
        item.make_folder()
    except PictureError as error:
        raise UsageError(str(error)) from error


def _upscale(
    items: Sequence[Item], options: UpscaleOptions, reporter: Reporter, executor: Executor | None
) -> None:
    # workers check device and precision on their machines
    own = options.engine
    if executor is not None:
        own = EngineOptions(value_range=own.value_range)
    pool = EnginePool(options.model, options.scale, own)
    for note in pool.network.notes:
        reporter.progress.message(note)
    tiling = choose_tiling(options.model, pool.network, options.tile, options.overlap)
    rasters: list[Item] = []
    opened: Iterable[tuple[Item, Picture]] = open_photographs(items, options, reporter, rasters)
    if options.raster.asked_for:
        opened = list(opened)
        items = [item for item, _ in opened]
        _warn_ignored_raster_options(len(opened), options, reporter)
    if executor is None:
        upscale_photographs(pool, tiling, options, reporter, opened)
        items = []
    if items or rasters:
        from srcli.pipelines.upscale.workers import run_on_workers  # and with it torch

        run_on_workers(items, rasters, tiling, options, reporter, executor or pool)


def _warn_ignored_raster_options(count: int, options: UpscaleOptions, reporter: Reporter) -> None:
    if count:
        names = ", ".join(options.raster.asked_for)
        who = "1 photograph is" if count == 1 else f"{count} photographs are"
        reporter.progress.message(
            f"{who} upscaled without {names}, which apply to rasters; a photograph that is named "
            "itself is upscaled as a raster"
        )
