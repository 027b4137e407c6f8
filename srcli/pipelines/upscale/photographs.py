"""Photographs through a network: read ahead, batched across pictures, written behind."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError
from srcli.inference.stream import TileTooLargeError, Work, run_stream
from srcli.pipelines.upscale.item import Job, enough_memory, load, save
from srcli.pipelines.upscale.prepare import Prepared
from srcli.pipelines.upscale.report import FileReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from srcli.inference.engine import TorchEngine
    from srcli.inference.engines import EnginePool
    from srcli.inference.tiling import Tiling
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.plan import Item
    from srcli.pipelines.upscale.reporter import Reporter

SMALLEST_TILE = 32
"""Where halving the tile after running out of memory ends."""

_Loaded = tuple["Item", Prepared, tuple[str, ...]]


class PhotographRun:
    """Enlarge pictures that fit into memory.

    Args:
        pool: Engines of the model.
        tiling: How pictures are cut.
        options: Scale, quality, threads.
        reporter: Told of every file.
    """

    def __init__(
        self, pool: EnginePool, tiling: Tiling, options: UpscaleOptions, reporter: Reporter
    ) -> None:
        self.pool = pool
        self.tiling = tiling
        self.options = options
        self.reporter = reporter
        self.writers: ThreadPoolExecutor
        self.writes: deque[tuple[Job, Future[None]]] = deque()

    def upscale(self, todo: Sequence[Item]) -> None:
        """Enlarge all of them; one that fails is reported and leaves the others alone."""
        readers = ThreadPoolExecutor(self.options.workers, thread_name_prefix="read")
        self.writers = ThreadPoolExecutor(self.options.workers, thread_name_prefix="write")
        try:
            loaded = self._read_ahead(todo, readers)
            # Neighbours of one depth share an engine, and batches.
            for bits, group in groupby(loaded, key=lambda entry: entry[1].bits):
                self._run_jobs(self.pool.engine(bits), self._jobs(group))
            self._collect(0)
        finally:
            # After an interruption, what is being written is finished: it is complete already.
            readers.shutdown(wait=True, cancel_futures=True)
            self.writers.shutdown(wait=True)

    def _read_ahead(self, todo: Sequence[Item], readers: ThreadPoolExecutor) -> Iterator[_Loaded]:
        waiting: deque[tuple[Item, Future[tuple[Prepared, tuple[str, ...]]]]] = deque()
        rest = iter(todo)
        while True:
            while len(waiting) <= self.options.workers and (item := next(rest, None)):
                waiting.append(
                    (item, readers.submit(load, item, self.options.scale, self.options.fit))
                )
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                prepared, warnings = future.result()
            except SrxError as error:
                self.reporter.fail(item, error)
            else:
                yield item, prepared, warnings

    def _jobs(self, loaded: Iterable[_Loaded]) -> Iterator[Job]:
        for item, prepared, warnings in loaded:
            try:
                yield self._job(item, prepared, warnings)
            except PictureError as error:
                self.reporter.fail(item, error)

    def _job(self, item: Item, prepared: Prepared, warnings: tuple[str, ...]) -> Job:
        with enough_memory(item):
            work, sink = prepared.work(self.options.scale, self.tiling, str(item.source))
        self.reporter.tiles.grow(work.grid.count)
        return Job(
            item=item,
            prepared=prepared,
            work=work,
            sink=sink,
            box=self.options.fit,
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
        for work in run_stream(engine, works(), task=self.reporter.tiles):
            job = running.pop(id(work))
            if isinstance(work.error, TileTooLargeError) and self.tiling.tile >= 2 * SMALLEST_TILE:
                again.append(job)
            elif work.error is not None:
                self.reporter.fail(job.item, work.error, job.started)
            else:
                self.writes.append(
                    (job, self.writers.submit(save, job, scale, self.options.quality))
                )
                self._collect(self.options.workers)
        if again:
            self.tiling = self.tiling.halved()
            self.reporter.progress.warn(
                f"out of memory: going on with tiles of {self.tiling.tile} pixels"
            )
            self._run_jobs(engine, self._jobs((j.item, j.prepared, j.warnings) for j in again))

    def _collect(self, allowed: int) -> None:
        """Report finished writes; wait while more than ``allowed`` are under way."""
        while self.writes and (len(self.writes) > allowed or self.writes[0][1].done()):
            job, future = self.writes.popleft()
            try:
                future.result()
            except SrxError as error:
                self.reporter.fail(job.item, error, job.started)
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
            self.reporter.tell(report)
