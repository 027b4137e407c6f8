"""Upscale photographs: read ahead, batch tiles across pictures, write behind, in bounded memory.

What is read by windows instead is a raster (``rasters.py``). A ``Picture`` is the header
of a file, a ``Photograph`` its pixels, a ``PreparedPhotograph`` what a network takes, a
``PhotographJob`` one file on its way, and an ``ImageJob`` one of its passes.
What is not upscaled together with others is left to ``single_photographs.py``,
``animations.py`` and ``videos.py``.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from srcli.errors import PictureError
from srcli.imaging.files.formats import FORMATS, VIDEO
from srcli.imaging.files.provenance import check_unchanged
from srcli.imaging.files.stored_rows import StoredRows
from srcli.imaging.metadata import exif
from srcli.imaging.metadata.by_format import dress_metadata
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.metadata.fitting import fit_metadata, with_resolution
from srcli.imaging.photographs.animations import keeps_animation
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.photographs.writing import (
    LOSSLESS_QUALITY,
    check_writable,
    write_photograph,
)
from srcli.imaging.pixels.arrays import LARGEST_IN_MEMORY, Array, Size
from srcli.inference.stream import ImageJob, array_job, run_stream
from srcli.machine import free_memory
from srcli.pipelines.upscale.choosing import (
    bytes_of_rows,
    choose_model,
    choose_passes,
    is_made_by_parts,
    note_packed_heights,
)
from srcli.pipelines.upscale.pages import bytes_of_pages
from srcli.pipelines.upscale.preparing import PreparedPhotograph, prepare
from srcli.pipelines.upscale.smaller_files import compare_with_jpeg
from srcli.quantities import format_bytes
from srcli.threads import read_ahead

if TYPE_CHECKING:
    from pathlib import Path

    from srcli.inference.engine import TorchEngine
    from srcli.inference.pools import EnginePool
    from srcli.inference.tiling import Tiling
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item, Reporter
    from srcli.ports.image import TileGrid

T = TypeVar("T")
# Copies that a photograph takes at most, in bytes by those of its pixels. Measured are peaks
# of `srx upscale -m bicubic` beside those of smaller pictures: of RGB to PNG, TIFF and JPEG
# 2 copies of the input and one of the output, with alpha 11.7 bytes a byte of input at -s 2.
_COPIES = 3
"""Of the input, whose output is written as it is."""
_CONVERTED_COPIES = 6
"""Of the input, where pixels or alpha are changed before or after the network."""
_OUTPUT_COPIES = 3
"""Of the output there."""
_COPIES_OF_ENCODERS = {"avif": 14, "webp": 4}
"""Of the output, with what an encoder takes for itself: measured are 13.8 and 3.8."""
_COPIES_OF_LOSSLESS_WEBP = 13
"""Measured are 12.5 to 12.8 at -s 1, -s 2 and -s 3."""
_COPIES_OF_FILMS = 50
"""Of a frame of the output, with the frames that an encoder looks at: measured are 44 with
x264, 47 with VP9, 48 with x265, each at 3840x2160."""


class OpenedPhotograph(NamedTuple):
    """A photograph whose header was read, and the output that is made of it."""

    item: Item
    picture: Picture


@dataclass(kw_only=True, eq=False)
class PhotographJob:
    """One photograph between reading and writing."""

    item: Item
    picture: Picture
    size: Size
    """Height and width of the output."""
    model: str
    condition: str
    """What the picture has gone through; see ``FileReport``."""
    warnings: tuple[str, ...]
    passes: tuple[tuple[str, int], ...]
    """Model and scale of each pass that is left."""
    prepared: PreparedPhotograph
    """Input of the next pass."""
    enlarged: Array = field(init=False)
    """Output of the pass that runs, which tiles are written into."""
    seconds: float = 0.0
    """Time of its work so far, in which it did not wait for other photographs."""
    tiles: int = 0
    """Number of tiles of all passes so far."""

    def forget_pixels(self) -> None:
        """Give back the memory, and the files, of its pixels."""
        del self.prepared
        # which no pass may have set
        vars(self).pop("enlarged", None)

    @property
    def started(self) -> float:
        """Time of the monotonic clock at which it began, had it not waited."""
        return time.monotonic() - self.seconds

    @property
    def engine_key(self) -> tuple[str, int, int]:
        """Model, scale and bits of the next pass; jobs of the same key can share a batch."""
        return *self.passes[0], self.prepared.pixels.dtype.itemsize * 8


@dataclass(eq=False)
class PhotographUpscaler:
    """Upscales photographs; ``processes`` of this machine share the memory for them."""

    pool: EnginePool
    """Engines of the options' model; other models are loaded when a picture needs them."""
    options: Settled
    reporter: Reporter
    processes: int = 1
    _has_compared: bool = False
    """It has told how much smaller an output is in a lossy format."""

    def engine_for(
        self, model: str, scale: int, bits: int
    ) -> tuple[TorchEngine, Tiling]:
        """Return the engine and the tiling of a model; the first call loads it."""
        options = self.options
        pool = self.pool.of(model, scale)
        return pool.engine(bits), pool.tiling(options.tile, options.overlap)

    def prepare(self, photograph: Photograph) -> PreparedPhotograph:
        """Prepare a photograph for the next pass; see ``preparing.prepare``."""
        options = self.options
        return prepare(photograph, keep_hidden=options.keep_hidden, wrap=options.wrap)

    def upscale(self, stills: Iterable[OpenedPhotograph]) -> None:
        """Upscale still photographs in groups that fit into memory together."""
        for group in split_by_memory(stills, self.options, self.processes):
            self._upscale_together(group)

    def _upscale_together(self, group: Iterator[OpenedPhotograph]) -> None:
        """Read, enlarge and write photographs that fit into memory together."""
        workers = self.options.workers
        # at an interruption the pictures that are being written are finished
        with (
            read_ahead(self.load, group, ahead=workers + 1, workers=workers) as reading,
            read_ahead(
                self._save,
                self.enlarge(self._with_engines(reading)),
                ahead=workers,
                workers=workers,
            ) as saving,
        ):
            for job, future in saving:
                with self.reporter.guard(job.item, job.started):
                    future.result()
                    self.reporter.add(
                        job.item,
                        started=job.started,
                        model=job.model,
                        strength=self.options.strength_of(job.model),
                        condition=job.condition,
                        tiles=job.tiles,
                        size=job.size,
                        warnings=job.warnings,
                    )

    def _with_engines(
        self, reading: Iterable[tuple[OpenedPhotograph, Future[PhotographJob]]]
    ) -> Iterator[PhotographJob]:
        """Yield jobs that are read, with the engine of the first pass loaded for each."""
        for opened, future in reading:
            with self.reporter.guard(opened.item):
                job = future.result()
                # an error here fails this picture alone
                self.engine_for(*job.engine_key)
                yield job

    def load(
        self, opened: OpenedPhotograph, folder: Path | None = None
    ) -> PhotographJob:
        """Read a photograph, choose its model, and prepare it for the first pass.

        Large arrays lie in the folder where one is given; see ``empty_array``.
        """
        item, picture = opened
        started = time.monotonic()
        self.reporter.begin(item)
        size, unwritable = check_output(item, picture, self.options)
        photograph = read_photograph(picture, folder)
        picture = replace(picture, metadata=photograph.metadata)
        model, condition = choose_model(photograph, self.options, picture.format)
        metadata, lost = choose_metadata(item, picture, self.options, model, size)
        prepared = self.prepare(replace(photograph, metadata=metadata))
        return PhotographJob(
            item=item,
            picture=picture,
            size=size,
            model=model,
            condition=condition,
            warnings=(
                *prepared.warnings,
                *unwritable,
                *lost,
                *note_packed_heights(photograph, picture),
            ),
            passes=choose_passes(picture, self.options, model),
            prepared=prepared,
            seconds=time.monotonic() - started,
        )

    def enlarge(self, jobs: Iterable[PhotographJob]) -> Iterator[PhotographJob]:
        """Run the passes of jobs, and yield each job after its last."""
        # jobs in a row with one model, scale and depth share an engine, and batches
        for key, group in groupby(jobs, key=lambda job: job.engine_key):
            engine, tiling = self.engine_for(*key)
            unfinished = []
            image_jobs = self._image_jobs(group, tiling)
            for image_job in run_stream(engine, image_jobs, task=self.reporter):
                job: PhotographJob = image_job.owner
                job.seconds += image_job.seconds
                if image_job.error is not None:
                    self.reporter.fail(job.item, image_job.error, job.started)
                elif len(job.passes) > 1:
                    larger = job.prepared.finish(job.enlarged)
                    job.prepared = self.prepare(larger)
                    job.passes = job.passes[1:]
                    unfinished.append(job)
                else:
                    yield job
            # with the engines of their next passes
            yield from self.enlarge(unfinished)

    def _image_jobs(
        self, jobs: Iterable[PhotographJob], tiling: Tiling
    ) -> Iterator[ImageJob]:
        """Yield an ``ImageJob`` for the next pass of each job, with memory for its output."""
        for job in jobs:
            item = job.item
            with self.reporter.guard(item):
                item.make_folder()
                pixels = job.prepared.pixels
                height, width = pixels.shape[:2]
                _, scale = job.passes[0]
                image_job, job.enlarged = array_job(
                    pixels,
                    tiling.padded_grid(height, width, self.options.wrap),
                    name=str(item.source),
                    scale=scale,
                    folder=item.target.parent,
                )
                image_job.owner = job
                grid = image_job.grid
                if grid.count == 1:
                    area = grid.tile_height * grid.tile_width
                    image_job.tile_weight = area / tiling.tile**2
                job.tiles += image_job.tiles
                work = image_job.tiles * image_job.tile_weight
                self.reporter.grow(work, item.source)
                yield image_job

    def _save(self, job: PhotographJob) -> None:
        """Write the output of a job after its last pass."""
        started = time.monotonic()
        photograph = job.prepared.finish(job.enlarged, job.size)
        settings = writing_options(job.item, job.picture, self.options)
        write_photograph(job.item.target, photograph, **settings)
        job.seconds += time.monotonic() - started
        if not self._has_compared and self._is_png_of_lossy(job):
            self._has_compared = True  # one example is enough
            compare_with_jpeg(job.item, photograph, self.reporter.progress)

    def _is_png_of_lossy(self, job: PhotographJob) -> bool:
        """Return True for a PNG that is one because the input's lossy format is not written."""
        is_chosen = self.options.format == "auto" and job.item.format == "png"
        return is_chosen and job.picture.format in ("heic", "jxl")

    def enlarge_frames(
        self, frames: Iterable[tuple[T, Photograph]], picture: Picture, model: str
    ) -> tuple[int, Iterator[tuple[T, Photograph]]]:
        """Return the number of tiles, and frames that are enlarged when they are asked for.

        ``frames`` are as many as ``picture.frames``, each with its timing, which comes
        back with the enlarged frame.
        """
        passes = choose_passes(picture, self.options, model)
        final_size = self.options.final_size(picture.size)
        size = picture.size
        tiles = 0
        enlarged = iter(frames)
        for number, (pass_model, scale) in enumerate(passes, 1):
            engine, tiling = self.engine_for(pass_model, scale, picture.bits)
            grid = tiling.padded_grid(*size, self.options.wrap)
            tiles += grid.count * picture.frames
            size = (size[0] * scale, size[1] * scale)
            if number == len(passes):
                size = final_size
            enlarged = self._run_pass(enlarged, engine, grid, size, str(picture.path))
        self.reporter.grow(tiles, picture.path)
        return tiles, enlarged

    def _run_pass(
        self,
        frames: Iterator[tuple[T, Photograph]],
        engine: TorchEngine,
        grid: TileGrid,
        size: Size,
        name: str,
    ) -> Iterator[tuple[T, Photograph]]:
        """Run frames, each with its timing, through a network, and resize them to ``size``."""

        def image_jobs() -> Iterator[ImageJob]:
            for timing, photograph in frames:
                prepared = self.prepare(photograph)
                image_job, enlarged = array_job(
                    prepared.pixels, grid, name=name, scale=engine.scale
                )
                image_job.owner = timing, prepared, enlarged
                yield image_job

        for image_job in run_stream(engine, image_jobs(), task=self.reporter):
            if image_job.error is not None:
                raise image_job.error
            timing, prepared, enlarged = image_job.owner
            yield timing, prepared.finish(enlarged, size)


