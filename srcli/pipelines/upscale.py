"""Upscale files and folders: plan, read ahead, run the network, write behind, report."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from srcli.errors import PictureError, SrxError
from srcli.imaging.reading import read_photograph
from srcli.imaging.writing import write_photograph
from srcli.inference.stream import TileTooLargeError, Work, run_stream
from srcli.pipelines.engines import EngineOptions, EnginePool, tiling_of
from srcli.pipelines.plan import Item, Naming, Outlook, Plan, foresee, make_plan
from srcli.pipelines.prepare import Prepared, finish, prepare
from srcli.pipelines.report import FileReport, Summary
from srcli.ports.progress import NoProgress, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

SMALLEST_TILE = 32
"""Where halving the tile after running out of memory ends."""


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions:
    """Everything ``srx upscale`` can be told, apart from the files."""

    model: str = "g-idrn"
    scale: int = 4
    tile: int | None = None
    """Input pixels; None takes the model's."""
    overlap: int | None = None
    workers: int = 2
    """Reading and writing threads."""
    quality: int | None = None
    naming: Naming = field(default_factory=Naming)
    engine: EngineOptions = field(default_factory=EngineOptions)


def upscale_files(
    inputs: Sequence[Path],
    output: Path,
    options: UpscaleOptions,
    *,
    progress: Progress | None = None,
    on_file: Callable[[FileReport], None] | None = None,
) -> Summary:
    """Upscale pictures and folders.

    Args:
        inputs: Pictures and folders.
        output: A folder, or a file name for one picture.
        options: Model, scale, naming, tiling.
        progress: Told of files, tiles and warnings.
        on_file: Called with the report of every file, as soon as it is known.

    Returns:
        The reports of all files; one bad file never stops the others.

    Raises:
        UsageError: If inputs or outputs do not fit each other; nothing was written then.
        ModelError: If the model or its scale does not exist.
    """
    run = _Run(
        make_plan(inputs, output, options.naming), options, progress or NoProgress(), on_file
    )
    return run.execute()


def foresee_files(
    inputs: Sequence[Path], output: Path, options: UpscaleOptions
) -> list[tuple[Item, Outlook | str]]:
    """What ``upscale_files`` would do: for each item its outlook, or why it would fail."""
    found: list[tuple[Item, Outlook | str]] = []
    for item in make_plan(inputs, output, options.naming).items:
        try:
            found.append((item, foresee(item, options.scale)))
        except PictureError as error:
            found.append((item, str(error)))
    return found


@dataclass(kw_only=True, eq=False)
class _Job:
    """One picture between reading and writing."""

    item: Item
    prepared: Prepared
    work: Work
    warnings: tuple[str, ...]
    started: float


