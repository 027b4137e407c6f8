"""Enlarge the pictures of a set by every candidate, and score what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from srcli.errors import DataError, SrxError, as_failure_of
from srcli.evaluation.pairs import KERNELS, Pair, read_pair
from srcli.evaluation.scores import Failure, PictureScore
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import resize
from srcli.inference.device import choose_device
from srcli.metrics.registry import METRICS
from srcli.ports import Progress, Task
from srcli.threads import read_ahead

if TYPE_CHECKING:
    from srcli.data.pictures import PictureRef
    from srcli.evaluation.sets import PictureSet
    from srcli.pipelines.evaluate.options import EvalOptions

T = TypeVar("T")

WORKERS = 4
"""Threads that read pictures and score them."""
GPU_DEPTH = 4
"""Pictures that may wait for their scores while a GPU enlarges the next."""
MakeSr = Callable[[Pair], tuple[Array, float | None]]
"""Makes or reads the SR picture of a pair, (H, W, 3) of the HR picture's size; the second
value is the time in seconds, None if it was read."""


def measure_metric(
    pair: Pair, options: EvalOptions, scale: int, sr: Array, metric: str
) -> float:
    """Measure one metric of an SR picture, (H, W, 3) of the HR picture's size, 8 or 16 bits."""
    border = options.resolve_shave(scale)
    measured = METRICS[metric]
    if measured.sees == "colours":  # whatever the protocol compares
        inside = tuple(slice(border, side - border) for side in sr.shape[:2])
        return measured.measure(sr[inside], pair.hr[inside])
    planes = partial(options.rules.planes, gray=pair.gray, luma=measured.sees == "luma")
    if measured.sees != "small":
        return measured.measure(planes(sr, border), planes(pair.hr, border))
    small = pair.shrunk(sr, scale, KERNELS[options.kernel])
    if pair.luma:  # both are Y in [0, 1] already
        return measured.measure(
            small.astype(np.float64) * 255, pair.lr.astype(np.float64) * 255
        )
    return measured.measure(planes(small, 0), planes(pair.lr, 0))


def measure_bicubic(pair: Pair, options: EvalOptions, scale: int) -> float:
    """Measure the PSNR in dB of bicubic interpolation, beside which every PSNR is shown."""
    sr = pair.enlarged(partial(resize, scale=scale))
    return measure_metric(pair, options, scale, sr, "psnr")


@dataclass
class ScoredPicture:
    """One picture with its SR pictures, scores and failures."""

    scale: int
    dataset: str
    picture: str
    """Name of the picture."""
    scores: list[PictureScore] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    pair: Pair | None = None
    """HR and LR; None where they could not be read."""
    sr: dict[str, Array] = field(default_factory=dict)
    """SR pictures by model, (H, W, 3); those of failed models are left out."""
    seconds: dict[str, float | None] = field(default_factory=dict)
    """Seconds that each network took, by model."""

    def lr_deviations(self) -> list[float]:
        """Return ``Pair.lr_deviation`` where LR was read from a file, else nothing."""
        if self.pair is None or self.pair.lr_deviation is None:
            return []
        return [self.pair.lr_deviation]

    def attempt(
        self,
        call: Callable[[], T],
        model: str | None,
        progress: Progress,
        *,
        subject: str = "",
    ) -> T | None:
        """Call a function and return its value; after an error, note a failure and return None."""
        names = (f"{self.dataset}/{self.picture}", model)
        try:
            with as_failure_of(subject or ", ".join(filter(None, names))):
                return call()
        except SrxError as error:
            failed = Failure(self.scale, self.dataset, self.picture, model, str(error))
            self.failures.append(failed)
            progress.detail(*error.details)
            return None


def score_set(
    pictures: PictureSet,
    scale: int,
    options: EvalOptions,
    candidates: Mapping[str, MakeSr],
    progress: Progress,
    task: Task,
) -> Iterator[ScoredPicture]:
    """Enlarge every picture of a set by all candidates, score it, and yield it, in order.

    A few pictures may wait for their scores while a GPU enlarges the next; none on a
    CPU, where nothing else may slow a network while it is timed.
    """
    ahead = 0 if choose_device(options.device).type == "cpu" else GPU_DEPTH

    def enlarged() -> Iterator[ScoredPicture]:
        for picture in pictures.items:
            result = ScoredPicture(scale, pictures.name, picture.name)
            task.describe(f"{result.dataset}/{result.picture} x{scale}")
            read = partial(_read_pair, picture, scale, options)
            pair = result.pair = result.attempt(
                read, None, progress, subject=str(picture)
            )
            if pair:
                for label, make_sr in candidates.items():
                    outcome = result.attempt(partial(make_sr, pair), label, progress)
                    if outcome:
                        result.sr[label], result.seconds[label] = outcome
            yield result

    with ThreadPoolExecutor(WORKERS) as pool:
        score = partial(_score_picture, pool=pool, options=options, progress=progress)
        with read_ahead(score, enlarged(), ahead=ahead, workers=GPU_DEPTH) as scorings:
            for _, scoring in scorings:
                yield scoring.result()


def _score_picture(
    result: ScoredPicture,
    *,
    pool: ThreadPoolExecutor,
    options: EvalOptions,
    progress: Progress,
) -> ScoredPicture:
    """Add the scores of a picture's SR pictures; those that cannot be scored are left out."""
    pair = result.pair
    if pair is None or not result.sr:
        return result
    bicubic = None
    if "psnr" in options.metrics:
        bicubic = pool.submit(measure_bicubic, pair, options, result.scale)

    def measure(sr: Array) -> tuple[list[float], float | None]:
        """Measure all metrics of an SR picture at once, and take the PSNR of bicubic."""
        call = partial(measure_metric, pair, options, result.scale, sr)
        values = list(pool.map(call, options.metrics))
        return values, bicubic.result() if bicubic else None

    for model, sr in list(result.sr.items()):
        measured = result.attempt(partial(measure, sr), model, progress)
        if measured is None:
            del result.sr[model]
            continue
        values, psnr_of_bicubic = measured
        result.scores.append(
            PictureScore(
                scale=result.scale,
                dataset=result.dataset,
                picture=result.picture,
                model=model,
                values=dict(zip(options.metrics, values, strict=True)),
                seconds=result.seconds[model],
                bicubic=psnr_of_bicubic,
            )
        )
    return result


def _read_pair(picture: PictureRef, scale: int, options: EvalOptions) -> Pair:
    """Read HR and LR of a picture; refuse one that is too small for a metric."""
    kernel = KERNELS[options.kernel]
    pair = read_pair(picture, scale, kernel, on_luma=options.on_luma, jpeg=options.jpeg)
    border = options.resolve_shave(scale)
    least = max(METRICS[name].minimum for name in options.metrics) + 2 * border
    height, width = pair.hr.shape[:2]
    if min(height, width) < least:
        remedy = ""
        if "ifc" in options.metrics:
            remedy = "; --metrics psnr,ssim need less"
        raise DataError(
            f"{picture}: {width}x{height} is too small to be measured; "
            f"{', '.join(options.metrics)} with a border of {border} left out need "
            f"{least}x{least} pixels{remedy}"
        )
    return pair