def writing_options(item: Item, picture: Picture, options: Settled) -> dict[str, Any]:
    """Return arguments for ``write_photograph``; refuse an input that has changed meanwhile."""
    check_unchanged(item.source, picture.input_id)
    attributes = item.attributes(dates=options.keep_dates)
    quality = _choose_quality(item, picture, options)
    return {"fmt": item.format, "quality": quality, "attributes": attributes}


def _choose_quality(item: Item, picture: Picture, options: Settled) -> int | None:
    """Return the quality asked for; a WebP of what is stored without loss gets that of none."""
    if options.quality is None and item.format == "webp" and picture.lossless:
        return LOSSLESS_QUALITY
    return options.quality


def choose_metadata(
    item: Item, picture: Picture, options: Settled, model: str, size: Size
) -> tuple[Metadata, tuple[str, ...]]:
    """Return the metadata of an output of a size, and what of its input's is lost, in words.

    They are fitted to its pixels, with a record of what made it, as its format has them.
    """
    metadata, notes = fit_metadata(picture.metadata, picture.map_to(size))
    if options.strip_metadata:  # keep what the colours are shown by
        metadata = Metadata(icc=metadata.icc, colours=metadata.colours)
    dpi = options.final_dpi(picture.size, metadata.dpi)
    if dpi is not None and dpi != metadata.dpi:
        metadata = with_resolution(metadata, dpi)
    if options.records_provenance:
        provenance = options.make_provenance(picture.input_id, model, photograph=True)
        earlier = metadata.software or exif.software(metadata.exif)
        metadata = replace(metadata, software=provenance.software(earlier))
    metadata, lost = dress_metadata(metadata, item.format)
    return metadata, (*notes, *lost)