class _Run:
    def __init__(
        self,
        plan: Plan,
        options: UpscaleOptions,
        progress: Progress,
        on_file: Callable[[FileReport], None] | None,
    ) -> None:
        self.plan = plan
        self.options = options
        self.progress = progress
        self.on_file = on_file
        self.summary = Summary()
        tile, overlap = tiling_of(options.model)
        self.tile = options.tile or tile
        default = min(overlap, max((self.tile - 1) // 2, 0))
        self.overlap = default if options.overlap is None else options.overlap
        self.writes: deque[tuple[_Job, Future[None]]] = deque()

    def execute(self) -> Summary:
        started = time.monotonic()
        for note in self.plan.notes:
            self.progress.message(note)
        todo = [item for item in self.plan.items if not self._is_finished(item)]
        if todo:
            self._upscale(todo)
        self.summary.seconds = time.monotonic() - started
        return self.summary

    def _is_finished(self, item: Item) -> bool:
        if self.options.naming.overwrite or not item.target.exists():
            return False
        self._tell(FileReport(source=item.source, target=item.target, state="skipped"))
        return True

    def _upscale(self, todo: Sequence[Item]) -> None:
        pool = EnginePool(self.options.model, self.options.scale, self.options.engine)
        files = self.progress.task("files", total=len(todo), unit="files")
        # One reader keeps ahead of the network; more would only hold more pictures in memory.
        readers = ThreadPoolExecutor(max(self.options.workers, 1), thread_name_prefix="read")
        writers = ThreadPoolExecutor(max(self.options.workers, 1), thread_name_prefix="write")
        try:
            loaded = self._read_ahead(todo, readers, files.advance)
            # Neighbours of one depth share an engine, and batches.
            for bits, group in groupby(loaded, key=lambda entry: entry[1].bits):
                jobs = (self._job(*entry) for entry in group)
                self._run_jobs(pool, bits, jobs, writers, files.advance)
            self._collect(0, files.advance)
        finally:
            readers.shutdown(wait=True, cancel_futures=True)
            writers.shutdown(wait=True)
            files.close()

    def _read_ahead(
        self, todo: Sequence[Item], readers: ThreadPoolExecutor, advance: Callable[[float], None]
    ) -> Iterator[tuple[Item, Prepared, tuple[str, ...]]]:
        waiting: deque[tuple[Item, Future[tuple[Prepared, tuple[str, ...]]]]] = deque()
        rest = iter(todo)
        while True:
            while len(waiting) <= self.options.workers and (item := next(rest, None)):
                waiting.append((item, readers.submit(_load, item, self.options.scale)))
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                prepared, warnings = future.result()
            except SrxError as error:
                self._fail(item, error)
                advance(1)
                continue
            yield item, prepared, warnings

    def _job(self, item: Item, prepared: Prepared, warnings: tuple[str, ...]) -> _Job:
        work = prepared.work(self.options.scale, self.tile, self.overlap, str(item.source))
        return _Job(
            item=item, prepared=prepared, work=work, warnings=warnings, started=time.monotonic()
        )

    def _run_jobs(
        self,
        pool: EnginePool,
        bits: int,
        jobs: Iterator[_Job],
        writers: ThreadPoolExecutor,
        advance: Callable[[float], None],
    ) -> None:
        engine = pool.engine(bits)
        running: dict[int, _Job] = {}
        tiles = self.progress.task("tiles", unit="tiles")

        def works() -> Iterator[Work]:
            for job in jobs:
                running[id(job.work)] = job
                yield job.work

        again: list[_Job] = []
        for work in run_stream(engine, works(), task=tiles):
            job = running.pop(id(work))
            if isinstance(work.error, TileTooLargeError) and self.tile // 2 >= SMALLEST_TILE:
                again.append(job)
            elif work.error is not None:
                self._fail(job.item, work.error, job)
                advance(1)
            else:
                self.writes.append((job, writers.submit(_save, job, self.options)))
                self._collect(self.options.workers, advance)
        tiles.close()
        if again:
            self.tile //= 2
            self.overlap = min(self.overlap, self.tile // 4)
            self.progress.warn(f"out of memory: going on with tiles of {self.tile} pixels")
            redone = (self._job(job.item, job.prepared, job.warnings) for job in again)
            self._run_jobs(pool, bits, redone, writers, advance)

    def _collect(self, allowed: int, advance: Callable[[float], None]) -> None:
        """Report finished writes; wait while more than ``allowed`` are under way."""
        while self.writes and (len(self.writes) > allowed or self.writes[0][1].done()):
            job, future = self.writes.popleft()
            try:
                future.result()
            except SrxError as error:
                self._fail(job.item, error, job)
            else:
                height, width = job.work.grid.height, job.work.grid.width
                scale = self.options.scale
                self._tell(
                    FileReport(
                        source=job.item.source,
                        target=job.item.target,
                        state="done",
                        seconds=time.monotonic() - job.started,
                        tiles=job.work.grid.count,
                        size=(height * scale, width * scale),
                        warnings=job.warnings,
                    )
                )
            advance(1)

    def _fail(self, item: Item, error: SrxError, job: _Job | None = None) -> None:
        seconds = time.monotonic() - job.started if job else 0.0
        report = FileReport(
            source=item.source,
            target=item.target,
            state="failed",
            seconds=seconds,
            error=str(error),
        )
        self._tell(report)

    def _tell(self, report: FileReport) -> None:
        self.summary.files.append(report)
        for warning in report.warnings:
            self.progress.warn(f"{report.source}: {warning}")
        if self.on_file is not None:
            self.on_file(report)


def _load(item: Item, scale: int) -> tuple[Prepared, tuple[str, ...]]:
    outlook = foresee(item, scale)
    photograph = read_photograph(item.source)
    prepared, warnings = prepare(photograph)
    return prepared, (*photograph.warnings, *outlook.warnings, *warnings)


def _save(job: _Job, options: UpscaleOptions) -> None:
    sink: Any = job.work.sink
    picture = finish(job.prepared, sink.pixels, options.scale)
    job.item.target.parent.mkdir(parents=True, exist_ok=True)
    write_photograph(job.item.target, picture, fmt=job.item.format, quality=options.quality)
    # A picture that is written is not needed again; large folders would fill the memory.
    job.prepared = replace(job.prepared, pixels=job.prepared.pixels[:0])
    sink.pixels = sink.pixels[:0]
