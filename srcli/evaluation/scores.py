"""Results of an evaluation: scores of pictures, their means, paired differences, failures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from srcli.metrics.registry import METRICS
from srcli.recipes.published import PublishedRow

if TYPE_CHECKING:
    from srcli.metrics.efficiency import Cost
    from srcli.metrics.fidelity import EvaluationProtocol

MOST_FREEDOM = 10_000.0
"""Beyond so many degrees of freedom Student's t is normal."""


@dataclass(frozen=True)
class PictureScore:
    """Scores of one picture enlarged by one model."""

    scale: int
    dataset: str
    picture: str
    model: str
    values: dict[str, float]
    """By metric; ``inf`` for equal pictures."""
    seconds: float | None
    """Time of the network alone; None for pictures that another program made."""
    bicubic: float | None = None
    """PSNR of bicubic interpolation of the same LR picture; None where PSNR was not
    measured."""


@dataclass(frozen=True)
class Failure:
    """A picture that could not be measured."""

    scale: int
    dataset: str
    picture: str
    model: str | None = None
    """None where it failed for every model."""
    reason: str = ""


@dataclass(kw_only=True)
class Evaluation:
    """All scores of a run, with the protocol of the measurement."""

    scales: tuple[int, ...]
    models: tuple[str, ...]
    """Labels; the others are compared with the first."""
    protocol: EvaluationProtocol
    metrics: tuple[str, ...]
    chain: str
    """Everything that decides the numbers, in words."""
    sizes: dict[tuple[int, str], int] = field(default_factory=dict)
    """Pictures that each (scale, set) holds, in the order of measuring."""
    scores: list[PictureScore] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    """Of a ``model`` to the first, by ``scale``, ``dataset`` and ``metric``: ``mean``
    over the ``pictures`` measured with both, its 95 % interval ``low`` to ``high``, NaN
    without one."""
    published: list[PublishedRow] = field(default_factory=list)
    published_costs: list[PublishedRow] = field(default_factory=list)
    """Costs printed in papers, to show beside ``costs``."""

    def sets(self, scale: int) -> list[str]:
        """Return the sets of a scale, in the order of measuring."""
        return [dataset for at_scale, dataset in self.sizes if at_scale == scale]

    def of(
        self, scale: int, dataset: str, model: str | None = None
    ) -> list[PictureScore]:
        """Return the scores of one set at one scale, of all models or one."""
        scores = []
        for score in self.scores:
            is_of_set = (score.scale, score.dataset) == (scale, dataset)
            if is_of_set and model in (None, score.model):
                scores.append(score)
        return scores

    def means(
        self, scale: int | None = None, dataset: str | None = None
    ) -> list[dict[str, Any]]:
        """Return rows of means by ``scale``, ``dataset`` and ``model``, in the order of measuring.

        ``pictures`` is the number of pictures that were measured, of those in the set
        (``of``); ``values`` and ``medians`` are by metric, ``seconds`` is a median,
        ``bicubic`` a mean PSNR, each None where nothing is known.
        """
        rows = []
        for (set_scale, name), model in product(self.sizes, self.models):
            if scale not in (None, set_scale) or dataset not in (None, name):
                continue
            scores = self.of(set_scale, name, model)
            if not scores:
                continue
            values = {}
            medians = {}
            for metric in scores[0].values:
                column = [score.values[metric] for score in scores]
                values[metric] = fmean(column)
                medians[metric] = median(column)
            seconds = [score.seconds for score in scores if score.seconds is not None]
            levels = [score.bicubic for score in scores if score.bicubic is not None]
            rows.append({
                "scale": set_scale,
                "dataset": name,
                "model": model,
                "pictures": len(scores),
                "of": self.sizes[set_scale, name],
                "values": values,
                "medians": medians,
                "seconds": median(seconds) if seconds else None,
                "bicubic": fmean(levels) if levels else None,
            })  # fmt: skip
        return rows

    def add_differences(self) -> None:
        """Compare every model with the first, picture by picture, where both are finite."""
        against = self.models[0]
        for (scale, dataset), model, metric in product(
            self.sizes, self.models[1:], self.metrics
        ):
            base = {}
            for score in self.of(scale, dataset, against):
                base[score.picture] = score.values[metric]
            differences = []
            for score in self.of(scale, dataset, model):
                if score.picture in base:
                    differences.append(score.values[metric] - base[score.picture])
            finite = list(filter(math.isfinite, differences))
            if not finite:
                continue
            interval = crossed_interval(np.array([finite]))
            self.differences.append({
                "scale": scale,
                "dataset": dataset,
                "model": model,
                "against": against,
                "metric": metric,
                "pictures": len(finite),
                "mean": math.fsum(finite) / len(finite),
                "low": interval.low,
                "high": interval.high,
            })  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values, the metrics of a row beside its other values."""
        plain = asdict(self)
        del plain["sizes"]
        plain["metrics"] = {name: METRICS[name].legend for name in self.metrics}
        means = self.means()
        pictures = plain.pop("scores")
        for row in (*means, *pictures):
            row.update(row.pop("values"))
        return {**plain, "means": means, "pictures": pictures}


class Interval(NamedTuple):
    """A 95 % interval of a mean, by Student's t; NaN where there is none."""

    low: float
    high: float
    p: float
    """Two-sided p-value of a mean of 0."""
    freedom: float
    """Degrees of freedom."""


