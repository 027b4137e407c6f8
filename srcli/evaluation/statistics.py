"""Paired differences between models, with bootstrap intervals (Efron 1979)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SEED = 0
"""Of the resampling, so that two runs print the same table."""
LEAST_DRAWN = 5
"""Least number of pictures for resampling."""


class PairedMean(NamedTuple):
    """Mean of paired differences with the ends of its 95 % interval; NaN where there is none."""

    pictures: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Mean difference of a model to the first one, over the pictures measured with both."""

    scale: int
    dataset: str
    model: str
    against: str
    metric: str
    pictures: int
    mean: float
    low: float
    """Lower end of the 95 % confidence interval of the mean; NaN where there is none."""
    high: float

    @property
    def clear(self) -> bool:
        """True if the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def bootstrap(differences: Sequence[float], *, resamples: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean of paired differences.

    Pictures are drawn with replacement ``resamples`` times, from a fixed seed. The percentiles lie
    further out than 2.5 and 97.5, by as much as Student's t interval is wider than the normal one
    (Hesterberg 2015, the expanded percentile interval): plain ones would hold the true mean in 86 %
    of the cases with five pictures. Below five pictures it is Student's t interval, because there
    are too few ways to draw them.

    Args:
        differences: One value for each picture, finite.
        resamples: Number of draws; 0 for no interval.

    Returns:
        Lower and upper end; NaN with fewer than two pictures or no resamples.
    """
    if len(differences) < 2 or resamples < 1:
        return math.nan, math.nan
    from scipy.special import ndtr, stdtrit

    values = np.asarray(differences, dtype=np.float64)
    student = float(stdtrit(len(values) - 1, 0.975))
    if len(values) < LEAST_DRAWN:
        half = student * float(values.std(ddof=1)) / math.sqrt(len(values))
        return float(values.mean()) - half, float(values.mean()) + half
    tail = float(ndtr(-student * math.sqrt(len(values) / (len(values) - 1))))
    generator = np.random.default_rng(SEED)
    means = np.empty(resamples)
    step = max(1, 2**20 // len(values))  # bounds memory for large sets
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        picks = generator.integers(0, len(values), size=(count, len(values)))
        means[start : start + count] = values[picks].mean(axis=1)
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def paired_mean(
    first: Mapping[str, float], other: Mapping[str, float], *, resamples: int
) -> PairedMean:
    """Return the mean of other - first over the pictures of both, with its 95 % interval.

    Both are values by picture; those that are not finite are left out. NaN without any.
    """
    finite = [
        difference
        for name in first
        if name in other and math.isfinite(difference := other[name] - first[name])
    ]
    if not finite:
        return PairedMean(0, math.nan, math.nan, math.nan)
    mean = math.fsum(finite) / len(finite)
    return PairedMean(len(finite), mean, *bootstrap(finite, resamples=resamples))