def output_size(item: Item, picture: Picture, options: Settled) -> Size:
    """Return the (height, width) of an output; of videos even, as encoders need it."""
    height, width = options.final_size(picture.size)
    if picture.format == VIDEO or FORMATS[item.format].video:
        return height - height % 2, width - width % 2
    return height, width


def check_output(
    item: Item, picture: Picture, options: Settled
) -> tuple[Size, tuple[str, ...]]:
    """Check by an input's header that format, memory and disk can hold its result.

    Returns:
        The output's (height, width), and warnings of what will be lost.
    """
    height, width = output_size(item, picture, options)
    try:
        unwritable = check_writable(
            item.format, height, width, has_alpha=picture.has_alpha, bits=picture.bits
        )
    except PictureError as error:
        raise PictureError(f"{item.source}: {error}") from error
    warnings = list(unwritable)
    needed = photograph_memory(item, picture, options)
    free = free_memory()
    if free is not None and needed > free:
        raise PictureError(
            f"{item.source}: takes about {format_bytes(needed)} of memory when enlarged, and "
            f"{format_bytes(free)} are free; crop it, or use a smaller scale"
        )
    # the frames of an animation wait on the disk for the last one
    if keeps_animation(picture, item.format) and not FORMATS[item.format].video:
        frames_bytes = picture.frames * height * width * 4
        frames_bytes -= StoredRows(item.target).stored_bytes
        frames = f"its {picture.frames} pictures take"
        warnings += item.check_disk(
            frames,
            frames_bytes,
            frames_bytes,
            "a smaller --scale",
            refuses=options.disk_check,
        )
        if picture.bits > 8 and item.format == "png":
            warnings.append("frames of 16 bits are rounded to 8")
        if item.format == "webp" and picture.has_alpha and options.keep_hidden:
            warnings.append(
                "animated webp loses colours that alpha hides: --format png keeps them"
            )
        if picture.has_default_image:
            warnings.append("its picture for programs without animation is left out")
    elif picture.format != VIDEO and is_made_by_parts(picture, options):
        warnings += _check_room_for_rows(item, picture, options)
    if height < picture.height or width < picture.width:
        before = f"{picture.width}x{picture.height}"
        warnings.append(f"becomes {width}x{height}, smaller than the input ({before})")
    if (height, width) != options.final_size(picture.size):
        warnings.append("an odd row or column is cut off: sides of videos are even")
    return (height, width), tuple(warnings)


