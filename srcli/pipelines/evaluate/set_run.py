"""Score one set at one scale: every picture by every model, with the scoring in threads."""

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
from srcli.pipelines.evaluate.crops import EnlargedPicture
from srcli.threads import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from srcli.evaluation.candidates import Candidate
    from srcli.evaluation.sets import PictureSet, SetPicture
    from srcli.pipelines.evaluate.cache import ScoreCache
    from srcli.pipelines.evaluate.crops import Watcher
    from srcli.pipelines.evaluate.options import EvalOptions
    from srcli.ports.progress import Task

    Array = NDArray[Any]

GPU_DEPTH = 4
"""Pictures that may wait for their scores while a GPU enlarges the next."""


@dataclass(kw_only=True)
class _PendingScore:
    """Scores of one picture and candidate: from the cache, and those still being computed."""

    key: str
    values: dict[str, float]
    seconds: float | None
    sr: Array | None = None
    futures: list[Future[dict[str, float]]] = field(default_factory=list)


class SetRun:
    """Scores one set.

    On a CPU, scoring and reading wait while a network runs and the network waits for them, so that
    nothing else slows it while it is timed; on a GPU they overlap.

    Args:
        scale: The factor.
        pictures: The set.
        candidates: Models and folders.
        options: Protocol, chain, metrics, device.
        result: Receives scores and failures.
        cache: Stored scores.
    """

    def __init__(
        self,
        scale: int,
        pictures: PictureSet,
        candidates: Sequence[Candidate],
        options: EvalOptions,
        result: Evaluation,
        *,
        cache: ScoreCache,
    ) -> None:
        self._scale = scale
        self._set = pictures
        self._candidates = candidates
        self._settings = options.settings(scale)
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
        ahead = ReadAhead(self._read, self._set.items, ahead=max(1, self._depth), pool=pool)
        pending: deque[tuple[Pair, dict[str, _PendingScore]]] = deque()
        for picture, reading in ahead:
            task.describe(f"{self._set.name}/{picture.name} x{self._scale}")
            try:
                pair = reading.result()
            except SrxError as error:
                self._fail(picture.name, None, str(error))
                task.advance(1)
                continue
            pending.append((pair, self._start(pair, pool, sr_wanted=bool(watchers))))
            ahead.fill()  # now, because nothing is being timed
            while len(pending) > self._depth:
                self._finish(*pending.popleft(), watchers)
                task.advance(1)
        for scored in pending:
            self._finish(*scored, watchers)
            task.advance(1)

    def _read(self, picture: SetPicture) -> Pair:
        own = self._settings
        pair = read_pair(picture, scale=self._scale, kernel=own.kernel, chain=own.chain)
        own.require_size(pair, picture.where)
        return pair

    def _start(self, pair: Pair, pool: Executor, *, sr_wanted: bool) -> dict[str, _PendingScore]:
        """Enlarge a picture by every candidate and start scoring; by label, without failed ones."""
        reference = Reference(pair, self._settings)
        scores: dict[str, _PendingScore] = {}
        for candidate in self._candidates:
            score = self._stored(pair, candidate)
            missing = [name for name in self._settings.metrics if name not in score.values]
            if missing or sr_wanted:
                if self._depth == 0:
                    wait([future for each in scores.values() for future in each.futures])
                try:
                    score.sr, seconds = candidate.enlarge(pair)
                except SrxError as error:
                    self._fail(pair.name, candidate.label, str(error))
                    continue
                score.seconds = seconds if missing else score.seconds
                # IFC takes about as long as all the others: one thread each.
                for part in (
                    [m for m in missing if m == "ifc"],
                    [m for m in missing if m != "ifc"],
                ):
                    if part:
                        score.futures.append(pool.submit(reference.score, score.sr, part))
            scores[candidate.label] = score
        return scores

    def _stored(self, pair: Pair, candidate: Candidate) -> _PendingScore:
        own = self._settings
        key = key_of(
            what="score",
            picture=pair.digest,
            by=candidate.identity(pair),
            scale=self._scale,
            protocol=own.protocol.name,
            chain=own.chain.name,
            kernel=own.kernel.name,
            shave=own.shave,
        )
        stored = self._cache.get(key)
        values = stored.get("values", {})
        return _PendingScore(
            key=key,
            values={name: values[name] for name in own.metrics if name in values},
            seconds=stored.get("seconds"),
        )

    def _finish(
        self, pair: Pair, scores: dict[str, _PendingScore], watchers: Sequence[Watcher]
    ) -> None:
        for label, score in scores.items():
            if score.futures:
                for future in score.futures:
                    score.values.update(future.result())
                self._cache.put(score.key, {"values": score.values, "seconds": score.seconds})
            self._result.scores.append(
                PictureScore(
                    scale=self._scale,
                    dataset=self._set.name,
                    picture=pair.name,
                    model=label,
                    values={name: score.values[name] for name in self._settings.metrics},
                    seconds=score.seconds,
                    stored=not score.futures,
                )
            )
        sr = {label: score.sr for label, score in scores.items() if score.sr is not None}
        if not sr:
            return
        enlarged = EnlargedPicture(
            scale=self._scale,
            dataset=self._set.name,
            pair=pair,
            chain=self._settings.chain,
            sr=sr,
            psnr={label: scores[label].values.get("psnr", float("nan")) for label in sr},
        )
        for watcher in watchers:
            try:
                watcher.on_picture(enlarged)
            except SrxError as error:
                self._fail(pair.name, None, str(error))

    def _fail(self, picture: str, model: str | None, reason: str) -> None:
        failure = Failure(
            scale=self._scale,
            dataset=self._set.name,
            picture=picture,
            model=model,
            reason=reason,
        )
        self._result.failures.append(failure)