def crossed_interval(differences: NDArray[np.float64]) -> Interval:
    """Return the 95 % interval and p-value of a mean over seeds and pictures.

    Both are random effects. The differences of one training, or of one picture, are
    correlated. Their variances are separated as in a two-way table of random effects,
    and the interval is Student's with the degrees of freedom of Satterthwaite (1946); a
    percentile bootstrap over three seeds or five pictures is too short. With one seed
    it is the paired t interval over pictures, which does not cover other trainings.

    ``differences`` are finite, of shape (seeds, pictures); with one seed and one picture
    there is no interval.
    """
    from scipy.special import stdtr, stdtrit

    seeds, pictures = differences.shape
    if seeds * pictures < 2:
        return Interval(math.nan, math.nan, math.nan, math.nan)
    mean = float(differences.mean())
    if min(seeds, pictures) == 1:
        square = float(differences.var(ddof=1))
        freedom = seeds * pictures - 1.0
    else:
        by_seed = differences.mean(axis=1, keepdims=True) - mean
        by_picture = differences.mean(axis=0, keepdims=True) - mean
        residuals = differences - mean - by_seed - by_picture
        sums = np.array([
            pictures * float((by_seed**2).sum()),
            seeds * float((by_picture**2).sum()),
            float((residuals**2).sum()),
        ])  # fmt: skip
        freedoms = np.array([seeds - 1, pictures - 1, (seeds - 1) * (pictures - 1)])
        of_seeds, of_pictures, of_residuals = sums / freedoms
        # Never below either effect alone: chance can make the residuals larger than
        # both.
        square = max(of_seeds + of_pictures - of_residuals, of_seeds, of_pictures)
        spread = sum((sums / freedoms) ** 2 / freedoms)
        freedom = MOST_FREEDOM
        if spread > 0:
            freedom = min(max(square**2 / spread, 1.0), MOST_FREEDOM)
    error = math.sqrt(square / (seeds * pictures))
    half = float(stdtrit(freedom, 0.975)) * error
    p = 2 * float(stdtr(freedom, -abs(mean) / error)) if error else float(mean == 0)
    return Interval(mean - half, mean + half, p, freedom)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in the order given (Holm 1979).

    One below 0.05 is significant while the chance of any false one among all stays
    below 5 %.
    """
    values = np.array(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    factors = np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * values[order]))
    return [float(p) for p in adjusted]
