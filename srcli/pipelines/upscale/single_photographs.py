"""Upscale one at a time: photographs too large for memory, pages of a TIFF, animations.

What such a photograph becomes is decided as for all others (``PhotographUpscaler``).
Its rows are stored by parts beside the output, so that an interrupted run goes on, and
are encoded from there, as are the frames of an animation (GIF, WebP, APNG). Each page is
made as a file of its own; all are joined at the end.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError
from srcli.files import move_into_place, remove_stale, synchronise, write_whole
from srcli.imaging.files.stored_parts import (
    PictureRows,
    StoredParts,
    StoredRows,
    writing_errors,
)
from srcli.imaging.files.tiff_directories import DirectoryForm
from srcli.imaging.files.tiff_images import (
    BlockGroup,
    Image,
    Tiff,
    read_tiff,
    write_tiff,
)
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs import tiff_writing
from srcli.imaging.photographs.animations import encode_animation
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.reading import read_frames
from srcli.imaging.photographs.writing import new_file, write_photograph
from srcli.inference.calibration import calibrate
from srcli.inference.stream import ArraySource, ImageJob, run_one
from srcli.inference.tiling import tile_rows
from srcli.pipelines.upscale.kinds import Kind, Opened, check_output
from srcli.pipelines.upscale.photographs import (
    PhotographJob,
    PhotographUpscaler,
    choose_metadata,
    writing_options,
)
from srcli.pipelines.upscale.reporter import Facts, Item

if TYPE_CHECKING:
    from srcli.files import FileAttributes
    from srcli.inference.engine import TorchEngine
    from srcli.ports import TileGrid

_REPORTS = "reports.json"
MakePage = Callable[[Item, int], Facts]
"""Enlarges the page with an index from 0 into the target of an item."""


def upscale_pages(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale all pages of a TIFF into one."""
    item = opened.item
    pages = open_pages(opened.picture)
    for page in pages:
        check_output(item, page, photographs.options)

    def make_page(page_item: Item, index: int) -> Facts:
        return upscale_large(Opened(page_item, Kind.LARGE, pages[index]), photographs)

    return make_pages(item, photographs, len(pages), make_page, pages[0])


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


