"""Upscale photographs: read ahead, batch tiles across pictures, write behind, in bounded memory."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from threading import Event
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError, one_file
from srcli.files import attributes_for, explain_os_error
from srcli.imaging import exif
from srcli.imaging.animation import is_kept
from srcli.imaging.provenance import Provenance
from srcli.imaging.reading import read_photograph
from srcli.imaging.writing import LOSSLESS, check_writable, lost_metadata, write_photograph
from srcli.inference.engines import EnginePool
from srcli.inference.stream import ArraySink, ImageJob, TileTooLargeError, run_stream
from srcli.inference.tiling import Tiling
from srcli.metrics.machine import free_memory
from srcli.pipelines.upscale.choice import (
    CLEAN_MODEL,
    PHOTO_MODEL,
    has_photo_model,
    shows_blocks,
)
from srcli.pipelines.upscale.memory import check_frames, check_memory, portions, spare_channels
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.prepare import Prepared, finish, prepare
from srcli.pipelines.upscale.reporter import FileReport, Reporter
from srcli.threads import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from srcli.imaging.photograph import Photograph, Picture
    from srcli.inference.engine import TorchEngine


@dataclass(kw_only=True, eq=False)
class PhotographJob:
    """One photograph between reading and writing."""

    item: Item
    lossless: bool
    """The input is stored without losses."""
    prepared: Prepared
    warnings: tuple[str, ...]
    work: ImageJob = field(init=False)
    sink: ArraySink = field(init=False)
    started: float = field(init=False)


@dataclass(eq=False)
class PhotographRun:
    """Upscales pictures that fit into memory."""

    pool: EnginePool
    tiling: Tiling
    """Tiles are halved after running out of memory."""
    options: UpscaleOptions
    reporter: Reporter
    provenance: Provenance | None = None
    """Recorded in outputs; None records nothing."""
    processes: int = 1
    """Processes of this machine that share its memory."""
    writers: ThreadPoolExecutor = field(init=False)
    recommended: Event = field(init=False, default_factory=Event)
    """Set when the user was told of another model."""
    writes: deque[tuple[PhotographJob, Future[None]]] = field(init=False, default_factory=deque)

    def upscale(self, items: Iterable[tuple[Item, Picture]]) -> None:
        """Upscale all items; one that fails is reported and leaves the others alone.

        Args:
            items: Inputs, opened; they are taken from here as they are needed.
        """
        for portion in portions(items, self.options, self.processes):
            self._upscale_portion(portion)

    def _upscale_portion(self, items: Iterable[tuple[Item, Picture]]) -> None:
        workers = self.options.workers
        self.writers = ThreadPoolExecutor(workers, thread_name_prefix="write")
        # after an interruption the pictures that are being written are finished
        with (
            self.writers,
            ReadAhead(self._load, items, ahead=workers + 1, workers=workers) as reading,
        ):
            # neighbours of one depth share an engine, and batches
            for bits, jobs in groupby(self._loaded(reading), key=lambda job: job.prepared.bits):
                self._run_jobs(self.pool.engine(bits), jobs)
            self._collect(0)

    def _loaded(
        self, reading: Iterable[tuple[tuple[Item, Picture], Future[PhotographJob]]]
    ) -> Iterator[PhotographJob]:
        for (item, _), future in reading:
            with self.reporter.guard(item):
                job = future.result()
                self.pool.engine(job.prepared.bits)  # here, where a picture may fail of it
                yield job

    def _load(self, opened: tuple[Item, Picture]) -> PhotographJob:
        item, picture = opened
        with name_errors(item):
            _, unwritable = check_output(item, picture, self.options, free_memory())
            photograph = read_photograph(picture)
            self._recommend(item, picture, photograph)
            if self.options.strip_metadata:
                photograph = replace(photograph, metadata=photograph.metadata.only_colours())
            if self.provenance is not None:
                metadata, made_by = (
                    photograph.metadata,
                    replace(self.provenance, source=picture.mark),
                )
                earlier = metadata.software or exif.software(metadata.exif)
                metadata = replace(metadata, software=made_by.software(earlier))
                photograph = replace(photograph, metadata=metadata)
            prepared, warnings = prepare(photograph)
            lost = lost_metadata(item.format, photograph.metadata)
            warnings = (*photograph.warnings, *unwritable, *lost, *warnings)
            return PhotographJob(
                item=item, lossless=picture.lossless, prepared=prepared, warnings=warnings
            )

    def _recommend(self, item: Item, picture: Picture, photograph: Photograph) -> None:
        """Say once in a run that another model is made for JPEGs whose blocks show."""
        if self.options.model != CLEAN_MODEL or not shows_blocks(picture, photograph):
            return
        if has_photo_model(self.options.scale) and not self.recommended.is_set():
            self.recommended.set()
            self.reporter.progress.message(
                f"{item.source}: JPEG blocks show; -m {PHOTO_MODEL} is made for such pictures, and "
                "-m auto chooses for each"
            )

    def _start(self, jobs: Iterable[PhotographJob]) -> Iterator[PhotographJob]:
        """Cut pictures into tiles and reserve memory for their outputs."""
        for job in jobs:
            with self.reporter.guard(job.item), name_errors(job.item):
                job.item.make_folder()
                job.work, job.sink = job.prepared.work(
                    self.options.scale,
                    self.tiling,
                    str(job.item.source),
                    folder=job.item.target.parent,
                    spare=spare_channels(job.item.format, job.prepared.pixels.shape[2]),
                )
                job.started = time.monotonic()
                self.reporter.tiles.grow(job.work.grid.count)
                yield job

    def _run_jobs(self, engine: TorchEngine, jobs: Iterable[PhotographJob]) -> None:
        running: dict[ImageJob, PhotographJob] = {}

        def works() -> Iterator[ImageJob]:
            for job in self._start(jobs):
                running[job.work] = job
                yield job.work

        again: list[PhotographJob] = []
        smaller = self.tiling.halved()
        for work in run_stream(engine, works(), task=self.reporter.tiles):
            job = running.pop(work)
            if isinstance(work.error, TileTooLargeError) and smaller is not None:
                again.append(job)
            elif work.error is not None:
                self.reporter.fail(job.item, work.error, job.started)
            else:
                self.writes.append((job, self.writers.submit(self._save, job)))
                self._collect(self.options.workers)
        if again and smaller is not None:
            self.tiling = smaller
            self.reporter.progress.warn(
                f"out of memory: going on with tiles of {self.tiling.tile} pixels"
            )
            self._run_jobs(engine, again)

    def _save(self, job: PhotographJob) -> None:
        item, quality = job.item, self.options.quality
        if quality is None and item.format == "webp" and job.lossless:
            quality = LOSSLESS
        with name_errors(item):
            picture = finish(job.prepared, job.sink.pixels, self.options.scale, self.options.fit)
            attributes = attributes_for(item.target, item.source, dates=self.options.keep_dates)
            write_photograph(
                item.target, picture, fmt=item.format, quality=quality, attributes=attributes
            )

    def _collect(self, allowed: int) -> None:
        """Report finished writes; wait while more than ``allowed`` are under way."""
        while self.writes and (len(self.writes) > allowed or self.writes[0][1].done()):
            job, future = self.writes.popleft()
            try:
                future.result()
            except SrxError as error:
                self.reporter.fail(job.item, error, job.started)
                continue
            height, width = job.sink.pixels.shape[:2]
            self.reporter.add(
                FileReport(
                    source=job.item.source,
                    target=job.item.target,
                    state="done",
                    seconds=time.monotonic() - job.started,
                    tiles=job.work.grid.count,
                    size=self.options.fit.fitted(height, width),
                    warnings=job.warnings,
                )
            )


def check_output(
    item: Item, picture: Picture, options: UpscaleOptions, free: int | None
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Check by an input's header that its result can be written and fits into memory.

    Args:
        item: The input and its output.
        picture: The input, opened.
        options: All options.
        free: Bytes of memory that are free; None if unknown.

    Returns:
        The output's (height, width), and warnings of what will be lost.

    Raises:
        PictureError: If the output's format, ``--max-memory``, the free memory or, for an
            animation, the disk cannot hold the result.
    """
    scale = options.scale
    height, width = options.fit.fitted(picture.height * scale, picture.width * scale)
    try:
        warnings = check_writable(
            item.format,
            height=height,
            width=width,
            has_alpha=picture.has_alpha,
            bits=picture.bits,
        )
    except PictureError as error:
        raise PictureError(f"{item.source}: {error}") from error
    check_memory(item, picture, options, free)
    if is_kept(picture, item.format):
        check_frames(item, picture.frames, height * width)
    if height < picture.height or width < picture.width:
        own = f"{picture.width}x{picture.height}"
        warnings = (*warnings, f"becomes {width}x{height}, smaller than the input ({own})")
    return (height, width), warnings


@contextmanager
def name_errors(item: Item) -> Iterator[None]:
    """Turn whatever is raised into an error that names the picture; see ``one_file``."""
    with one_file(item.source):
        try:
            yield
        except MemoryError as error:
            raise PictureError(
                f"{item.source}: does not fit into memory when enlarged; crop it, or use a smaller "
                "scale"
            ) from error
        except OSError as error:
            reason = explain_os_error(item.target, error)
            raise PictureError(reason or f"{item.target}: cannot be written ({error})") from error
