"""Upscale files and folders: plan, read ahead, run the network, write behind, report."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError, UsageError
from srcli.inference.stream import TileTooLargeError, Work, run_stream
from srcli.pipelines.engines import EngineOptions, EnginePool, choose_tiling
from srcli.pipelines.plan import Item, Naming, Outlook, Plan, foresee, make_plan
from srcli.pipelines.prepare import Prepared
from srcli.pipelines.report import FileReport, Summary
from srcli.pipelines.upscale_item import Job, enough_memory, load, make_folder, save
from srcli.ports.progress import NoProgress, NoTask, Progress, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from srcli.inference.engine import TorchEngine
    from srcli.inference.tiling import Tiling

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


_Loaded = tuple[Item, Prepared, tuple[str, ...]]


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
        self.files: Task = NoTask()
        self.tiles: Task = NoTask()
        self.writers: ThreadPoolExecutor
        self.tiling: Tiling
        self.writes: deque[tuple[Job, Future[None]]] = deque()
        self.started = time.monotonic()

    def execute(self) -> Summary:
        for note in self.plan.notes:
            self.progress.message(note)
        todo = [item for item in self.plan.items if not self._is_finished(item)]
        if todo:
            self._upscale(todo)
        self.summary.seconds = time.monotonic() - self.started
        return self.summary

    def _is_finished(self, item: Item) -> bool:
        if self.options.naming.overwrite or not item.target.exists():
            return False
        self._tell(FileReport(source=item.source, target=item.target, state="skipped"))
        return True

    def _upscale(self, todo: Sequence[Item]) -> None:
        try:
            make_folder(todo[0])
        except PictureError as error:  # told before minutes are spent on what cannot be written
            raise UsageError(str(error)) from error
        options = self.options
        pool = EnginePool(options.model, options.scale, options.engine)
        self.tiling = choose_tiling(options.model, pool.network, options.tile, options.overlap)
        self.files = self.progress.task("files", total=len(todo), unit="files")
        self.tiles = self.progress.task("tiles", unit="tiles")
        readers = ThreadPoolExecutor(self.options.workers, thread_name_prefix="read")
        self.writers = ThreadPoolExecutor(self.options.workers, thread_name_prefix="write")
        try:
            loaded = self._read_ahead(todo, readers)
            # Neighbours of one depth share an engine, and batches.
            for bits, group in groupby(loaded, key=lambda entry: entry[1].bits):
                self._run_jobs(pool.engine(bits), self._jobs(group))
            self._collect(0)
        finally:
            # After an interruption, what is being written is finished: it is complete already.
            readers.shutdown(wait=True, cancel_futures=True)
            self.writers.shutdown(wait=True)
            self.tiles.close()
            self.files.close()

    def _read_ahead(self, todo: Sequence[Item], readers: ThreadPoolExecutor) -> Iterator[_Loaded]:
        waiting: deque[tuple[Item, Future[tuple[Prepared, tuple[str, ...]]]]] = deque()
        rest = iter(todo)
        while True:
            while len(waiting) <= self.options.workers and (item := next(rest, None)):
                waiting.append((item, readers.submit(load, item, self.options.scale)))
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                prepared, warnings = future.result()
            except SrxError as error:
                self._fail(item, error)
            else:
                yield item, prepared, warnings

    def _jobs(self, loaded: Iterable[_Loaded]) -> Iterator[Job]:
        for item, prepared, warnings in loaded:
            try:
                yield self._job(item, prepared, warnings)
            except PictureError as error:
                self._fail(item, error)

    def _job(self, item: Item, prepared: Prepared, warnings: tuple[str, ...]) -> Job:
        with enough_memory(item):
            work, sink = prepared.work(self.options.scale, self.tiling, str(item.source))
        self.tiles.grow(work.grid.count)
        return Job(
            item=item,
            prepared=prepared,
            work=work,
            sink=sink,
            warnings=warnings,
            started=time.monotonic(),
        )

    def _run_jobs(self, engine: TorchEngine, jobs: Iterator[Job]) -> None:
        running: dict[int, Job] = {}

        def works() -> Iterator[Work]:
            for job in jobs:
                running[id(job.work)] = job
                yield job.work

        again: list[Job] = []
        scale = self.options.scale
        for work in run_stream(engine, works(), task=self.tiles):
            job = running.pop(id(work))
            if isinstance(work.error, TileTooLargeError) and self.tiling.tile >= 2 * SMALLEST_TILE:
                again.append(job)
            elif work.error is not None:
                self._fail(job.item, work.error, job)
            else:
                self.writes.append(
                    (job, self.writers.submit(save, job, scale, self.options.quality))
                )
                self._collect(self.options.workers)
        if again:
            self.tiling = self.tiling.halved()
            self.progress.warn(f"out of memory: going on with tiles of {self.tiling.tile} pixels")
            self._run_jobs(engine, self._jobs((j.item, j.prepared, j.warnings) for j in again))

    def _collect(self, allowed: int) -> None:
        """Report finished writes; wait while more than ``allowed`` are under way."""
        while self.writes and (len(self.writes) > allowed or self.writes[0][1].done()):
            job, future = self.writes.popleft()
            try:
                future.result()
            except SrxError as error:
                self._fail(job.item, error, job)
                continue
            report = FileReport(
                source=job.item.source,
                target=job.item.target,
                state="done",
                seconds=time.monotonic() - job.started,
                tiles=job.work.grid.count,
                size=job.size,
                warnings=job.warnings,
            )
            self._tell(report)

    def _fail(self, item: Item, error: SrxError, job: Job | None = None) -> None:
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
        if report.state != "skipped":
            self.files.advance(1)
            speed = self.summary.megapixels / max(time.monotonic() - self.started, 1e-3)
            self.files.describe(f"{speed:.2f} megapixels/s")
        for warning in report.warnings:
            self.progress.warn(f"{report.source}: {warning}")
        if self.on_file is not None:
            self.on_file(report)
