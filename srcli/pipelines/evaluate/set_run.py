"""One set at one scale: every picture through every model, scored in threads, never timed so."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from srcli.errors import SrxError
from srcli.evaluation.measuring import Reference
from srcli.evaluation.pairs import Pair, read_pair
from srcli.evaluation.scores import Evaluation, Failure, PictureScore
from srcli.inference.device import choose_device
from srcli.pipelines.evaluate.cache import key_of
from srcli.pipelines.evaluate.crops import Seen
from srcli.pipelines.evaluate.reading_ahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from srcli.evaluation.candidates import Contestant
    from srcli.evaluation.sets import Item, PictureSet
    from srcli.pipelines.evaluate.cache import ScoreCache
    from srcli.pipelines.evaluate.crops import Watcher
    from srcli.pipelines.evaluate.options import EvalOptions
    from srcli.ports.progress import Task

    Array = NDArray[Any]

GPU_DEPTH = 4
"""Pictures whose scores may be outstanding while a GPU goes on."""


@dataclass(kw_only=True)
class _Entry:
    """What is known of one picture under one model."""

    key: str
    values: dict[str, float]
    seconds: float | None
    sr: Array | None = None
    scoring: list[Future[dict[str, float]]] = field(default_factory=list)


@dataclass(kw_only=True)
class _Job:
    """One picture whose scores may still be on their way."""

    pair: Pair
    entries: dict[str, _Entry]
    """By model; a model that failed has none."""


class SetRun:
    """Work through one set.

    On a CPU, scoring and reading wait while a network runs and the network waits for them, so that
    its time is its own; on a GPU they overlap.

    Args:
        scale: The factor.
        pictures: The set.
        contestants: What is compared.
        options: How.
        result: Scores and failures go here.
        cache: Of former scores.
    """

    def __init__(
        self,
        scale: int,
        pictures: PictureSet,
        contestants: Sequence[Contestant],
        options: EvalOptions,
        result: Evaluation,
        *,
        cache: ScoreCache,
    ) -> None:
        self._scale = scale
        self._set = pictures
        self._contestants = contestants
        self._measure = options.measure(scale)
        self._result = result
        self._cache = cache
        on_cpu = choose_device(options.engine.device).type == "cpu"
        self._depth = 0 if on_cpu else GPU_DEPTH

    def run(self, pool: Executor, watchers: Sequence[Watcher], task: Task) -> None:
        """Score all pictures."""
        self._result.sizes[self._scale, self._set.name] = self._set.size
        for name, reason in (*self._set.missing, *self._set.orphans):
            self._fail(name, None, reason)
        task.advance(len(self._set.missing))
        ahead = ReadAhead(self._set.items, self._read, pool, max(1, self._depth))
        pending: deque[_Job] = deque()
        for item, reading in ahead:
            task.describe(f"{self._set.name}/{item.name} x{self._scale}")
            try:
                pair = reading.result()
            except SrxError as error:
                self._fail(item.name, None, str(error))
                task.advance(1)
                continue
            pending.append(self._start(pair, pool, ahead, sr_wanted=bool(watchers)))
            while len(pending) > self._depth:
                self._finish(pending.popleft(), watchers)
                task.advance(1)
        for job in pending:
            self._finish(job, watchers)
            task.advance(1)

    def _read(self, item: Item) -> Pair:
        measure = self._measure
        pair = read_pair(item, scale=self._scale, kernel=measure.kernel, chain=measure.chain)
        measure.check(pair, item.where)
        return pair

    def _start(
        self, pair: Pair, pool: Executor, ahead: ReadAhead[Item, Pair], *, sr_wanted: bool
    ) -> _Job:
        reference = Reference(pair, self._measure)
        job = _Job(pair=pair, entries={})
        for contestant in self._contestants:
            entry = self._stored(pair, contestant)
            missing = [name for name in self._measure.metrics if name not in entry.values]
            if missing or sr_wanted:
                if self._depth == 0:
                    wait([f for each in job.entries.values() for f in each.scoring])
                try:
                    entry.sr, seconds = contestant.enlarge(pair)
                except SrxError as error:
                    self._fail(pair.name, contestant.label, str(error))
                    continue
                entry.seconds = seconds if missing else entry.seconds
                for part in _shares(missing):
                    entry.scoring.append(pool.submit(reference.score, entry.sr, part))
            job.entries[contestant.label] = entry
        ahead.ahead()
        return job

    def _stored(self, pair: Pair, contestant: Contestant) -> _Entry:
        measure = self._measure
        key = key_of(
            what="score",
            picture=pair.digest,
            by=contestant.identity(pair),
            scale=self._scale,
            protocol=measure.protocol.name,
            chain=measure.chain.name,
            kernel=measure.kernel.name,
            shave=measure.shave,
        )
        stored = self._cache.get(key)
        values = stored.get("values", {})
        return _Entry(
            key=key,
            values={name: values[name] for name in measure.metrics if name in values},
            seconds=stored.get("seconds"),
        )

    def _finish(self, job: _Job, watchers: Sequence[Watcher]) -> None:
        for label, entry in job.entries.items():
            if entry.scoring:
                for future in entry.scoring:
                    entry.values.update(future.result())
                self._cache.put(entry.key, {"values": entry.values, "seconds": entry.seconds})
            self._result.scores.append(
                PictureScore(
                    scale=self._scale,
                    dataset=self._set.name,
                    picture=job.pair.name,
                    model=label,
                    values={name: entry.values[name] for name in self._measure.metrics},
                    seconds=entry.seconds,
                    stored=not entry.scoring,
                )
            )
        shown = {label: e.sr for label, e in job.entries.items() if e.sr is not None}
        if not shown:
            return
        seen = Seen(
            scale=self._scale,
            dataset=self._set.name,
            pair=job.pair,
            chain=self._measure.chain,
            sr=shown,
            psnr={label: job.entries[label].values.get("psnr", float("nan")) for label in shown},
        )
        for watcher in watchers:
            try:
                watcher.see(seen)
            except SrxError as error:
                self._fail(job.pair.name, None, str(error))

    def _fail(self, picture: str, model: str | None, reason: str) -> None:
        self._result.failures.append(
            Failure(
                scale=self._scale,
                dataset=self._set.name,
                picture=picture,
                model=model,
                reason=reason,
            )
        )


def _shares(metrics: Sequence[str]) -> list[list[str]]:
    """Split the metrics into two parts of about the same work, for two threads."""
    return [
        part
        for part in ([m for m in metrics if m == "ifc"], [m for m in metrics if m != "ifc"])
        if part
    ]
