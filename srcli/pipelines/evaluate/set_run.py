"""Score one set at one scale: every picture by every model, with the scoring in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from srcli.errors import SrxError, one_file
from srcli.evaluation.candidates import Candidate
from srcli.evaluation.pairs import Chain, Pair, read_pair
from srcli.evaluation.scores import Evaluation, Failure, PictureScore
from srcli.evaluation.sets import PictureSet
from srcli.imaging.resize import resize
from srcli.inference.device import choose_device
from srcli.metrics import fidelity, ifc
from srcli.metrics.perceptual import perceptual_distance
from srcli.pipelines.evaluate.options import EvalOptions, ScoreSettings
from srcli.ports.progress import Progress, show_traceback
from srcli.threads import ReadAhead

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.evaluation.sets import SetPicture
    from srcli.ports.progress import Task

    Array = NDArray[Any]

WORKERS = 4
"""Threads that read pictures and score them."""
GPU_DEPTH = 4
"""Pictures that may wait for their scores while a GPU enlarges the next."""


@dataclass(frozen=True, kw_only=True)
class EnlargedPicture:
    """One picture after every model has enlarged it."""

    scale: int
    dataset: str
    pair: Pair
    chain: Chain
    sr: Mapping[str, Array]
    """By model, (H, W, 3) uint8."""
    psnr: Mapping[str, float]
    """By model, of the whole picture under the protocol."""


class Reference:
    """One HR picture, prepared for scoring the SR pictures of all candidates."""

    def __init__(self, pair: Pair, settings: ScoreSettings) -> None:
        self._pair = pair
        self._settings = settings

    def score(self, sr: Array, metrics: Sequence[str]) -> dict[str, float]:
        """Return the wanted metrics of (H, W, 3) uint8 of the HR picture's size."""
        planes = self._planes(sr) if {"psnr", "ssim"} & set(metrics) else sr
        measures: dict[str, Callable[[], float]] = {
            "psnr": lambda: fidelity.psnr(planes, self._hr),
            "ssim": lambda: fidelity.ssim(planes, self._hr),
            "ifc": lambda: self._ifc_reference.score(self._luma(sr)),
            "consistency": lambda: self._consistency(sr),
            "low": lambda: fidelity.split_psnr(self._planes(sr), self._hr)[0],
            "high": lambda: fidelity.split_psnr(self._planes(sr), self._hr)[1],
            "lpips": lambda: self._perceptual("lpips", sr),
            "dists": lambda: self._perceptual("dists", sr),
        }
        return {name: measures[name]() for name in metrics}

    def _perceptual(self, name: str, sr: Array) -> float:
        """Compare all three channels, whatever the protocol compares, without the border."""
        own = self._settings.shave
        inside = tuple(slice(own, side - own) for side in sr.shape[:2])
        return perceptual_distance(name, sr[inside], self._pair.hr[inside])

    @cached_property
    def bicubic(self) -> float:
        """PSNR of bicubic interpolation of the LR picture."""
        own, pair = self._settings, self._pair
        enlarged = resize(own.chain.to_input(pair.lr, gray=pair.gray), own.scale)
        return self.score(own.chain.to_uint8(enlarged, gray=pair.gray), ["psnr"])["psnr"]

    @cached_property
    def _hr(self) -> Array:
        return self._planes(self._pair.hr)

    @cached_property
    def _ifc_reference(self) -> ifc.IfcReference:
        on_luma = self._settings.protocol.channel != "rgb"
        return ifc.IfcReference(self._hr if on_luma else self._luma(self._pair.hr))

    def _planes(self, picture: Array, shave: int | None = None) -> Array:
        shave = self._settings.shave if shave is None else shave
        return self._settings.protocol.planes(picture, shave, gray=self._pair.gray)

    def _luma(self, picture: Array) -> Array:
        own = self._settings
        return own.protocol.luma_plane(picture, own.shave, gray=self._pair.gray)

    def _consistency(self, sr: Array) -> float:
        own, lr = self._settings, self._pair.lr
        small = own.chain.downscale(sr, own.scale, own.kernel)
        if lr.dtype.kind == "f":
            return fidelity.psnr(own.chain.to_levels(small), own.chain.to_levels(lr))
        return fidelity.psnr(self._planes(small, 0), self._planes(lr, 0))


