"""Upscale photographs one at a time: those too large for memory, and TIFFs of several pages.

What such a photograph becomes is decided as for all others (``PhotographUpscaler``).
Its rows are stored by parts beside the output, so that an interrupted run goes on, and
are encoded from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import srcli
from srcli.files import checksum, file_state
from srcli.imaging.photograph import Photograph, Picture
from srcli.imaging.provenance import check_unchanged
from srcli.imaging.stored_parts import keep_parts
from srcli.imaging.stored_rows import PictureRows, StoredRows
from srcli.imaging.writing import write_photograph, writing_pages
from srcli.inference.building import run_one
from srcli.inference.calibration import calibrate
from srcli.inference.stream import ArraySource, ImageJob
from srcli.inference.tiling import tile_rows
from srcli.models.weights import network_digest
from srcli.pipelines.upscale.choosing import is_made_by_parts
from srcli.pipelines.upscale.pages import (
    PageFailedError,
    bytes_of_pages,
    keeps_pages,
    open_pages,
)
from srcli.pipelines.upscale.photographs import (
    PhotographJob,
    PhotographUpscaler,
    check_output,
    writing_options,
)
from srcli.pipelines.upscale.reporter import Item
from srcli.supervision import begin

if TYPE_CHECKING:
    from srcli.inference.engine import TorchEngine
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.ports.image import TileGrid


def upscale_alone(
    item: Item, picture: Picture, photographs: PhotographUpscaler
) -> None:
    """Upscale one photograph, or all pages of a TIFF into one, and report it."""
    started = time.monotonic()
    with photographs.reporter.guard(item, started):
        begin(item.source)
        jobs = _make_output(item, picture, photographs)
        if not jobs:
            return
        notes = [note for job in jobs for note in job.warnings]
        photographs.reporter.add(
            item,
            started=started,
            model=", ".join(dict.fromkeys(job.model for job in jobs)),
            condition=jobs[0].condition,
            tiles=sum(job.tiles for job in jobs),
            size=jobs[0].size,
            frames=len(jobs),
            warnings=tuple(dict.fromkeys(notes)),
        )


def _make_output(
    item: Item, picture: Picture, photographs: PhotographUpscaler
) -> list[PhotographJob]:
    """Make the output; return a job for each page, none where one failed and is reported."""
    options = photographs.options
    pages = [picture]
    is_document = keeps_pages(item, picture, options)
    if is_document:
        pages = open_pages(picture)
    for page in pages:
        check_output(item, page, options)
    item.make_folder()
    jobs: list[PhotographJob] = []
    with suppress(PageFailedError), _open_stored(item, pages, photographs) as stored:
        maker = PageMaker(item, photographs, stored)
        if is_document:
            jobs = _write_document(item, pages, maker)
        else:
            job = maker.enlarge(picture)
            settings = writing_options(item, picture, options)
            write_photograph(item.target, maker.finish(job), **settings)
            # a file that is mapped cannot be removed on every system
            job.forget_pixels()
            jobs = [job]
        if stored is not None:
            stored.remove()
    return jobs


def _write_document(
    item: Item, pages: Sequence[Picture], maker: PageMaker
) -> list[PhotographJob]:
    """Write all pages into one TIFF; one page at a time is in memory."""
    options = maker.photographs.options
    attributes = writing_options(item, pages[0], options)["attributes"]
    total = bytes_of_pages(pages, options)
    jobs = []
    with writing_pages(item.target, pages_bytes=total, attributes=attributes) as add:
        for page in pages:
            job = maker.enlarge(page)
            add(maker.finish(job))
            job.forget_pixels()
            jobs.append(job)
        check_unchanged(item.source, pages[0].input_id)
    return jobs


@contextmanager
def _open_stored(
    item: Item, pages: Sequence[Picture], photographs: PhotographUpscaler
) -> Iterator[StoredRows | None]:
    """Open the stored rows of an output; None where all pages are made in memory."""
    options = photographs.options
    if not any(is_made_by_parts(page, options) for page in pages):
        yield None
        return
    stored = StoredRows(item.target)
    fingerprint = _fingerprint(item, options)
    resume = options.raster.resume
    with keep_parts(stored, fingerprint, resume=resume) as notes:
        for note in notes:
            photographs.reporter.progress.message(f"{item.source}: {note}")
        yield stored


def _fingerprint(item: Item, options: UpscaleOptions) -> dict[str, object]:
    """Return what the pixels of an output depend on, by names for messages.

    What is known only once a page is decoded, such as the model that suits it, is a part
    of the page's own (``_fingerprint_of_pass``).
    """
    return {
        "version": srcli.__version__,
        "input": [str(item.source), *(file_state(item.source) or ())],
        "model": [options.model, options.auto, options.best],
        "scale": [options.scale, str(options.size), str(options.fit)],
        "options": [options.wrap, options.keep_hidden, str(options.engine)],
        "tile": [options.tile, options.overlap],
        "page": options.pages,
    }


@dataclass
class PageMaker:
    """Enlarges the pages of one output, one after the other."""

    item: Item
    photographs: PhotographUpscaler
    stored: StoredRows | None
    """Where the rows of large pages are stored."""
    picture_count: int = 0
    """Pictures that are stored so far: one for each pass of a large page."""
    part_count: int = 0

    def enlarge(self, page: Picture) -> PhotographJob:
        """Enlarge a page; raise PageFailedError where that fails, and is reported."""
        if self.stored is not None and is_made_by_parts(page, self.photographs.options):
            return self._enlarge_by_parts(page, self.stored)
        job = self.photographs.load((self.item, page))
        enlarged = list(self.photographs.enlarge([job]))
        if not enlarged:
            raise PageFailedError
        return job

    def finish(self, job: PhotographJob) -> Photograph:
        """Return a page after its last pass, in its final size."""
        return job.prepared.finish(job.enlarged, job.size, self.item.target.parent)

    def _enlarge_by_parts(self, page: Picture, stored: StoredRows) -> PhotographJob:
        """Enlarge a page whose rows are stored, pass by pass."""
        folder = self.item.target.parent
        job = self.photographs.load((self.item, page), folder)
        job.started = time.monotonic()
        while True:
            picture = self._open_picture(job, stored)
            self._make_missing_rows(job, picture)
            job.enlarged = picture.array
            if len(job.passes) == 1:
                return job
            larger = job.prepared.finish(job.enlarged, folder=folder)
            job.prepared = self.photographs.prepare(larger)
            job.passes = job.passes[1:]

    def _open_picture(self, job: PhotographJob, stored: StoredRows) -> PictureRows:
        """Open the rows of the next pass of a job."""
        engine, _ = self.photographs.engine_for(*job.engine_key)
        pixels = job.prepared.pixels
        height, width, channels = pixels.shape
        picture = PictureRows(
            stored=stored,
            number=self.picture_count,
            first_part=self.part_count,
            shape=(height * engine.scale, width * engine.scale, channels),
            dtype=pixels.dtype,
            fingerprint=_fingerprint_of_pass(job, engine, self._grid(job)),
        )
        self.picture_count += 1
        self.part_count += picture.part_count
        return picture

    def _grid(self, job: PhotographJob) -> TileGrid:
        """Return the tiles of the next pass of a job."""
        _, tiling = self.photographs.engine_for(*job.engine_key)
        height, width = job.prepared.pixels.shape[:2]
        return tiling.padded_grid(height, width, self.photographs.options.wrap)

    def _make_missing_rows(self, job: PhotographJob, picture: PictureRows) -> None:
        """Make the rows of a pass that no earlier run has made."""
        reporter = self.photographs.reporter
        engine, _ = self.photographs.engine_for(*job.engine_key)
        grid = self._grid(job)
        source = ArraySource(job.prepared.pixels)
        runs = picture.missing()
        height, *_ = picture.shape
        kept = height - sum(map(len, runs))
        if kept:
            reporter.progress.message(
                f"{self.item.source}: {kept} of {height} rows are kept from an earlier run"
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


def _fingerprint_of_pass(
    job: PhotographJob, engine: TorchEngine, grid: TileGrid
) -> str:
    """Return a checksum of what the pixels of a pass depend on, beside the input."""
    model, scale = job.passes[0]
    corrections = [correction.name for correction in engine.corrections]
    batch = engine.batch_size(grid.tile_height, grid.tile_width)
    states = [model, scale, network_digest(engine.network), job.picture.page]
    states += [grid.tile_height, grid.tile_width, grid.overlap, batch]
    states += [str(engine.half), engine.device.type, engine.options.tta, corrections]
    return checksum(repr(states).encode())
