"""Score pictures of one set: read, enlarge by every candidate, compare with HR."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from srcli.errors import DataError, DefectError, ModelError, SrxError, one_file
from srcli.evaluation.candidates import Candidate, FolderCandidate, NetworkCandidate
from srcli.evaluation.pairs import Chain, Pair, read_pair
from srcli.evaluation.scores import Failure, PictureScore
from srcli.evaluation.sets import SetPicture
from srcli.imaging.resize import resize
from srcli.inference.device import choose_device
from srcli.metrics import fidelity, ifc
from srcli.models import MODELS
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.ports.progress import Progress, show_traceback
from srcli.threads import ReadAhead

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.evaluation.sets import PictureSet
    from srcli.ports.progress import Task

    Array = NDArray[Any]

T = TypeVar("T")

WORKERS = 4
"""Threads that read pictures and score them."""
GPU_DEPTH = 4
"""Pictures that may wait for their scores while a GPU enlarges the next."""


def make_networks(
    labels: Mapping[str, str],
    scale: int,
    options: EvalOptions,
    failures: list[Failure],
    *,
    alone: bool = False,
) -> list[NetworkCandidate]:
    """Load the models that are networks; those that cannot be used at this scale are failures."""
    chain, engine = options.conversions, options.engine_options
    found = []
    for model, label in labels.items():
        if _is_folder(model):
            continue
        try:
            with one_file(model):
                found.append(
                    NetworkCandidate(model, label, scale, chain, engine, tile=options.tile)
                )
        except (ModelError, DefectError) as error:
            if alone or not (model in MODELS or Path(model).is_file()):
                raise  # nothing else to do, or a slip of the pen rather than a missing scale
            failures.append(Failure(scale, "", "", label, str(error)))
    return found


def make_folders(
    labels: Mapping[str, str],
    scale: int,
    pictures: PictureSet,
    options: EvalOptions,
    failures: list[Failure],
) -> list[FolderCandidate]:
    """Match the folders of SR pictures with a set."""
    names = [picture.name for picture in pictures.items]
    found = []
    for model, label in labels.items():
        if _is_folder(model):
            inner = Path(model) / pictures.name
            place = inner if inner.is_dir() else Path(model)
            found.append(FolderCandidate(place, label, scale, names, options.conversions))
            orphans = found[-1].matched.orphans.items()
            failures += [Failure(scale, pictures.name, n, label, why) for n, why in orphans]
    return found


def _is_folder(model: str) -> bool:
    return model not in MODELS and Path(model).is_dir()


@dataclass(frozen=True)
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


@dataclass
class Reference:
    """One HR picture, prepared for scoring the SR pictures of all candidates."""

    pair: Pair
    options: EvalOptions
    scale: int

    def score(self, sr: Array, metrics: Sequence[str]) -> dict[str, float]:
        """Return the wanted metrics of (H, W, 3) uint8 of the HR picture's size."""
        planes, hr = self._planes(sr), self._hr
        measures: dict[str, Callable[[], float]] = {
            "psnr": lambda: fidelity.psnr(planes, hr),
            "ssim": lambda: fidelity.ssim(planes, hr),
            "ifc": lambda: self._ifc_reference.score(self._planes(sr, luma=True)),
            "consistency": lambda: self._consistency(sr),
            "low": lambda: fidelity.split_psnr(planes, hr)[0],
            "high": lambda: fidelity.split_psnr(planes, hr)[1],
            "lpips": lambda: self._perceptual("lpips", sr),
            "dists": lambda: self._perceptual("dists", sr),
        }
        return {name: measures[name]() for name in metrics}

    @cached_property
    def bicubic(self) -> float:
        """PSNR of bicubic interpolation of the LR picture."""
        chain, pair = self.options.conversions, self.pair
        enlarged = resize(chain.to_input(pair.lr, gray=pair.gray), self.scale)
        return self.score(chain.to_uint8(enlarged, gray=pair.gray), ["psnr"])["psnr"]

    @cached_property
    def _hr(self) -> Array:
        return self._planes(self.pair.hr)

    @cached_property
    def _ifc_reference(self) -> ifc.IfcReference:
        return ifc.IfcReference(self._planes(self.pair.hr, luma=True))

    def _planes(self, picture: Array, shave: int | None = None, *, luma: bool = False) -> Array:
        shave = self.options.border(self.scale) if shave is None else shave
        return self.options.rules.planes(picture, shave, gray=self.pair.gray, luma=luma)

    def _consistency(self, sr: Array) -> float:
        chain, lr = self.options.conversions, self.pair.lr
        small = chain.downscale(sr, self.scale, self.options.lr_kernel)
        if lr.dtype.kind == "f":
            return fidelity.psnr(chain.to_levels(small), chain.to_levels(lr))
        return fidelity.psnr(self._planes(small, 0), self._planes(lr, 0))

    def _perceptual(self, name: str, sr: Array) -> float:
        """Compare all three channels, whatever the protocol compares, without the border."""
        border = self.options.border(self.scale)
        inside = tuple(slice(border, side - border) for side in sr.shape[:2])
        return fidelity.perceptual_distance(name, sr[inside], self.pair.hr[inside])


class Enlarged(NamedTuple):
    """A picture enlarged by one candidate, with its scores that are being computed."""

    sr: Array
    seconds: float | None
    scores: Sequence[Future[dict[str, float]]]

    def wait(self) -> dict[str, float]:
        """Wait for the scores, and raise what went wrong."""
        return {name: value for each in self.scores for name, value in each.result().items()}


