"""Upscale an input that is read by windows: a raster, or all pages of a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.imaging.files.provenance import REPEATED
from srcli.imaging.rasters.acquisition import acquisition_time
from srcli.imaging.rasters.stac import write_item
from srcli.pipelines.upscale.looking import look_at_raster
from srcli.pipelines.upscale.plans import plan_raster
from srcli.pipelines.upscale.rasters import RunSteps, make_raster
from srcli.pipelines.upscale.room_on_disk import check_room
from srcli.pipelines.upscale.stacks import find_pages, upscale_stack

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item, Reporter


def upscale_by_windows(
    item: Item, options: Settled, reporter: Reporter, run_steps: RunSteps
) -> None:
    """Upscale a raster, or all pages of a stack of them, in this process, and report it."""
    pages: list[int] = []
    with reporter.guard(item):
        pages = find_pages(item, options)
    if pages:
        upscale_stack(item, pages, options, reporter, run_steps)
    else:
        upscale_one_raster(item, options, reporter, run_steps)


def upscale_one_raster(
    item: Item,
    options: Settled,
    reporter: Reporter,
    run_steps: RunSteps,
    slot_count: int = 1,
    dataset: DatasetReader | None = None,
) -> None:
    """Look at a raster, decide, make its parts, keep them as a file; report it, a failure too.

    ``run_steps`` runs ``slot_count`` steps at once. ``dataset`` is read instead of the
    item's source, where that is open already.
    """
    with reporter.work_on(item) as started:
        reporter.describe(f"looking at {item.source.name}")
        with look_at_raster(item, options, dataset) as seen:
            taken = ""
            if options.stac:
                taken = acquisition_time(seen.opened.dataset, item.source, item.asset)
            plan = check_room(plan_raster(item, options, seen))
            tiles = make_raster(plan, seen.opened, reporter, run_steps, slot_count)
        if options.stac:
            write_item(item.target, taken, item.asset, options.bands)
        reporter.add(
            item,
            started=started,
            model=plan.options.model if plan.layout.smooth else REPEATED,
            strength=plan.options.strength_of(plan.options.model),
            condition=plan.condition,
            tiles=tiles,
            size=plan.size,
            warnings=plan.notes,
        )
