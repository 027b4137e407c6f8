"""Upscale all pages of a TIFF that are read by windows, such as stacks of floats, into one TIFF.

Each page goes the way of a raster, one after the other.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.imaging.files.tiff_pages import read_page
from srcli.imaging.rasters.dataset_names import DatasetName
from srcli.imaging.rasters.opening import open_raster
from srcli.input_files import open_input
from srcli.pipelines.upscale.looking import look_at_raster
from srcli.pipelines.upscale.pages import PageReport, make_pages
from srcli.pipelines.upscale.photographs import describe_work
from srcli.pipelines.upscale.plans import check_room, plan_raster
from srcli.pipelines.upscale.rasters import make_raster, run_steps_here

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from srcli.pipelines.upscale.kinds import Opened
    from srcli.pipelines.upscale.photographs import PhotographUpscaler
    from srcli.pipelines.upscale.reporter import Item


def upscale_stack(opened: Opened, photographs: PhotographUpscaler) -> None:
    """Upscale all pages of a TIFF into one file, and report it, a failure too."""
    item = opened.item
    options = photographs.options
    reporter = photographs.reporter
    run_steps = partial(run_steps_here, photographs.pool, reporter)
    numbers = page_numbers(item.source, opened.picture.frames)

    def make_page(page_item: Item, index: int) -> PageReport:
        with (
            open_page(item.source, numbers[index]) as dataset,
            look_at_raster(page_item, options, dataset) as seen,
        ):
            plan = check_room(plan_raster(page_item, options, seen))
            report = PageReport(
                size=plan.size,
                model=plan.options.model,
                condition=plan.condition,
                warnings=plan.notes,
                tiles=0,
            )
            plan = replace(plan, output=replace(plan.output, overviews=()))
            if index:
                # mostly those of the first page
                plan = replace(plan, remarks=(), embedded=None)
            tiles = make_raster(plan, seen.opened, reporter, run_steps)
        return replace(report, tiles=tiles)

    with reporter.work_on(item) as started:
        item.make_folder()
        depends_on = describe_work(item, options, with_metadata=True)
        make_pages(item, photographs, len(numbers), make_page, depends_on, started)


def page_numbers(path: Path, count: int) -> list[int]:
    """Return the numbers, as GDAL counts them, of the pages of a TIFF that are no thumbnails."""
    with open_input(path) as stream:
        return [read_page(stream, number).number for number in range(1, count + 1)]


def open_page(path: Path, page: int) -> DatasetReader:
    """Open a page of a TIFF, numbered as GDAL counts."""
    return open_raster(DatasetName(f"GTIFF_DIR:{page}:{path.absolute()}"))
