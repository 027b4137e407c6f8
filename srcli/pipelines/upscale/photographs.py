"""Upscale photographs: read ahead, batch tiles across pictures, write behind, in bounded memory.

What is read by windows instead is a raster (``rasters.py``). A ``Picture`` is the header
of a file, a ``Photograph`` its pixels, a ``PreparedPhotograph`` what a network takes, a
``PhotographJob`` one file on its way, and an ``ImageJob`` one of its passes.
What is not upscaled together with others is left to ``single_photographs.py`` and
``videos.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

import srcli
from srcli.errors import PictureError
from srcli.files import file_state
from srcli.imaging.files import stored_parts
from srcli.imaging.files.provenance import check_unchanged
from srcli.imaging.metadata.by_format import dress_metadata
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.metadata.fitting import fit_metadata, with_record, with_resolution
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.photographs.writing import write_photograph
from srcli.imaging.pixels.arrays import Array, Size
from srcli.inference.stream import ImageJob, array_job, run_stream
from srcli.models.weights import network_digest
from srcli.pipelines.upscale.choosing import (
    INTERPOLATION_COST,
    INTERPOLATION_MODEL,
    choose_model,
    choose_passes,
)
from srcli.pipelines.upscale.kinds import (
    check_output,
    choose_quality,
    split_by_memory,
)
from srcli.pipelines.upscale.preparing import PreparedPhotograph, prepare
from srcli.threads import read_ahead

if TYPE_CHECKING:
    from pathlib import Path

    from srcli.inference.engine import TorchEngine
    from srcli.inference.engines import EnginePool
    from srcli.inference.tiling import Tiling
    from srcli.pipelines.upscale.kinds import Opened
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Facts, Item, Reporter
    from srcli.ports import TileGrid

T = TypeVar("T")
Pools = Callable[[str, int], "EnginePool"]
"""Returns the engines of a model at a scale; it is loaded when a picture needs it."""
_SIDES_OF_TILES = range(64, 1025)
"""Pixels a side of squares that are looked at as terrain tiles."""


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
    counted_work: float = 0.0
    """Of the pass behind this one."""

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
    def facts(self) -> Facts:
        """What is reported of it."""
        return {
            "size": self.size,
            "model": self.model,
            "condition": self.condition,
            "warnings": self.warnings,
            "tiles": self.tiles,
        }

    @property
    def engine_key(self) -> tuple[str, int, int] | None:
        """Model, scale and bits of the next pass; jobs of the same key can share a batch.

        None for a photograph that only shrinks.
        """
        if not self.passes:
            return None
        return *self.passes[0], self.prepared.pixels.dtype.itemsize * 8


@dataclass(eq=False)
class PhotographUpscaler:
    """Upscales photographs; ``processes`` of this machine share the memory for them."""

    pools: Pools
    options: Settled
    reporter: Reporter
    processes: int = 1

    def engine_for(
        self, model: str, scale: int, bits: int
    ) -> tuple[TorchEngine, Tiling]:
        """Return the engine and the tiling of a model; the first call loads it."""
        options = self.options
        pool = self.pools(model, scale)
        for note in pool.network.notes:
            self.reporter.note(note)
        return pool.engine(bits), pool.tiling(options.tile, options.overlap)

    def prepare(self, photograph: Photograph) -> PreparedPhotograph:
        """Prepare a photograph for the next pass; see ``preparing.prepare``."""
        options = self.options
        return prepare(photograph, keep_hidden=options.keep_hidden, wrap=options.wrap)

    def upscale(self, stills: Iterable[Opened]) -> None:
        """Upscale still photographs in groups that fit into memory together."""
        for group in split_by_memory(stills, self.options, self.processes):
            self._upscale_together(group)

    def _upscale_together(self, group: Iterator[Opened]) -> None:
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
                    self.reporter.add(job.item, started=job.started, **job.facts)

    def _with_engines(
        self, reading: Iterable[tuple[Opened, Future[PhotographJob]]]
    ) -> Iterator[PhotographJob]:
        """Yield jobs that are read, with the engine of the first pass loaded for each."""
        for opened, future in reading:
            with self.reporter.guard(opened.item):
                job = future.result()
                if job.engine_key:
                    # an error here fails this picture alone
                    self.engine_for(*job.engine_key)
                yield job

    def load(self, opened: Opened, folder: Path | None = None) -> PhotographJob:
        """Read a photograph, choose its model, and prepare it for the first pass.

        Large arrays lie in the folder where one is given; see ``empty_array``.
        """
        item = opened.item
        picture = opened.picture
        started = time.monotonic()
        self.reporter.begin(item)
        size, unwritable = check_output(item, picture, self.options)
        photograph = read_photograph(picture, folder)
        picture = replace(picture, metadata=photograph.metadata)
        _refuse_packed_heights(picture, photograph)
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
            ),
            passes=choose_passes(picture.size, self.options, model),
            prepared=prepared,
            seconds=time.monotonic() - started,
        )

    def enlarge(self, jobs: Iterable[PhotographJob]) -> Iterator[PhotographJob]:
        """Run the passes of jobs, and yield each job after its last."""
        # jobs in a row with one model, scale and depth share an engine, and batches
        for key, group in groupby(jobs, key=lambda job: job.engine_key):
            if key is None:
                for small in group:
                    with self.reporter.guard(small.item):
                        small.item.make_folder()
                        small.enlarged = small.prepared.pixels
                        yield small
                continue
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
                if job.passes[0][0] == INTERPOLATION_MODEL:
                    image_job.cost = INTERPOLATION_COST
                job.tiles += image_job.tiles
                self.count_work(job, image_job)
                yield image_job

    def count_work(self, job: PhotographJob, image_job: ImageJob) -> None:
        """Count the work of a pass, and that of the one behind it as this one begins."""
        work = image_job.work
        if len(job.passes) > 1:
            _, scale = job.passes[0]
            work *= 1 + scale**2
            job.counted_work += work - image_job.work
        else:
            work -= job.counted_work
            job.counted_work = 0.0
        self.reporter.grow(work, job.item.source, job.item.target)

    def _save(self, job: PhotographJob) -> None:
        """Write the output of a job after its last pass."""
        started = time.monotonic()
        photograph = job.prepared.finish(job.enlarged, job.size)
        settings = writing_options(job.item, job.picture, self.options)
        write_photograph(job.item.target, photograph, **settings)
        job.seconds += time.monotonic() - started

    def enlarge_frames(
        self, frames: Iterable[tuple[T, Photograph]], picture: Picture, model: str
    ) -> tuple[int, Iterator[tuple[T, Photograph]]]:
        """Return the number of tiles, and frames that are enlarged when they are asked for.

        ``frames`` are as many as ``picture.frames``, each with its timing, which comes
        back with the enlarged frame.
        """
        passes = list(self._passes(picture, model))
        size = None
        tiles = 0
        work = 0.0
        if not passes:
            return tiles, self._shrink(frames, self.options.final_size(picture.size))
        enlarged = iter(frames)
        for number, (_, engine, grid) in enumerate(passes, 1):
            count = grid.count * picture.frames
            tiles += count
            work += count * grid.tile_megapixels
            if number == len(passes):
                size = self.options.final_size(picture.size)
            enlarged = self._run_pass(enlarged, engine, grid, size, str(picture.path))
        self.reporter.grow(work, picture.path)
        return tiles, enlarged

    def _shrink(
        self, frames: Iterable[tuple[T, Photograph]], size: Size
    ) -> Iterator[tuple[T, Photograph]]:
        """Make frames smaller, each with its timing, by a plain filter."""
        for timing, photograph in frames:
            prepared = self.prepare(photograph)
            yield timing, prepared.finish(prepared.pixels, size)

    @contextmanager
    def keep_parts(
        self,
        item: Item,
        parts: stored_parts.StoredParts,
        picture: Picture | None = None,
        model: str = "",
        *,
        encoding: object = None,
        are_files: bool = False,
    ) -> Iterator[None]:
        """Hold the parts of an output, and tell of those of an earlier run; see ``keep_parts``.

        Args:
            item: The input with its output.
            parts: What is kept; whole files, with metadata and records, if they ``are_files``.
            picture: The header of what networks enlarge; None where that is decided
                page by page.
            model: That of its first pass, if it is not that of the options.
            encoding: How parts of a video are encoded.
            are_files: See ``parts``.
        """
        options = self.options
        networks = picture and self._describe_networks(picture, model or options.model)
        metadata: list[object] = []
        if are_files:
            metadata = [
                options.checksum(options.model), str(options.dpi),
                options.strip_metadata, options.strip_provenance,
            ]  # fmt: skip
        fingerprint = {
            "version": srcli.__version__,
            "input": [str(item.source), *(file_state(item.source) or ())],
            "model": [options.model, options.auto, options.best, networks],
            "scale": [options.scale, str(options.size), str(options.fit)],
            "options": [
                options.wrap,
                options.keep_hidden,
                str(options.engine),
                metadata,
            ],
            "tile": [options.tile, options.overlap],
            "page": options.pages,
            "encoding": str(encoding),
        }
        item.make_folder()
        with stored_parts.keep_parts(
            parts, fingerprint, resume=options.resume
        ) as notes:
            self.reporter.tell(item, *notes)
            yield

    def _describe_networks(self, picture: Picture, model: str) -> list[object]:
        """Return what pixels depend on of the networks of all passes, by the header alone."""
        states: list[object] = []
        for pass_model, engine, grid in self._passes(picture, model):
            tile = (grid.tile_height, grid.tile_width)
            states += [
                pass_model,
                engine.scale,
                network_digest(engine.network),
                *tile,
                grid.overlap,
                engine.batch_size(*tile),
                str(engine.half),
                engine.device.type,
            ]
        return states

    def _passes(
        self, picture: Picture, model: str
    ) -> Iterator[tuple[str, TorchEngine, TileGrid]]:
        """Yield model, engine and tiles of each pass, by the header alone."""
        height, width = picture.size
        for pass_model, scale in choose_passes(picture.size, self.options, model):
            engine, tiling = self.engine_for(pass_model, scale, picture.bits)
            grid = tiling.padded_grid(height, width, self.options.wrap)
            yield pass_model, engine, grid
            height *= scale
            width *= scale

    def _run_pass(
        self,
        frames: Iterator[tuple[T, Photograph]],
        engine: TorchEngine,
        grid: TileGrid,
        size: Size | None,
        name: str,
    ) -> Iterator[tuple[T, Photograph]]:
        """Run frames, each with its timing, through a network, and maybe resize them."""

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


def _refuse_packed_heights(picture: Picture, photograph: Photograph) -> None:
    """Refuse a terrain tile, whose colours are bytes of heights, for a way of photographs.

    Such tiles are square, lossless and in colours.
    """
    is_square = picture.height == picture.width and picture.width in _SIDES_OF_TILES
    if not (is_square and picture.lossless and picture.channels == 3):
        return
    from srcli.imaging.rasters.heights import are_packed_heights

    valid = np.ones(picture.size, np.bool_)
    if photograph.alpha is not None:
        valid = photograph.alpha > 0
    if are_packed_heights(photograph.pixels[None], valid[None]):
        raise PictureError(
            f"{picture.path}: its colours are bytes of heights; --nodata none enlarges these as "
            "a raster, --mosaic those of a folder of tiles"
        )


def writing_options(item: Item, picture: Picture, options: Settled) -> dict[str, Any]:
    """Return arguments for ``write_photograph``; refuse an input that has changed meanwhile."""
    check_unchanged(item.source, picture.input_id)
    attributes = item.attributes(dates=options.keep_dates)
    quality = choose_quality(item, picture, options)
    settings = {"fmt": item.format, "quality": quality, "attributes": attributes}
    if options.bilevel:  # of TIFFs alone: no animation knows it
        settings["bilevel"] = True
    return settings


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
        metadata = with_record(metadata, provenance)
    metadata, lost = dress_metadata(metadata, item.format)
    return metadata, (*notes, *lost)