def upscale_large(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale one photograph, whose rows are kept beside its file until that is complete."""
    item = opened.item
    picture = opened.picture
    reporter = photographs.reporter
    stored = StoredRows(item.target)
    with photographs.keep_parts(item, stored, picture):
        reporter.describe(f"reading {item.source.name}")  # may take seconds
        job = photographs.load(opened, item.target.parent)
        reporter.describe(f"enlarging {item.source.name}")
        _enlarge_by_rows(job, photographs, stored)
        reporter.describe(f"writing {item.target.name}")
        settings = writing_options(item, picture, photographs.options)
        larger = job.prepared.finish(job.enlarged, job.size, item.target.parent)
        write_photograph(item.target, larger, **settings)
        # a file that is mapped cannot be removed on every system
        del larger
        job.forget_pixels()
        stored.remove()
    return job.facts


def _enlarge_by_rows(
    job: PhotographJob, photographs: PhotographUpscaler, stored: StoredRows
) -> None:
    """Run all passes of a photograph, whose rows are stored, as one picture for each pass."""
    part_count = 0
    for number in count():
        if job.engine_key is None:
            job.enlarged = job.prepared.pixels
            return
        engine, tiling = photographs.engine_for(*job.engine_key)
        pixels = job.prepared.pixels
        height, width, channels = pixels.shape
        rows = PictureRows(
            stored=stored,
            number=number,
            first_part=part_count,
            shape=(height * engine.scale, width * engine.scale, channels),
            dtype=pixels.dtype,
        )
        part_count += rows.part_count
        grid = tiling.padded_grid(height, width, photographs.options.wrap)
        _make_missing_rows(job, rows, engine, grid, photographs)
        job.enlarged = rows.array
        if len(job.passes) == 1:
            return
        larger = job.prepared.finish(job.enlarged, folder=job.item.target.parent)
        job.prepared = photographs.prepare(larger)
        job.passes = job.passes[1:]


def _make_missing_rows(
    job: PhotographJob,
    rows: PictureRows,
    engine: TorchEngine,
    grid: TileGrid,
    photographs: PhotographUpscaler,
) -> None:
    """Make the rows of a pass that no earlier run has made."""
    reporter = photographs.reporter
    source = ArraySource(job.prepared.pixels)
    runs = rows.missing()
    row_count = len(rows.array)
    reporter.tell_kept(job.item, row_count - sum(map(len, runs)), row_count, "rows")
    calibration = calibrate(engine, source, grid) if runs else None
    for run in runs:
        image_job = ImageJob(
            name=str(job.item.source),
            source=source,
            write=partial(rows.write, run),
            grid=grid,
            tile_rows=tile_rows(grid, run, engine.scale),
            calibration=calibration,
        )
        job.tiles += image_job.tiles
        photographs.count_work(job, image_job)
        run_one(engine, image_job, task=reporter)


@dataclass(frozen=True)
class StoredPages(StoredParts):
    """The finished pages of an output, and parts of the page that is next."""

    def target_of(self, index: int) -> Path:
        """Return the file that a page is made as."""
        return self.folder / f"page-{index + 1}.tif"

    def is_content(self, file: Path) -> bool:
        """Tell if a file belongs to pages: their reports, and parts of one."""
        return file.name.startswith((_REPORTS, ".page-"))

    def holds_work(self) -> bool:
        """Tell if there is a page, or a part of one."""
        return super().holds_work() or any(self.folder.glob(".page-*"))

    def take(self, index: int) -> None:
        """Keep a page that is complete."""
        target = self.target_of(index)
        with target.open("rb") as stream:
            memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            with memory, memoryview(memory) as content:
                file = self.file_of(index, content)
        target.replace(file)

    def reports(self) -> list[Facts]:
        """Return the reports on pages of an earlier run, whose tiles do not count; maybe none."""
        with suppress(OSError, ValueError, TypeError):  # missing or damaged
            reports = json.loads((self.folder / _REPORTS).read_bytes())
            return [{**report, "tiles": 0} for report in reports]
        return []

    def keep_reports(self, reports: list[Facts]) -> None:
        """Keep the reports on pages for the next run."""
        write_whole(self.folder / _REPORTS, json.dumps(reports).encode())


def make_pages(
    item: Item,
    photographs: PhotographUpscaler,
    page_count: int,
    make_page: MakePage,
    first_page: Picture | None = None,
) -> Facts:
    """Make the pages that no earlier run has made, and join all."""
    reporter = photographs.reporter
    stored = StoredPages(item.target)
    with photographs.keep_parts(item, stored, first_page, are_files=True):
        reports = stored.reports()
        kept = stored.found().keys() & set(range(len(reports)))
        reporter.tell_kept(item, len(kept), page_count, "pages")
        reporter.expect_pages(item.source, page_count, len(kept))
        for index in range(page_count):
            if index in kept:
                continue
            reporter.describe(f"{item.source.name}: page {index + 1} of {page_count}")
            page_item = replace(item, target=stored.target_of(index))
            reports[index : index + 1] = [make_page(page_item, index)]
            stored.keep_reports(reports)
            stored.take(index)
        reporter.describe(f"{item.source.name}: writing {page_count} pages")
        _join(stored, item.attributes(dates=photographs.options.keep_dates))
        stored.remove()
    warnings: list[str] = []
    for report in reports:
        warnings += report["warnings"]
    models = dict.fromkeys(report["model"] for report in reports)
    return {
        "model": ", ".join(models),
        "condition": reports[0]["condition"],
        "tiles": sum(report["tiles"] for report in reports),
        "size": tuple(reports[0]["size"]),
        "frames": page_count,
        "warnings": tuple(warnings),
    }


def _join(stored: StoredPages, attributes: FileAttributes) -> None:
    """Put the blocks of finished pages one behind the other into the output."""
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
    is_big = layout.big or length > tiff_writing.LARGEST_CLASSIC
    layout = DirectoryForm(layout.order, big=is_big)
    result = stored.folder / "joined.tif"
    with writing_errors(stored.target):
        result.unlink(missing_ok=True)
        write_tiff(result, Tiff(layout, images), groups)
        synchronise(result)
        attributes.apply(result)
        remove_stale(stored.target)
        move_into_place(result, stored.target)


def upscale_animation(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale an animation with the engines of photographs."""
    item = opened.item
    picture = opened.picture
    options = photographs.options
    size, unwritable = check_output(item, picture, options)
    model = options.usual_model(picture.size)
    metadata, lost = choose_metadata(item, picture, options, model, size)
    height, width = size
    stored = StoredRows(item.target)
    with photographs.keep_parts(item, stored, picture):
        rows = PictureRows(
            stored=stored,
            number=0,
            first_part=0,
            shape=(picture.frames * height, width, 4),
            dtype=np.dtype(np.uint8),
            unit_rows=height,
        )
        tiles, timings = _make_frames(item, picture, rows, photographs)
        photographs.reporter.describe(
            f"{item.source.name}: writing {picture.frames} frames"
        )
        settings = writing_options(item, picture, options)
        with new_file(item.target, settings.pop("attributes")) as stream:
            encode_animation(
                stream,
                rows.array.reshape(picture.frames, height, width, 4),
                milliseconds=[milliseconds for milliseconds, _ in timings],
                plays=timings[0][1],
                metadata=metadata,
                **settings,
            )
        del rows  # a file that is mapped cannot be removed on every system
        stored.remove()
    return {
        "model": model,
        "tiles": tiles,
        "size": size,
        "frames": picture.frames,
        "warnings": (*picture.warnings, *unwritable, *lost),
    }


def _make_frames(
    item: Item, picture: Picture, rows: PictureRows, photographs: PhotographUpscaler
) -> tuple[int, list[tuple[int, int]]]:
    """Make the frames that no earlier run has made; return the number of tiles, and timings.

    These are the milliseconds of each frame, and how often the whole is played.
    """
    reporter = photographs.reporter
    height = rows.unit_rows
    total = picture.frames
    timings = []
    missing = rows.missing()
    kept_count = total
    if missing:
        kept_count = missing[0].start // height
    reporter.tell_kept(item, kept_count, total, "frames")

    def frames_behind() -> Iterator[tuple[int, Photograph]]:
        for index, (timing, photograph) in enumerate(read_frames(picture)):
            timings.append(timing)
            if index >= kept_count:
                yield index, photograph

    remaining = replace(picture, frames=total - kept_count)
    tiles, enlarged = photographs.enlarge_frames(
        frames_behind(), remaining, photographs.options.model
    )
    run = range(kept_count * height, total * height)
    for index, frame in enlarged:
        assert frame.alpha is not None  # ``read_frames`` gives RGBA
        pixels = np.dstack([frame.pixels, frame.alpha])
        rows.write(run, index * height, pixels)
        reporter.describe(f"{item.source.name}: frame {index + 1} of {total}")
    return tiles, timings
