"""Upscale photographs: read ahead, batch tiles across pictures, write behind, in bounded memory.

Animations go frame by frame: finished frames wait in a file on disk.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError
from srcli.files import attributes_for
from srcli.holding import begin
from srcli.imaging.alpha import fill_transparent, hides_colours
from srcli.imaging.colour import are_gray
from srcli.imaging.condition import judge
from srcli.imaging.metadata import exif
from srcli.imaging.metadata.fitting import fit_metadata
from srcli.imaging.metadata.pixel_map import PixelMap
from srcli.imaging.photograph import (
    FORMATS,
    LARGEST_AREA,
    LARGEST_IN_MEMORY,
    Array,
    Metadata,
    Photograph,
    Picture,
    check_unchanged,
    empty_array,
    release,
)
from srcli.imaging.reading import open_picture, read_frames, read_photograph
from srcli.imaging.resize import resize, shrink, shrink_mask
from srcli.imaging.writing import (
    LOSSLESS,
    check_writable,
    is_kept,
    lost_metadata,
    write_animation,
    write_photograph,
)
from srcli.inference.building import EnginePool, choose_tiling
from srcli.inference.stream import ImageJob, array_job, run_stream
from srcli.metrics.machine import free_memory
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.reporter import Item, Reporter
from srcli.ports.image import are_units
from srcli.quantities import format_bytes
from srcli.threads import read_ahead

if TYPE_CHECKING:
    from srcli.inference.engine import TorchEngine
    from srcli.inference.tiling import Tiling

Finish = Callable[..., Photograph]

HIDDEN_COLOURS = (
    "colours that alpha hides are replaced by those around them; --keep-hidden keeps them, where "
    "alpha is data (gloss, height) and no transparency"
)
LARGEST_PHOTOGRAPH = 400_000_000
"""Output pixels; larger pictures are read by windows. One number, so that results do
not depend on the machine."""


def open_photograph(item: Item, options: UpscaleOptions) -> Picture | None:
    """Open an input that is a photograph; None if it is read by windows.

    Read by windows are georeferenced files and others that photographs cannot be (see
    ``Picture.raster``), inputs with raster options, and pictures too large for memory.
    Of the pictures of a folder, raster options apply to the TIFFs only. A picture
    rotated by EXIF is always a photograph, as windows on disk cannot be rotated.

    A ``PictureError`` is raised, too, for a photograph rotated by EXIF with raster
    options, and with ``--fit`` for a file that is read by windows.
    """
    asked, sized = bool(options.raster.asked_for), options.of_photographs
    try:
        picture = open_picture(item.source, confined=item.from_folder)
    except PictureError:
        if asked and not item.from_folder:
            return None  # reading it fails with the reason
        raise
    if picture.raster is None:
        turned, pixels = picture.orientation != 1, picture.height * picture.width
        steps = options.steps(options.model, picture.height, picture.width)
        times = 0 if turned or picture.format == "gif" else math.prod(steps)
        large = pixels > LARGEST_AREA or pixels * times**2 > LARGEST_PHOTOGRAPH
        if item.from_folder:
            asked = asked and picture.format == "tif" and not turned
        if asked and turned and not large:
            raise PictureError(
                f"{item.source}: EXIF rotates this photograph, and raster options cannot follow; "
                "drop them, or rotate the pixels first"
            )
        if not (asked or large):
            return picture
    if not sized:
        return None
    if picture.raster is not None:
        raise PictureError(
            f"{item.source}: is a raster ({picture.raster}), and {sized} is for photographs; "
            f"{'give -s 4, or another scale of the model' if options.size else f'drop {sized}'}"
        )
    raise PictureError(
        f"{item.source}: is too large for {sized} when it is enlarged (more than "
        f"{LARGEST_PHOTOGRAPH / 1e6:.0f} megapixels); use a smaller --scale"
    )


def choose_model(
    photograph: Photograph, options: UpscaleOptions, file_format: str = ""
) -> tuple[str, str]:
    """Return the model for a photograph; by ``auto`` also what it has gone through, in one word.

    Files of JPEG are never clean: g-idrn draws rings and dots of traces too faint to be
    measured.
    """
    if not options.auto:
        return options.model, ""
    condition: str = judge(photograph.pixels)
    if condition == "clean" and file_format == "jpg":
        condition = "saved"
    return options.model_for(condition), condition


def look_for_model(item: Item, options: UpscaleOptions) -> str:
    """Return the model for one input; the usual one for rasters and animations."""
    picture = open_photograph(item, options)
    if picture is None or picture.frames > 1:
        return options.model
    return choose_model(read_photograph(picture), options, picture.format)[0]


def prepare(
    photograph: Photograph, *, keep_hidden: bool = False
) -> tuple[Array, tuple[str, ...], Finish]:
    """Prepare a photograph for a network: map floats to [0, 1], fill what is not seen.

    With ``keep_hidden`` the colours under alpha stay, whatever it is.

    Equal red, green and blue are one channel to the network, which would give them a
    tint, and three again in what is written.

    Returns:
        The pixels, and all warnings. And what takes the pixels enlarged, (sH, sW, C),
        with the size (height, width) that is wanted, if it is another, and returns the
        photograph to be written.
    """
    pixels, alpha, metadata = photograph.pixels, photograph.alpha, photograph.metadata
    warnings, holes, low, high = [*photograph.warnings], None, 0.0, 1.0
    if are_floats := pixels.dtype == np.float32:
        finite = np.isfinite(pixels)
        if not finite.all():
            warnings.append("pixels that are not finite stay so")
            holes = np.any(~finite, axis=2)
        low = float(pixels.min(where=finite, initial=np.inf))
        high = float(pixels.max(where=finite, initial=-np.inf))
        if low > high or are_units(low, high):
            low, high = 0.0, 1.0
        else:
            warnings.append(f"float values {low:g}..{high:g} are taken as black..white")
        span = (high - low) or 1.0
        high = low + span
        pixels = ((np.where(finite, pixels, low) - low) / span).astype(np.float32)
    if alpha is not None and not keep_hidden:
        seen, pixels = pixels, fill_transparent(pixels, alpha)
        if hides_colours(seen, pixels):
            warnings.append(HIDDEN_COLOURS)
    before, channels = pixels.shape[:2], pixels.shape[2]
    if channels > 1 and are_gray(pixels):
        pixels = np.ascontiguousarray(pixels[:, :, :1])

    def finish(enlarged: Array, size: tuple[int, int] | None = None) -> Photograph:
        scale = len(enlarged) // before[0]
        size = size or (enlarged.shape[0], enlarged.shape[1])
        enlarged = shrink(enlarged, size)
        if are_floats:
            enlarged = (enlarged * np.float32(high - low) + np.float32(low)).astype(
                np.float32
            )
        if holes is not None:
            larger = holes.repeat(scale, axis=0).repeat(scale, axis=1)
            enlarged[shrink_mask(larger, size)] = np.nan
        own = None if alpha is None else shrink(enlarge_alpha(alpha, scale), size)
        fitted, _ = fit_metadata(metadata, PixelMap(before=before, after=size))
        if enlarged.shape[2] < channels:
            enlarged = np.broadcast_to(enlarged, (*size, channels))
        return Photograph(pixels=enlarged, alpha=own, metadata=fitted)

    return pixels, tuple(warnings), finish


def enlarge_alpha(alpha: Array, scale: int) -> Array:
    """Upscale an alpha channel (H, W) by bicubic interpolation, clipped to its range."""
    if not alpha.size or alpha.min() == alpha.max():
        return np.full(
            (alpha.shape[0] * scale, alpha.shape[1] * scale), alpha.flat[0], alpha.dtype
        )
    # bicubic overshoots: opaque and clear areas must stay exactly so
    return np.clip(resize(alpha, scale), alpha.min(), alpha.max())


@dataclass(kw_only=True, eq=False)
class PhotographJob:
    """One photograph between reading and writing."""

    item: Item
    picture: Picture
    size: tuple[int, int]
    """Of the output: height, width."""
    passes: tuple[tuple[str, int], ...]
    """Model and scale of the passes that are left; a later one has a clean picture
    before it."""
    pixels: Array
    """Prepared for the next pass."""
    finish: Finish
    known: dict[str, Any]
    """Fields of its ``FileReport``: model, condition, warnings, size."""
    enlarged: Array = field(init=False)
    started: float = 0.0
    tiles: int = 0

    @property
    def key(self) -> tuple[str, int, int]:
        """Model, scale and depth of the next pass: that of the engine."""
        return *self.passes[0], self.pixels.dtype.itemsize * 8


@dataclass(eq=False)
class PhotographRun:
    """Upscales pictures that fit into memory, which ``processes`` of this machine share."""

    pool: EnginePool
    """Runs the model of the options; that for degraded ones is loaded when one needs
    it."""
    options: UpscaleOptions
    reporter: Reporter
    processes: int = 1

    def _engine(self, model: str, scale: int, bits: int) -> tuple[TorchEngine, Tiling]:
        """Return the engine and tiles of a model."""
        options, pool = self.options, self.pool.of(model, scale)
        tiling = choose_tiling(model, pool.network, options.tile, options.overlap)
        return pool.engine(bits), tiling

    def _prepare(self, photograph: Photograph) -> tuple[Array, tuple[str, ...], Finish]:
        return prepare(photograph, keep_hidden=self.options.keep_hidden)

    def upscale(self, items: Sequence[Item]) -> list[Item]:
        """Upscale photographs, then animations whose output holds all frames; return the rasters.

        They are opened one by one; one that fails leaves the others alone.
        """
        animations: list[tuple[Item, Picture]] = []
        rasters: list[Item] = []
        asked = self.options.raster.asked_for

        def stills() -> Iterator[tuple[Item, Picture]]:
            for item in items:
                with self.reporter.guard(item):
                    picture = open_photograph(item, self.options)
                    if picture is None:
                        rasters.append(item)
                        continue
                    if asked:
                        self.reporter.progress.warn(
                            f"photographs are upscaled without {', '.join(asked)}, which apply to "
                            "rasters; a photograph that is named itself is upscaled as a raster"
                        )
                        asked.clear()
                    if is_kept(picture, item.format):
                        animations.append((item, picture))
                    else:
                        yield item, picture

        workers = self.options.workers
        for portion in portions(stills(), self.options, self.processes):
            # after an interruption the pictures that are being written are finished
            with (
                read_ahead(
                    self._load, portion, ahead=workers + 1, workers=workers
                ) as reading,
                read_ahead(
                    self._save,
                    self._enlarged(self._loaded(reading)),
                    ahead=workers,
                    workers=workers,
                ) as saving,
            ):
                for job, future in saving:
                    with self.reporter.guard(job.item, job.started):
                        future.result()
                        self.reporter.add(
                            job.item, started=job.started, tiles=job.tiles, **job.known
                        )
        for item, picture in animations:
            with self.reporter.guard(item):
                self._upscale_animation(item, picture)
        return rasters

    def _loaded(
        self, reading: Iterable[tuple[tuple[Item, Picture], Future[PhotographJob]]]
    ) -> Iterator[PhotographJob]:
        for (item, _), future in reading:
            with self.reporter.guard(item):
                job = future.result()
                self._engine(*job.key)  # here, where a picture may fail of it
                yield job

    def _load(self, opened: tuple[Item, Picture]) -> PhotographJob:
        item, picture = opened
        begin(item.source)
        size, unwritable = check_output(item, picture, self.options)
        photograph = read_photograph(picture)
        model, condition = choose_model(photograph, self.options, picture.format)
        first, *others = self.options.steps(model, picture.height, picture.width)
        metadata = kept_metadata(photograph.metadata, picture, self.options, model)
        pixels, found, finish = self._prepare(replace(photograph, metadata=metadata))
        warnings = (*found, *unwritable, *lost_metadata(item.format, metadata))
        return PhotographJob(
            item=item,
            picture=picture,
            size=size,
            passes=((model, first), *((self.options.model, scale) for scale in others)),
            pixels=pixels,
            finish=finish,
            known={
                "model": model,
                "condition": condition,
                "warnings": warnings,
                "size": size,
            },
        )

    def _enlarged(self, jobs: Iterable[PhotographJob]) -> Iterator[PhotographJob]:
        """Yield jobs after their last pass."""
        # neighbours of one model, scale and depth share an engine, and batches
        for key, group in groupby(jobs, key=lambda each: each.key):
            engine, tiling = self._engine(*key)
            larger: list[PhotographJob] = []
            works = self._works(group, tiling)
            for work in run_stream(engine, works, task=self.reporter):
                job: PhotographJob = work.owner
                if work.error is not None:
                    self.reporter.fail(job.item, work.error, job.started)
                elif len(job.passes) > 1:
                    job.pixels, _, job.finish = self._prepare(job.finish(job.enlarged))
                    job.passes = job.passes[1:]
                    larger.append(job)
                else:
                    yield job
            yield from self._enlarged(larger)

    def _works(
        self, jobs: Iterable[PhotographJob], tiling: Tiling
    ) -> Iterator[ImageJob]:
        """Cut pictures into tiles and reserve memory for their outputs."""
        for job in jobs:
            item = job.item
            with self.reporter.guard(item):
                item.make_folder()
                grid, scale = (
                    tiling.padded_grid(*job.pixels.shape[:2]),
                    job.passes[0][1],
                )
                folder = item.target.parent
                work, job.enlarged = array_job(
                    job.pixels, grid, name=str(item.source), scale=scale, folder=folder
                )
                work.owner = job
                job.started = job.started or time.monotonic()
                job.tiles += work.tiles
                self.reporter.grow(work.tiles)
                yield work

    def _save(self, job: PhotographJob) -> None:
        photograph = job.finish(job.enlarged, job.size)
        form = writing_options(job.item, job.picture, self.options)
        write_photograph(job.item.target, photograph, **form)

    def _upscale_animation(self, item: Item, picture: Picture) -> None:
        """Upscale frame by frame: a batch of tiles is in memory, finished ones wait in a file."""
        begin(item.source)
        started, model = time.monotonic(), self.options.model
        scale, *more = self.options.steps(model, picture.height, picture.width)
        if more:
            raise PictureError(
                f"{item.source}: is an animation; give a size up to -s {scale}"
            )
        size, unwritable = check_output(item, picture, self.options)
        metadata = kept_metadata(picture.metadata, picture, self.options, model)
        warnings = (
            *picture.warnings,
            *unwritable,
            *lost_metadata(item.format, metadata),
        )
        item.make_folder()
        engine, tiling = self._engine(model, scale, 8)
        times: list[list[int]] = []
        tiles, fitted = 0, metadata
        # beside the output, where there is room for it
        frames = empty_array((picture.frames, *size, 4), np.uint8, item.target.parent)

        def works() -> Iterator[ImageJob]:
            for photograph, *timing in read_frames(replace(picture, metadata=metadata)):
                (pixels, _, finish), name = self._prepare(photograph), str(item.source)
                grid = tiling.padded_grid(*pixels.shape[:2])
                work, enlarged = array_job(pixels, grid, name=name, scale=scale)
                if not times:
                    self.reporter.grow(work.tiles * picture.frames)
                work.owner = len(times), finish, enlarged
                times.append(timing)
                yield work

        for work in run_stream(engine, works(), task=self.reporter):
            if work.error is not None:
                raise work.error
            index, finish, enlarged = work.owner
            done = finish(enlarged, size)
            assert done.alpha is not None  # frames have it
            frames[index, :, :, :3], frames[index, :, :, 3] = done.pixels, done.alpha
            release(frames)
            fitted = done.metadata
            tiles += work.tiles
        write_animation(
            item.target,
            frames,
            milliseconds=[each for each, _ in times],
            plays=times[0][1],
            metadata=fitted,
            **writing_options(item, picture, self.options),
        )
        self.reporter.add(
            item, started=started, tiles=tiles, size=size, warnings=warnings
        )


def writing_options(
    item: Item, picture: Picture, options: UpscaleOptions
) -> dict[str, Any]:
    """Return what outputs are written with; refuse inputs that have changed since."""
    check_unchanged(item.source, picture.mark)
    quality = options.quality
    if quality is None and item.format == "webp" and picture.lossless:
        quality = LOSSLESS
    attributes = attributes_for(item.target, item.source, dates=options.keep_dates)
    return {"fmt": item.format, "quality": quality, "attributes": attributes}


def kept_metadata(
    metadata: Metadata, picture: Picture, options: UpscaleOptions, model: str
) -> Metadata:
    """Return what an output keeps of the metadata of its input, with what made it."""
    if options.strip_metadata:  # but for what the pixels cannot be shown without
        metadata = Metadata(icc=metadata.icc, colours=metadata.colours)
    if not options.records:
        return metadata
    made_by = options.made_by(picture.mark, model, photograph=True)
    earlier = metadata.software or exif.software(metadata.exif)
    return replace(metadata, software=made_by.software(earlier))


def check_output(
    item: Item, picture: Picture, options: UpscaleOptions
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Check by an input's header that format, memory and disk can hold its result.

    Returns:
        The output's (height, width), and warnings of what will be lost.
    """
    height, width = options.final_size(picture.height, picture.width)
    try:
        warnings = check_writable(
            item.format, height, width, has_alpha=picture.has_alpha, bits=picture.bits
        )
    except PictureError as error:
        raise PictureError(f"{item.source}: {error}") from error
    needed, free = photograph_memory(item, picture, options), free_memory()
    if free is not None and needed > free:
        raise PictureError(
            f"{item.source}: takes about {format_bytes(needed)} of memory when enlarged, and "
            f"{format_bytes(free)} are free; crop it, or use a smaller scale"
        )
    if is_kept(
        picture, item.format
    ):  # whose pictures wait on the disk for the last one
        held, what = (
            picture.frames * height * width * 4,
            f"its {picture.frames} pictures take",
        )
        item.check_disk(what, held, held, "a smaller --scale")
        if picture.has_default:
            warnings = (
                *warnings,
                "its picture for programs without animation is left out",
            )
    if height < picture.height or width < picture.width:
        own = f"{picture.width}x{picture.height}"
        warnings = (
            *warnings,
            f"becomes {width}x{height}, smaller than the input ({own})",
        )
    return (height, width), warnings


