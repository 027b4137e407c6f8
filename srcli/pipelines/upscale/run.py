"""Upscale files and folders: plan, send every file its way, report."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.disk import journal_path
from srcli.inference.engines import EnginePool, choose_tiling
from srcli.pipelines.upscale.item import make_folder
from srcli.pipelines.upscale.photographs import PhotographRun
from srcli.pipelines.upscale.plan import is_there, make_plan
from srcli.pipelines.upscale.rasters.run import RasterRun
from srcli.pipelines.upscale.report import FileReport, Summary
from srcli.pipelines.upscale.reporter import Reporter
from srcli.pipelines.upscale.route import goes_by_rasters
from srcli.ports.progress import NoProgress, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.plan import Item


def upscale_files(
    inputs: Sequence[Path],
    output: Path,
    options: UpscaleOptions,
    *,
    progress: Progress | None = None,
    on_file: Callable[[FileReport], None] | None = None,
) -> Summary:
    """Upscale pictures and folders.

    Args:
        inputs: Pictures and folders.
        output: A folder, or a file name for one picture.
        options: Model, scale, naming, tiling.
        progress: Told of files, tiles and warnings.
        on_file: Called with the report of every file, as soon as it is known.

    Returns:
        The reports of all files; one bad file never stops the others.

    Raises:
        UsageError: If inputs or outputs do not fit each other; nothing was written then.
        ModelError: If the model or its scale does not exist.
    """
    plan = make_plan(inputs, output, options.naming)
    reporter = Reporter(progress or NoProgress(), on_file)
    for note in plan.notes:
        reporter.progress.message(note)
    for folder, reason in plan.closed:
        reporter.tell(
            FileReport(source=folder, target=output, state="failed", error=f"{folder}: {reason}")
        )
    todo = []
    for item in plan.items:
        if os.path.isdir(item.target):  # noqa: PTH112 - a name that is too long fails later
            reporter.fail(item, PictureError(f"{item.target}: is a folder; take another name"))
        elif options.naming.overwrite or not is_there(item):
            todo.append(item)
        else:
            if journal_path(item.target).exists():
                reporter.progress.warn(
                    f"{item.target}: an interrupted run with --overwrite has left work beside it; "
                    "--overwrite goes on with it, --overwrite --no-resume begins anew"
                )
            reporter.tell(FileReport(source=item.source, target=item.target, state="skipped"))
    try:
        if todo:
            _upscale(todo, options, reporter)
    finally:
        summary = reporter.close()
    return summary


def _upscale(todo: Sequence[Item], options: UpscaleOptions, reporter: Reporter) -> None:
    try:
        make_folder(todo[0])
    except PictureError as error:  # told before minutes are spent on what cannot be written
        raise UsageError(str(error)) from error
    pool = EnginePool(options.model, options.scale, options.engine)
    tiling = choose_tiling(options.model, pool.network, options.tile, options.overlap)
    reporter.open(len(todo))
    rasters: list[Item] = []
    photographs: list[Item] = []
    for item in todo:
        try:
            (rasters if goes_by_rasters(item, options) else photographs).append(item)
        except PictureError as error:
            reporter.fail(item, error)
    _tell_unmeant(photographs, options, reporter)
    if photographs:
        PhotographRun(pool, tiling, options, reporter).upscale(photographs)
    if rasters:
        RasterRun(pool, tiling, options, reporter).upscale(rasters)


def _tell_unmeant(photographs: Sequence[Item], options: UpscaleOptions, reporter: Reporter) -> None:
    names = ", ".join(options.raster.asked_for)
    if not names or not photographs:
        return
    who = "1 photograph is" if len(photographs) == 1 else f"{len(photographs)} photographs are"
    reporter.progress.message(
        f"{who} enlarged without {names}, which is for rasters; named one by one they are rasters"
    )
