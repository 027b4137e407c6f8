"""Score one set at one scale: every picture by every model, with the scoring in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from srcli.errors import SrxError
from srcli.evaluation.candidates import Candidate
from srcli.evaluation.measuring import Reference
from srcli.evaluation.pairs import Pair, read_pair
from srcli.evaluation.scores import Evaluation, Failure, PictureScore
from srcli.evaluation.sets import PictureSet
from srcli.inference.device import choose_device
from srcli.pipelines.evaluate.cache import ScoreCache, key_of
from srcli.pipelines.evaluate.crops import EnlargedPicture
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.threads import ReadAhead

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.evaluation.sets import SetPicture
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


@dataclass(kw_only=True)
class SetRun:
    """Scores one set.

    On a CPU, scoring and reading wait while a network runs and the network waits for them, so that
    nothing else slows it while it is timed; on a GPU they overlap.
    """

    scale: int
    pictures: PictureSet
    candidates: Sequence[Candidate]
    options: EvalOptions
    result: Evaluation
    """Receives scores and failures."""
    cache: ScoreCache
    pool: Executor
    """Reads pictures and scores them."""
    on_picture: Sequence[Callable[[EnlargedPicture], None]] = ()
    """Called with every picture after all candidates have enlarged it."""

    def __post_init__(self) -> None:
        """Derive the settings, and the number of pictures that may wait for their scores."""
        self._settings = self.options.settings(self.scale)
        on_cpu = choose_device(self.options.engine.device).type == "cpu"
        self._depth = 0 if on_cpu else GPU_DEPTH

    def run(self, task: Task) -> None:
        """Score all pictures."""
        self.result.sizes[self.scale, self.pictures.name] = self.pictures.size
        for name, reason in (*self.pictures.missing, *self.pictures.orphans):
            self._fail(name, None, reason)
        task.advance(len(self.pictures.missing))
        ahead = ReadAhead(
            self._read, self.pictures.items, ahead=max(1, self._depth), pool=self.pool
        )
        pending: deque[tuple[Pair, dict[str, _PendingScore]]] = deque()
        for picture, reading in ahead:
            task.describe(f"{self.pictures.name}/{picture.name} x{self.scale}")
            try:
                pair = reading.result()
            except SrxError as error:
                self._fail(picture.name, None, str(error))
                task.advance(1)
                continue
            pending.append((pair, self._start(pair)))
            ahead.fill()  # now, because nothing is being timed
            while len(pending) > self._depth:
                self._finish(*pending.popleft())
                task.advance(1)
        for scored in pending:
            self._finish(*scored)
            task.advance(1)

    def _read(self, picture: SetPicture) -> Pair:
        own = self._settings
        pair = read_pair(picture, scale=self.scale, kernel=own.kernel, chain=own.chain)
        own.require_size(pair, picture.where)
        return pair

    def _start(self, pair: Pair) -> dict[str, _PendingScore]:
        """Enlarge a picture by every candidate and start scoring; by label, without failed ones."""
        reference = Reference(pair, self._settings)
        scores: dict[str, _PendingScore] = {}
        for candidate in self.candidates:
            score = self._stored(pair, candidate)
            missing = [name for name in self._settings.metrics if name not in score.values]
            if missing or self.on_picture:
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
                        score.futures.append(self.pool.submit(reference.score, score.sr, part))
            scores[candidate.label] = score
        return scores

    def _stored(self, pair: Pair, candidate: Candidate) -> _PendingScore:
        own = self._settings
        key = key_of(
            what="score",
            picture=pair.digest,
            by=candidate.identity(pair),
            scale=self.scale,
            protocol=own.protocol.name,
            chain=own.chain.name,
            kernel=own.kernel.name,
            shave=own.shave,
        )
        stored = self.cache.get(key)
        values = stored.get("values", {})
        return _PendingScore(
            key=key,
            values={name: values[name] for name in own.metrics if name in values},
            seconds=stored.get("seconds"),
        )

    def _finish(self, pair: Pair, scores: dict[str, _PendingScore]) -> None:
        for label, score in scores.items():
            if score.futures:
                for future in score.futures:
                    score.values.update(future.result())
                self.cache.put(score.key, {"values": score.values, "seconds": score.seconds})
            self.result.scores.append(
                PictureScore(
                    scale=self.scale,
                    dataset=self.pictures.name,
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
            scale=self.scale,
            dataset=self.pictures.name,
            pair=pair,
            chain=self._settings.chain,
            sr=sr,
            psnr={label: scores[label].values.get("psnr", float("nan")) for label in sr},
        )
        for call in self.on_picture:
            try:
                call(enlarged)
            except SrxError as error:
                self._fail(pair.name, None, str(error))

    def _fail(self, picture: str, model: str | None, reason: str) -> None:
        failure = Failure(
            scale=self.scale,
            dataset=self.pictures.name,
            picture=picture,
            model=model,
            reason=reason,
        )
        self.result.failures.append(failure)