def _check_room_for_rows(
    item: Item, picture: Picture, options: Settled
) -> tuple[str, ...]:
    """Refuse a photograph for whose rows the disk has no room; see ``Item.check_disk``."""
    stored = StoredRows(item.target).stored_bytes
    rows_bytes = max(bytes_of_rows(picture, options) - stored, 0)
    total = rows_bytes + bytes_of_pages([picture], options)
    subject = "its rows and the result take"
    return item.check_disk(
        subject, total, rows_bytes, "a smaller --scale", refuses=options.disk_check
    )


def split_by_memory(
    opened: Iterable[OpenedPhotograph], options: Settled, processes: int = 1
) -> Iterator[Iterator[OpenedPhotograph]]:
    """Split photographs into groups that each take half of the free memory at most.

    Groups are photographs in a row, at least one; ``processes`` divide the memory among
    them.
    """
    free = free_memory()
    budget = sys.maxsize if free is None else free // 2 // processes
    group_number = 0
    taken_bytes = 0

    def choose_group(photograph: OpenedPhotograph) -> int:
        nonlocal group_number, taken_bytes
        size = photograph_memory(photograph.item, photograph.picture, options)
        if taken_bytes and taken_bytes + size > budget:
            group_number += 1
            taken_bytes = 0
        taken_bytes += size
        return group_number

    for _, group in groupby(opened, key=choose_group):
        yield group


