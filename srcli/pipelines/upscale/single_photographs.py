"""Upscale photographs one at a time: those too large for memory, and TIFFs of several pages.

What such a photograph becomes is decided as for all others (``PhotographUpscaler``).
Its rows are stored by parts beside the output, so that an interrupted run goes on, and
are encoded from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.files.stored_parts import PictureRows, StoredRows
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.photographs.writing import write_photograph
from srcli.imaging.pixels.arrays import Array
from srcli.inference.calibration import calibrate
from srcli.inference.stream import ArraySource, ImageJob, run_one
from srcli.inference.tiling import tile_rows
from srcli.pipelines.upscale.checking import check_output
from srcli.pipelines.upscale.kinds import Kind, Opened
from srcli.pipelines.upscale.pages import PageReport, make_pages
from srcli.pipelines.upscale.photographs import (
    PhotographJob,
    PhotographUpscaler,
    describe_work,
    writing_options,
)

if TYPE_CHECKING:
    from srcli.pipelines.upscale.reporter import Item


def upscale_large(opened: Opened, photographs: PhotographUpscaler) -> None:
    """Upscale one photograph whose parts are kept on the disk, and report it, a failure too."""
    item = opened.item
    with photographs.reporter.work_on(item) as started:
        job = _make_large(opened, photographs)
        photographs.report(job, started)


def upscale_pages(opened: Opened, photographs: PhotographUpscaler) -> None:
    """Upscale all pages of a TIFF into one, and report it, a failure too."""
    item = opened.item
    options = photographs.options

    def make_page(page_item: Item, index: int) -> PageReport:
        job = _make_large(Opened(page_item, Kind.LARGE, pages[index]), photographs)
        return PageReport(
            size=job.size,
            model=job.model,
            condition=job.condition,
            warnings=job.warnings,
            tiles=job.tiles,
        )

    with photographs.reporter.work_on(item) as started:
        pages = open_pages(opened.picture)
        for page in pages:
            check_output(item, page, options)
        item.make_folder()
        networks = photographs.describe_networks(pages[0], options.model)
        depends_on = describe_work(item, options, networks, with_metadata=True)
        make_pages(item, photographs, len(pages), make_page, depends_on, started)


def open_pages(first_page: Picture) -> list[Picture]:
    """Open all pages of a TIFF, of which the first is open, as single pictures.

    Raises:
        PictureError: If a page is damaged, or no photograph.
    """
    pages = [replace(first_page, frames=1)]
    for number in range(2, first_page.frames + 1):
        page = open_picture(first_page.path, page=number)
        if page.raster or page.refusal:
            name = f"{first_page.path}: "
            reason = page.refusal or (
                f"{name}is a raster ({page.raster}); --pages 1 takes the first page alone"
            )
            raise PictureError(reason.replace(name, f"{name}page {number}: ", 1))
        pages.append(page)
    return pages


def _make_large(opened: Opened, photographs: PhotographUpscaler) -> PhotographJob:
    """Make the file of one photograph, whose rows are kept beside it until it is complete."""
    item = opened.item
    picture = opened.picture
    options = photographs.options
    reporter = photographs.reporter
    item.make_folder()
    stored = StoredRows(item.target)
    networks = photographs.describe_networks(picture, options.model)
    depends_on = describe_work(item, options, networks)
    with reporter.keep_parts(item, stored, depends_on, resume=options.resume):
        reporter.describe(f"reading {item.source.name}")  # may take seconds
        job = photographs.load(opened, item.target.parent)
        reporter.describe(f"enlarging {item.source.name}")
        _PassesByRows(item, photographs, stored).enlarge(job)
        reporter.describe(f"writing {item.target.name}")
        settings = writing_options(item, picture, options)
        larger = job.prepared.finish(job.enlarged, job.size, item.target.parent)
        write_photograph(item.target, larger, **settings)
        # a file that is mapped cannot be removed on every system
        del larger
        job.forget_pixels()
        stored.remove()
    return job


@dataclass
class _PassesByRows:
    """Runs the passes of a photograph, whose rows are stored."""

    item: Item
    photographs: PhotographUpscaler
    stored: StoredRows
    picture_count: int = 0
    """Pictures that are stored so far: one for each pass."""
    part_count: int = 0

    def enlarge(self, job: PhotographJob) -> None:
        """Run all passes of a job."""
        while True:
            job.enlarged = self._make_missing_rows(job)
            if len(job.passes) == 1:
                return
            larger = job.prepared.finish(job.enlarged, folder=self.item.target.parent)
            job.prepared = self.photographs.prepare(larger)
            job.passes = job.passes[1:]

    def _make_missing_rows(self, job: PhotographJob) -> Array:
        """Make the rows of the next pass that no earlier run has made; return all rows."""
        reporter = self.photographs.reporter
        engine, tiling = self.photographs.engine_for(*job.engine_key)
        pixels = job.prepared.pixels
        height, width, channels = pixels.shape
        picture = PictureRows(
            stored=self.stored,
            number=self.picture_count,
            first_part=self.part_count,
            shape=(height * engine.scale, width * engine.scale, channels),
            dtype=pixels.dtype,
        )
        self.picture_count += 1
        self.part_count += picture.part_count
        grid = tiling.padded_grid(height, width, self.photographs.options.wrap)
        source = ArraySource(pixels)
        runs = picture.missing()
        row_count = len(picture.array)
        reporter.tell_kept(
            self.item, row_count - sum(map(len, runs)), row_count, "rows"
        )
        calibration = calibrate(engine, source, grid) if runs else None
        for run in runs:
            image_job = ImageJob(
                name=str(self.item.source),
                source=source,
                write=partial(picture.write, run),
                grid=grid,
                tile_rows=tile_rows(grid, run, engine.scale),
                calibration=calibration,
            )
            job.tiles += image_job.tiles
            reporter.grow(image_job.tiles)
            run_one(engine, image_job, task=reporter)
        return picture.array
