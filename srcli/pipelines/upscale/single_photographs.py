"""Upscale photographs one at a time: those too large for memory, and TIFFs of several pages.

What such a photograph becomes is decided as for all others (``PhotographUpscaler``).
Its rows are stored by parts beside the output, so that an interrupted run goes on, and
are encoded from there; finished pages of a TIFF are kept, too (``documents.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from srcli.imaging.files.provenance import check_unchanged
from srcli.imaging.files.stored_rows import PictureRows
from srcli.imaging.photographs import tiff_writing
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.writing import write_photograph
from srcli.inference.calibration import calibrate
from srcli.inference.stream import ArraySource, ImageJob, run_one
from srcli.inference.tiling import tile_rows
from srcli.input_files import checksum
from srcli.models.weights import network_digest
from srcli.pipelines.upscale.documents import StoredPages, open_pages_file
from srcli.pipelines.upscale.fingerprints import describe_input, describe_pass
from srcli.pipelines.upscale.kinds import open_pages
from srcli.pipelines.upscale.pages import bytes_of_pages, keeps_pages
from srcli.pipelines.upscale.photographs import (
    OpenedPhotograph,
    PhotographJob,
    PhotographUpscaler,
    check_output,
    writing_options,
)

if TYPE_CHECKING:
    from srcli.inference.engine import TorchEngine
    from srcli.pipelines.upscale.reporter import Item
    from srcli.ports.image import TileGrid


def upscale_alone(
    item: Item, picture: Picture, photographs: PhotographUpscaler
) -> None:
    """Upscale one photograph, or all pages of a TIFF into one, and report it."""
    with photographs.reporter.work_on(item) as started:
        jobs = _make_output(item, picture, photographs)
        notes = [note for job in jobs for note in job.warnings]
        models = dict.fromkeys(job.model for job in jobs)
        photographs.reporter.add(
            item,
            started=started,
            model=", ".join(models),
            strength=photographs.options.strength_of(*models),
            condition=jobs[0].condition,
            tiles=sum(job.tiles for job in jobs),
            size=jobs[0].size,
            frames=len(jobs),
            warnings=tuple(dict.fromkeys(notes)),
        )


def _make_output(
    item: Item, picture: Picture, photographs: PhotographUpscaler
) -> list[PhotographJob]:
    """Make the output; return a job for each page."""
    options = photographs.options
    pages = [picture]
    is_document = keeps_pages(item, picture, options)
    if is_document:
        pages = open_pages(picture)
    for page in pages:
        check_output(item, page, options)
    item.make_folder()
    stored = StoredPages(item.target)
    depends_on = describe_input(item, options)
    resume = options.resume
    with photographs.reporter.keep_parts(item, stored, depends_on, resume=resume):
        if is_document:
            jobs = _write_document(item, pages, photographs, stored)
        else:
            jobs = [_write_large(item, picture, photographs, stored)]
        stored.remove()
    return jobs


def _write_large(
    item: Item, picture: Picture, photographs: PhotographUpscaler, stored: StoredPages
) -> PhotographJob:
    """Make one large photograph."""
    maker = PageMaker(item, photographs, stored)
    reporter = photographs.reporter
    reporter.describe(f"reading {item.source.name}")  # may take seconds
    job = maker.load(picture)
    reporter.describe(f"enlarging {item.source.name}")
    maker.enlarge(job)
    reporter.describe(f"writing {item.target.name}")
    settings = writing_options(item, picture, photographs.options)
    write_photograph(item.target, maker.finish(job), **settings)
    # a file that is mapped cannot be removed on every system
    job.forget_pixels()
    return job


def _write_document(
    item: Item,
    pages: Sequence[Picture],
    photographs: PhotographUpscaler,
    stored: StoredPages,
) -> list[PhotographJob]:
    """Write all pages into one TIFF; one page at a time is in memory."""
    reporter = photographs.reporter
    attributes = writing_options(item, pages[0], photographs.options)["attributes"]
    pages_bytes = bytes_of_pages(pages, photographs.options)
    is_big = pages_bytes > tiff_writing.LARGEST_CLASSIC
    kept_pages = min(stored.page_count, len(pages))
    if kept_pages:
        reporter.progress.message(
            f"{item.source}: {kept_pages} of {len(pages)} pages are kept from an earlier run"
        )
    reporter.expect_pages(len(pages) - kept_pages)
    jobs = []
    with open_pages_file(stored, big=is_big) as file:
        for number, page in enumerate(pages, 1):
            reporter.describe(f"{item.source.name}: page {number} of {len(pages)}")
            maker = PageMaker(item, photographs, stored)
            job = maker.load(page)
            fingerprint = maker.fingerprint_of_page(job)
            if not file.take_kept(fingerprint):
                maker.enlarge(job)
                file.append(maker.finish(job), fingerprint)
            job.forget_pixels()
            jobs.append(job)
        check_unchanged(item.source, pages[0].input_id)
        file.copy(item.target, attributes)
    return jobs


@dataclass
class PageMaker:
    """Enlarges one page of an output, or all of it."""

    item: Item
    photographs: PhotographUpscaler
    stored: StoredPages
    """Where the rows of the page are stored."""
    picture_count: int = 0
    """Pictures that are stored so far: one for each pass."""
    part_count: int = 0

    def load(self, page: Picture) -> PhotographJob:
        """Read a page; large arrays lie in files."""
        return self.photographs.load(
            OpenedPhotograph(self.item, page), self.item.target.parent
        )

    def finish(self, job: PhotographJob) -> Photograph:
        """Return a page after its last pass, in its final size."""
        return job.prepared.finish(job.enlarged, job.size, self.item.target.parent)

    def fingerprint_of_page(self, job: PhotographJob) -> str:
        """Return a checksum of what a page of a document depends on, beside the input."""
        engine, _ = self.photographs.engine_for(*job.engine_key)
        states = [_fingerprint_of_pass(job, engine, self._grid(job))]
        for model, scale in job.passes[1:]:
            network = self.photographs.pool.of(model, scale).network
            states.append(f"{model} {scale} {network_digest(network)}")
        states.append(f"{job.size} {job.prepared.metadata}")
        return checksum(repr(states).encode())

    def enlarge(self, job: PhotographJob) -> None:
        """Enlarge a page whose rows are stored, pass by pass."""
        folder = self.item.target.parent
        while True:
            picture = self._open_picture(job, self.stored)
            self._make_missing_rows(job, picture)
            job.enlarged = picture.array
            if len(job.passes) == 1:
                return
            larger = job.prepared.finish(job.enlarged, folder=folder)
            job.prepared = self.photographs.prepare(larger)
            job.passes = job.passes[1:]

    def _open_picture(self, job: PhotographJob, stored: StoredPages) -> PictureRows:
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
    states = [model, scale, job.picture.page, *describe_pass(engine, grid)]
    return checksum(repr(states).encode())