@dataclass
class ScoredPicture:
    """Everything that came of one picture."""

    scale: int
    dataset: str
    picture: str
    """Its name."""
    scores: list[PictureScore] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    enlarged: EnlargedPicture | None = None
    """None where no model enlarged it."""

    def attempt(
        self, call: Callable[[], T], model: str | None, progress: Progress, *, place: str = ""
    ) -> T | None:
        """Return what a call returns; its error becomes a failure."""
        names = (f"{self.dataset}/{self.picture}", model)
        try:
            with one_file(place or ", ".join(filter(None, names))):
                return call()
        except SrxError as error:
            failed = Failure(self.scale, self.dataset, self.picture, model, str(error))
            self.failures.append(failed)
            show_traceback(error, progress)
            return None


@dataclass(frozen=True, kw_only=True)
class EvalShare:
    """Pictures of one set at one scale: all of them, or those that a worker scores at a time.

    On a CPU, scoring and reading wait while networks run and the networks wait for them, so that
    nothing else slows a network while it is timed; on a GPU they overlap.
    """

    scale: int
    dataset: str
    items: Sequence[tuple[int, SetPicture]]
    """Each with its place among all pictures of all sets."""
    labels: Mapping[str, str]
    """Names in tables by model."""
    folders: Sequence[FolderCandidate]
    options: EvalOptions
    want_pictures: bool
    """A worker returns SR pictures, too."""
    label: str = ""

    def score(
        self, networks: Sequence[NetworkCandidate], progress: Progress, task: Task
    ) -> Iterator[ScoredPicture]:
        """Yield what came of every picture, in their order."""
        depth = 0 if self._on_cpu else GPU_DEPTH
        pool = ThreadPoolExecutor(WORKERS)  # reads pictures and scores them
        pictures = (picture for _, picture in self.items)
        ahead = ReadAhead(self._read, pictures, ahead=max(1, depth), pool=pool)
        pending: deque[tuple[ScoredPicture, Pair | None, dict[str, Enlarged]]] = deque()
        try:
            for picture, reading in ahead:
                task.describe(f"{self.dataset}/{picture.name} x{self.scale}")
                own = ScoredPicture(self.scale, self.dataset, picture.name)
                pair = own.attempt(reading.result, None, progress, place=picture.where)
                enlarged = self._enlarge(own, pair, networks, pool, progress) if pair else {}
                pending.append((own, pair, enlarged))
                ahead.fill()  # now, because nothing is being timed
                while len(pending) > depth:
                    yield self._finish(*pending.popleft(), progress)
                    task.advance(1)
            for each in pending:
                yield self._finish(*each, progress)
                task.advance(1)
        finally:
            pool.shutdown(cancel_futures=True)

    @property
    def _on_cpu(self) -> bool:
        return choose_device(self.options.engine.device).type == "cpu"

    def _read(self, picture: SetPicture) -> Pair:
        """Read a picture; one that is too small for a metric is refused."""
        own, scale = self.options, self.scale
        pair = read_pair(picture, scale=scale, kernel=own.lr_kernel, chain=own.conversions)
        border, needs = own.border(scale), {"ssim": fidelity.WINDOW, "ifc": ifc.MINIMUM}
        least = max(needs.get(name, 1) for name in own.metrics) + 2 * border
        height, width = pair.hr.shape[:2]
        if min(height, width) < least:
            remedy = "; --metrics psnr,ssim need less" if "ifc" in own.metrics else ""
            raise DataError(
                f"{picture.where}: {width}x{height} is too small to be measured; "
                f"{', '.join(own.metrics)} with a border of {border} left out need "
                f"{least}x{least} pixels{remedy}"
            )
        return pair

    def _enlarge(
        self,
        own: ScoredPicture,
        pair: Pair,
        networks: Sequence[NetworkCandidate],
        pool: Executor,
        progress: Progress,
    ) -> dict[str, Enlarged]:
        """Enlarge a picture by every candidate and start scoring; by label, without failed ones."""
        reference, wanted = Reference(pair, self.options, self.scale), self.options.metrics
        # IFC takes about as long as all the others: one thread each.
        parts = [[m for m in wanted if m == "ifc"], [m for m in wanted if m != "ifc"]]
        found: dict[str, Enlarged] = {}
        candidates: list[Candidate] = [*networks, *self.folders]
        for candidate in candidates:
            if self._on_cpu:
                wait([future for each in found.values() for future in each.scores])
            made = own.attempt(partial(candidate.enlarge, pair), candidate.label, progress)
            if made is not None:
                futures = [pool.submit(reference.score, made[0], part) for part in parts if part]
                if "psnr" in wanted:
                    futures.append(pool.submit(lambda: {"bicubic": reference.bicubic}))
                found[candidate.label] = Enlarged(*made, futures)
        return found

    def _finish(
        self,
        own: ScoredPicture,
        pair: Pair | None,
        enlarged: Mapping[str, Enlarged],
        progress: Progress,
    ) -> ScoredPicture:
        """Wait for the scores of a picture."""
        psnr: dict[str, float] = {}
        for label, each in enlarged.items():
            values = own.attempt(each.wait, label, progress)
            if values is not None:
                psnr[label] = values.get("psnr", float("nan"))
                own.scores.append(
                    PictureScore(
                        scale=self.scale,
                        dataset=self.dataset,
                        picture=own.picture,
                        model=label,
                        values={name: values[name] for name in self.options.metrics},
                        seconds=each.seconds,
                        bicubic=values.get("bicubic"),
                    )
                )
        if pair and psnr:
            sr = {label: enlarged[label].sr for label in psnr}
            chain = self.options.conversions
            own.enlarged = EnlargedPicture(self.scale, self.dataset, pair, chain, sr, psnr)
        return own
