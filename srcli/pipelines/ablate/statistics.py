"""Paired differences of variants to their base: intervals, p-values and Holm's correction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from srcli.pipelines.ablate.results import AblationResult

MOST_FREEDOM = 10_000.0
"""Beyond so many degrees of freedom Student's t is normal."""


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """A variant minus the base, over the seeds and pictures that both have."""

    mean: float
    low: float
    """Lower end of the 95 % interval of the mean; NaN where there is none."""
    high: float
    p: float
    """Two-sided p-value of no difference; NaN where there is none."""
    seeds: int
    pictures: int


def difference(result: AblationResult, name: str, dataset: str) -> PairedDifference | None:
    """Return the difference in PSNR, in dB, of a variant to the base on a set.

    Returns:
        The difference; None for the base, and where both share no training and picture.
    """
    if name == result.ablation.base:
        return None
    base, other = result.base.measured(dataset), result.of(name).measured(dataset)
    pairs = [(base[seed].pictures, other[seed].pictures) for seed in base if seed in other]
    pictures = [
        picture
        for picture in (pairs[0][0] if pairs else ())
        if all(picture in t and math.isfinite(t[picture]["psnr"]) for pair in pairs for t in pair)
    ]
    if not pictures:
        return None
    values = np.array([[b[p]["psnr"] - a[p]["psnr"] for p in pictures] for a, b in pairs])
    low, high, p = crossed_interval(values)
    return PairedDifference(
        mean=float(values.mean()), low=low, high=high, p=p, seeds=len(pairs), pictures=len(pictures)
    )


def crossed_interval(differences: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the 95 % interval and p-value of a mean over seeds and pictures, both random effects.

    The differences of one training, or of one picture, are correlated. Their variances are
    separated as in a two-way table of random effects, and the interval is Student's with the
    degrees of freedom of Satterthwaite (1946); a percentile bootstrap over three seeds or five
    pictures is too short. With one seed it is the paired t interval over pictures, which does not
    cover other trainings.

    Args:
        differences: (seeds, pictures), finite.

    Returns:
        Lower and upper end, and the two-sided p-value; NaN with one seed and one picture.
    """
    from scipy.special import stdtr

    seeds, pictures = differences.shape
    if seeds * pictures < 2:
        return math.nan, math.nan, math.nan
    mean = float(differences.mean())
    if min(seeds, pictures) == 1:
        square, freedom = float(differences.var(ddof=1)), seeds * pictures - 1.0
    else:
        square, freedom = _mean_square(differences)
    error = math.sqrt(square / (seeds * pictures))
    half = student(freedom) * error
    p = 2 * float(stdtr(_bounded(freedom), -abs(mean) / error)) if error else float(mean == 0)
    return mean - half, mean + half, p


def _mean_square(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean square for the variance of the mean, and its degrees of freedom."""
    seeds, pictures = differences.shape
    mean = differences.mean()
    by_seed = differences.mean(axis=1, keepdims=True) - mean
    by_picture = differences.mean(axis=0, keepdims=True) - mean
    rest = differences - mean - by_seed - by_picture
    squares = [
        (pictures * float((by_seed**2).sum()), seeds - 1),
        (seeds * float((by_picture**2).sum()), pictures - 1),
        (float((rest**2).sum()), (seeds - 1) * (pictures - 1)),
    ]
    of_seeds, of_pictures, left = (total / freedom for total, freedom in squares)
    # Never below either effect alone: chance can make the rest larger than both.
    whole = max(of_seeds + of_pictures - left, of_seeds, of_pictures)
    spread_of = sum((total / freedom) ** 2 / freedom for total, freedom in squares)
    return whole, whole**2 / spread_of if spread_of > 0 else MOST_FREEDOM


def student(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t.

    Args:
        freedom: Degrees of freedom, not necessarily whole; taken as at least 1.
    """
    from scipy.special import stdtrit

    return float(stdtrit(_bounded(freedom), 0.975))


def _bounded(freedom: float) -> float:
    return min(max(freedom, 1.0), MOST_FREEDOM)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in the order given (Holm 1979).

    One below 0.05 is significant while the chance of any false one among all stays below 5 %.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(order), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
