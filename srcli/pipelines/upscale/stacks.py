"""Upscale all pages of a TIFF that are read by windows, such as stacks of floats, into one TIFF.

Each page goes the way of a raster, one after the other. Finished ones are kept, as
files beside the output, for the next run.
"""

from __future__ import annotations

import mmap
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import srcli
from srcli.errors import PictureError
from srcli.imaging.files.stored_parts import StoredParts, writing_errors
from srcli.imaging.files.tiff_directories import DirectoryForm
from srcli.imaging.files.tiff_images import (
    BlockGroup,
    Image,
    Tiff,
    read_tiff,
    write_tiff,
)
from srcli.imaging.files.tiff_pages import read_page
from srcli.imaging.photographs.tiff import is_on_map
from srcli.imaging.photographs.tiff_writing import LARGEST_CLASSIC
from srcli.imaging.rasters.dataset_names import DatasetName
from srcli.imaging.rasters.gdal_access import open_quietly
from srcli.imaging.rasters.opening import open_raster
from srcli.imaging.rasters.publishing import move_result
from srcli.input_files import file_state, open_input
from srcli.pipelines.upscale.looking import look_at_raster
from srcli.pipelines.upscale.plans import RasterPlan, plan_raster
from srcli.pipelines.upscale.raster_metadata import read_picture
from srcli.pipelines.upscale.rasters import RunSteps, make_raster
from srcli.pipelines.upscale.room_on_disk import check_room

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item, Reporter


def find_pages(item: Item, options: Settled) -> list[int]:
    """Return the numbers, as GDAL counts them, of the pages that become pages of the output.

    Empty for what is no TIFF of several pages, for those on the map, whose pages are
    mostly overviews, and where the output can have one page only.
    """
    has_one_page = options.cog or options.overviews or options.stac
    if item.format != "tif" or options.pages is not None or has_one_page:
        return []
    picture = read_picture(item.source)
    if picture is None:
        return []
    header = picture.header
    if header.format != "tif" or header.frames == 1:
        return []
    if header.raster is not None and is_on_map(header.raster):
        return []
    with open_input(item.source) as stream:
        numbers = range(1, header.frames + 1)
        return [read_page(stream, number).number for number in numbers]


def upscale_stack(
    item: Item,
    pages: Sequence[int],
    options: Settled,
    reporter: Reporter,
    run_steps: RunSteps,
) -> None:
    """Upscale pages, see ``find_pages``, into one file, and report it, a failure too.

    The steps are run in this process.
    """
    with reporter.work_on(item) as started:
        item.make_folder()
        stored = StoredParts(item.target)
        fingerprint = _fingerprint(item, options)
        resume = options.resume
        with reporter.keep_parts(item, stored, fingerprint, resume=resume):
            kept = stored.found()
            if kept:
                reporter.progress.message(
                    f"{item.source}: {len(kept)} of {len(pages)} pages are kept from an "
                    "earlier run"
                )
            maker = _PageMaker(item, options, reporter, run_steps, stored)
            reporter.expect_pages(len(pages) - len(kept))
            for index, page in enumerate(pages):
                reporter.describe(
                    f"{item.source.name}: page {index + 1} of {len(pages)}"
                )
                maker.make(index, page, is_kept=index in kept)
            first_plan = maker.plans[0]
            reporter.describe(f"{item.source.name}: writing {len(pages)} pages")
            _merge_pages(stored, first_plan)
            stored.remove()
        warnings = [note for plan in maker.plans for note in plan.notes]
        models = dict.fromkeys(plan.options.model for plan in maker.plans)
        reporter.add(
            item,
            started=started,
            model=", ".join(models),
            strength=options.strength_of(*models),
            condition=first_plan.condition,
            tiles=maker.tiles,
            size=first_plan.size,
            frames=len(pages),
            warnings=tuple(dict.fromkeys(warnings)),
        )


class _PageMaker:
    """Makes pages of one output, one after the other."""

    def __init__(
        self,
        item: Item,
        options: Settled,
        reporter: Reporter,
        run_steps: RunSteps,
        stored: StoredParts,
    ) -> None:
        self.plans: list[RasterPlan] = []
        """Of the pages that were looked at: the first, and those that were made."""
        self.tiles = 0
        self._item = item
        self._options = options
        self._reporter = reporter
        self._run_steps = run_steps
        self._stored = stored

    def make(self, index: int, page: int, *, is_kept: bool) -> None:
        """Make a page, with its index in the output from 0, unless that is kept."""
        if is_kept and self.plans:
            return
        target = self._stored.folder / f"page-{page}.tif"
        item = replace(self._item, target=target)
        with (
            open_page(item.source, page) as dataset,
            look_at_raster(item, self._options, dataset) as seen,
        ):
            plan = check_room(plan_raster(item, self._options, seen))
            self.plans.append(plan)
            if is_kept:
                return
            # metadata is put into the file of all pages
            plan = replace(
                plan, embedded=None, output=replace(plan.output, overviews=())
            )
            if index:
                plan = replace(plan, remarks=())  # mostly those of the first page
            self.tiles += make_raster(
                plan, seen.opened, self._reporter, self._run_steps
            )
        with target.open("rb") as stream:
            memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            with memory, memoryview(memory) as content:
                file = self._stored.file_of(index, content)
        target.replace(file)


def open_page(path: Path, page: int) -> DatasetReader:
    """Open a page of a TIFF, numbered as GDAL counts."""
    return open_raster(DatasetName(f"GTIFF_DIR:{page}:{path.absolute()}"))


def _fingerprint(item: Item, options: Settled) -> dict[str, object]:
    """Return what the pages depend on, by names for messages."""
    return {
        "version": srcli.__version__,
        "input": [str(item.source), *(file_state(item.source) or ())],
        "model": [options.model, options.choice],
        "scale": options.scale,
        "options": [options.checksum(options.model), options.wrap, str(options.engine)],
        "metadata": [options.strip_metadata, options.strip_provenance],
        "tile": [options.tile, options.overlap],
    }


def _merge_pages(stored: StoredParts, first_plan: RasterPlan) -> None:
    """Put the blocks of finished pages one behind the other into one file, and give it its name."""
    target = stored.target
    folder = stored.folder / "result"
    result = folder / target.name
    pages = [(file, read_tiff(file)) for _, file in sorted(stored.found().items())]
    images: list[Image] = []
    groups = []
    length = 0
    for file, page in pages:
        for image in page.images:
            groups.append(BlockGroup(file, [len(images)]))
            images.append(image)
        length += file.stat().st_size
    layout = pages[0][1].layout
    layout = DirectoryForm(layout.order, big=layout.big or length > LARGEST_CLASSIC)
    with writing_errors(target):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_tiff(result, Tiff(layout, images), groups)
        with open_quietly(result) as merged:
            page_count = len(merged.subdatasets) or 1
        if page_count != len(pages):
            raise PictureError(f"{target}: GDAL reads {page_count} pages of it")
        first_plan.embed(result)
        item = replace(first_plan.item, target=target)
        move_result(
            result, target, item.attributes(dates=first_plan.options.keep_dates)
        )
