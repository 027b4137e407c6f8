"""Report what would be made by the headers of the inputs, for ``--dry-run``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from srcli.imaging.photographs.reading import read_photograph
from srcli.inference.pools import EnginePool
from srcli.models import MODELS
from srcli.models.weights import find_weights
from srcli.pipelines.upscale.checking import (
    bytes_of_pages,
    bytes_of_rows,
    check_output,
)
from srcli.pipelines.upscale.choosing import choose_model
from srcli.pipelines.upscale.kinds import Kind, Opened, is_made_by_parts, open_item
from srcli.pipelines.upscale.makers import report_copy
from srcli.pipelines.upscale.photographs import choose_metadata

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item, Reporter


def report_estimates(
    items: Sequence[Item], options: Settled, reporter: Reporter
) -> None:
    """Report size, disk and losses of each output by the header of its input."""
    find_weights(options.model, options.scale)
    needs_no_torch = options.engine.precision != "fp16" and options.model in MODELS
    if options.engine.device not in ("auto", "cpu") or not needs_no_torch:
        # only torch and the network can check these; else torch is not imported
        _ = EnginePool(options.model, options.scale, options.engine).network
    for item in items:
        with reporter.guard(item):
            reporter.begin(item)
            opened = open_item(item, options)
            item.check_folder()
            if opened.kind.is_raster:
                _estimate_raster(opened, options, reporter)
            elif opened.kind is Kind.COPY:
                overwrite = options.overwrite
                report_copy(opened, reporter, overwrite=overwrite, dry_run=True)
            else:
                _estimate_photograph(opened, options, reporter)


def _estimate_raster(opened: Opened, options: Settled, reporter: Reporter) -> None:
    from srcli.imaging.rasters.disk_use import disk_needed
    from srcli.imaging.rasters.publishing import try_creation_options
    from srcli.pipelines.upscale.looking import look_at_raster
    from srcli.pipelines.upscale.plans import check_room, foresee_disk, plan_raster

    item = opened.item
    frames = 1
    with ExitStack() as stack:
        dataset = None
        if opened.kind is Kind.STACK:
            from srcli.pipelines.upscale.stacks import open_page, page_numbers

            frames = opened.picture.frames
            number, *_ = page_numbers(item.source, 1)
            dataset = stack.enter_context(open_page(item.source, number))
        seen = stack.enter_context(look_at_raster(item, options, dataset))
        plan = check_room(plan_raster(item, options, seen))
        # what GDAL refuses is refused here
        try_creation_options(item.target, plan.output)
        likely = foresee_disk(plan)
    page_bytes = round(disk_needed(plan.output) * plan.info.block_share)
    reporter.add(
        item,
        model=plan.options.model,
        strength=plan.options.strength_of(plan.options.model),
        condition=plan.condition,
        size=plan.size,
        frames=frames,
        bytes=page_bytes * frames,
        likely_bytes=likely * frames,
        warnings=plan.notes,
        details=plan.remarks,
    )


def _estimate_photograph(opened: Opened, options: Settled, reporter: Reporter) -> None:
    item = opened.item
    picture = opened.picture
    size, unwritable = check_output(item, picture, options)
    frames = 1
    warnings = picture.warnings
    pages = [picture]
    model = ""
    condition = ""
    if opened.kind is Kind.PAGES:
        from srcli.pipelines.upscale.single_photographs import open_pages

        pages = open_pages(picture)
    elif opened.kind in (Kind.PHOTOGRAPH, Kind.LARGE):
        warnings = picture.losses
    else:
        frames = picture.frames
    if opened.kind is Kind.LARGE:
        # decoding thousands of small ones would take long
        photograph = read_photograph(picture)
        model, condition = choose_model(photograph, options, picture.format)
    disk_bytes = bytes_of_pages(pages, options) * frames
    for page in pages:
        if is_made_by_parts(page, options):
            disk_bytes += bytes_of_rows(page, options)
    _, lost = choose_metadata(item, picture, options, model or options.model, size)
    reporter.add(
        item,
        model=model,
        strength=options.strength_of(model),
        condition=condition,
        size=size,
        frames=len(pages) * frames,
        bytes=disk_bytes,
        warnings=(*warnings, *unwritable, *lost),
    )