@dataclass(kw_only=True)
class _PendingScore:
    """One picture enlarged by one candidate, with its scores that are being computed."""

    sr: Array
    seconds: float | None
    bicubic: float | None
    futures: list[Future[dict[str, float]]]


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
    pool: Executor
    """Reads pictures and scores them."""
    progress: Progress
    """Shows tracebacks to those who ask for them."""
    on_picture: Sequence[Callable[[EnlargedPicture], None]] = ()
    """Called with every picture after all candidates have enlarged it."""

    def __post_init__(self) -> None:
        """Derive the settings, and the number of pictures that may wait for their scores."""
        self._settings = self.options.settings(self.scale)
        on_cpu = choose_device(self.options.engine.device).type == "cpu"
        self._depth = 0 if on_cpu else GPU_DEPTH

    def begin(self, task: Task) -> None:
        """Record the size of the set, and the pictures that lack a partner."""
        self.result.sizes[self.scale, self.pictures.name] = self.pictures.size
        for name, reason in (*self.pictures.missing, *self.pictures.orphans):
            self._fail(name, None, reason)
        task.advance(len(self.pictures.missing))

    def run(self, task: Task) -> None:
        """Score all pictures."""
        ahead = ReadAhead(
            self._read, self.pictures.items, ahead=max(1, self._depth), pool=self.pool
        )
        pending: deque[tuple[Pair, dict[str, _PendingScore]]] = deque()
        for picture, reading in ahead:
            task.describe(f"{self.pictures.name}/{picture.name} x{self.scale}")
            try:
                with one_file(picture.where):
                    pair = reading.result()
            except SrxError as error:
                self._fail(picture.name, None, error)
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
            if self._depth == 0:
                wait([future for each in scores.values() for future in each.futures])
            try:
                with one_file(self._named(pair, candidate.label)):
                    score = self._begun(pair, candidate, reference)
            except SrxError as error:
                self._fail(pair.name, candidate.label, error)
            else:
                scores[candidate.label] = score
        return scores

    def _begun(self, pair: Pair, candidate: Candidate, reference: Reference) -> _PendingScore:
        """Enlarge a picture and start scoring."""
        wanted = self._settings.metrics
        sr, seconds = candidate.enlarge(pair)
        # IFC takes about as long as all the others: one thread each.
        parts = [[m for m in wanted if m == "ifc"], [m for m in wanted if m != "ifc"]]
        return _PendingScore(
            sr=sr,
            seconds=seconds,
            bicubic=reference.bicubic if "psnr" in wanted else None,
            futures=[self.pool.submit(reference.score, sr, part) for part in parts if part],
        )

    def _named(self, pair: Pair, model: str) -> str:
        return f"{self.pictures.name}/{pair.name}, {model}"

    def _finish(self, pair: Pair, scores: dict[str, _PendingScore]) -> None:
        sr: dict[str, Array] = {}
        psnr: dict[str, float] = {}
        for label, score in scores.items():
            values: dict[str, float] = {}
            try:
                with one_file(self._named(pair, label)):
                    for future in score.futures:
                        values.update(future.result())
            except SrxError as error:
                self._fail(pair.name, label, error)
                continue
            sr[label], psnr[label] = score.sr, values.get("psnr", float("nan"))
            self.result.scores.append(
                PictureScore(
                    scale=self.scale,
                    dataset=self.pictures.name,
                    picture=pair.name,
                    model=label,
                    values={name: values[name] for name in self._settings.metrics},
                    seconds=score.seconds,
                    bicubic=score.bicubic,
                )
            )
        if sr:
            enlarged = EnlargedPicture(
                scale=self.scale,
                dataset=self.pictures.name,
                pair=pair,
                chain=self._settings.chain,
                sr=sr,
                psnr=psnr,
            )
            hand_over(enlarged, self.on_picture, self.result, self.progress)

    def _fail(self, picture: str, model: str | None, reason: SrxError | str) -> None:
        failure = Failure(self.scale, self.pictures.name, picture, model, str(reason))
        self.result.failures.append(failure)
        if isinstance(reason, SrxError):
            show_traceback(reason, self.progress)


def hand_over(
    picture: EnlargedPicture,
    on_picture: Sequence[Callable[[EnlargedPicture], None]],
    result: Evaluation,
    progress: Progress,
) -> None:
    """Call functions with a picture; the errors of those become its failures."""
    for call in on_picture:
        name = picture.pair.name
        try:
            with one_file(f"{picture.dataset}/{name}"):
                call(picture)
        except SrxError as error:
            failure = Failure(picture.scale, picture.dataset, name, None, str(error))
            result.failures.append(failure)
            show_traceback(error, progress)