def portions(
    opened: Iterable[tuple[Item, Picture]], options: UpscaleOptions, processes: int = 1
) -> Iterator[Iterator[tuple[Item, Picture]]]:
    """Yield runs of neighbouring photographs that together take half of the free memory at most.

    One may always be held; the processes divide the memory among them.
    """
    free = free_memory()
    budget = sys.maxsize if free is None else free // 2 // processes
    number = held = 0

    def portion(one: tuple[Item, Picture]) -> int:
        nonlocal number, held
        size = photograph_memory(*one, options)
        if held and held + size > budget:
            number, held = number + 1, 0
        held += size
        return number

    for _, group in groupby(opened, key=portion):
        yield group


def photograph_memory(item: Item, picture: Picture, options: UpscaleOptions) -> int:
    """Estimate the most bytes that a photograph takes, from reading to writing it."""
    channels = picture.channels + picture.has_alpha
    given = picture.height * picture.width * channels * picture.bits // 8
    times = math.prod(options.steps(options.model, picture.height, picture.width))
    made = given * times**2
    # what the network gives is encoded as it lies there
    direct = (
        item.format in ("png", "jpg", "tif")
        and picture.bits in FORMATS[item.format].bits
    )
    if not direct or picture.has_alpha or picture.bits == 32 or options.of_photographs:
        return 6 * given + 3 * made
    return 3 * given + (made if made <= LARGEST_IN_MEMORY else 0)