def photograph_memory(item: Item, picture: Picture, options: Settled) -> int:
    """Estimate the most bytes of memory that a photograph takes, from reading to writing.

    Copies of its pixels are counted, some more than were measured (see ``_COPIES``).
    """
    channels = picture.channels + picture.has_alpha
    input_bytes = picture.height * picture.width * channels * picture.bits // 8
    steps = options.largest_steps(picture.size)
    output_bytes = input_bytes * math.prod(steps) ** 2
    if is_made_by_parts(picture, options):  # what becomes large lies in files
        if picture.has_alpha or picture.bits == 32:
            return _CONVERTED_COPIES * input_bytes
        return _COPIES * input_bytes
    is_converted = (
        item.format not in ("png", "jpg", "tif")
        or picture.bits not in FORMATS[item.format].bits
    )
    if (
        is_converted
        or picture.has_alpha
        or picture.bits == 32
        or options.photograph_option
    ):
        output_copies = _COPIES_OF_ENCODERS.get(item.format, _OUTPUT_COPIES)
        quality = _choose_quality(item, picture, options)
        if item.format == "webp" and quality == LOSSLESS_QUALITY:
            output_copies = _COPIES_OF_LOSSLESS_WEBP
        if FORMATS[item.format].video:
            output_copies = _COPIES_OF_FILMS
        return _CONVERTED_COPIES * input_bytes + output_copies * output_bytes
    # the network's output is written without a copy; a large one lies in a file on disk
    if output_bytes <= LARGEST_IN_MEMORY:
        return _COPIES * input_bytes + output_bytes
    return _COPIES * input_bytes
