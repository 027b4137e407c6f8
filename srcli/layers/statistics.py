"""Statistics of a whole picture, for networks that are given a part of it.

A network that pools globally sees other statistics in a tile than in the picture. They can be
measured on a sample of the picture, in the order in which the network asks for them, and given to
it again for every tile. Which layers do is theirs to say: they ask :func:`given_moments`.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from srcli.layers.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MARGIN = 4
"""Outermost pixels of windows left out of mean and variance: padding by zeros spoils features
there. A maximum counts them: around a whole picture it often lies there, too."""
TAIL = 10
"""Windows with the highest maxima, by which those of the rest of a picture are judged."""
MOST_TIMES = 100.0
"""So many times a sample the picture is taken for at most: beyond, the tail is a guess."""
GROWTH = 0.25
"""Share of what an exponential tail would let maxima grow by, that comes nearest to the features of
whole photographs (``EXPERIMENTS.md``): their tails are lighter."""


class Moments(NamedTuple):
    """What a global pool may ask of every channel, (1 or N, C, 1, 1) each, fp32 or wider."""

    mean: Tensor
    variance: Tensor
    """Of the population."""
    maximum: Tensor
    """Of a sample: what is to be expected of the picture."""


@dataclass(eq=False)
class Statistics:
    """What one picture, or each item of a batch, gives at every global pool of a network."""

    moments: list[Moments] = field(default_factory=list)
    """In the order in which the network asks."""

    @property
    def finite(self) -> bool:
        """Whether all of them are finite numbers."""
        return all(bool(each.isfinite().all()) for one in self.moments for each in one)

    def rows(self, indices: Sequence[int]) -> Statistics:
        """Return those of some items of the batch; those of one picture are of every item."""
        if all(len(one.mean) == 1 for one in self.moments):
            return self
        chosen = list(indices)
        return Statistics([Moments(*(each[chosen] for each in one)) for one in self.moments])


def joined(parts: Sequence[Statistics]) -> Statistics:
    """Put pictures together into a batch: one item each."""
    pools = zip(*(part.moments for part in parts), strict=True)
    return Statistics(
        [Moments(*(torch.cat(each) for each in zip(*pool, strict=True))) for pool in pools]
    )


_PROVIDER: Context[Callable[[Tensor], Moments]] = Context("moments")


@contextmanager
def measuring(into: Statistics, *, extremes: int = 0, times: float = 1.0) -> Iterator[None]:
    """Take the batch that goes through a network for windows of one picture.

    Every pool then sees the batch as a whole; what it saw is appended to ``into``.

    Args:
        into: What is measured.
        extremes: So many windows at the end of the batch were chosen for what stands out in them:
            they count for maxima alone.
        times: How many times as large the picture is as the part of it among which these were
            chosen, or as all windows together where there are none; at least 1.
    """

    def measure(features: Tensor) -> Moments:
        highest = features.amax(dim=(2, 3), keepdim=True)
        spread = features[: len(features) - extremes]
        if min(spread.shape[2:]) > 2 * MARGIN:
            spread = spread[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
        # Wide sums, so that the number of threads decides nothing; MPS has none.
        exact = spread.float() if spread.device.type == "mps" else spread.double()
        mean = exact.mean(dim=(0, 2, 3), keepdim=True)
        variance = (exact - mean).square_().mean(dim=(0, 2, 3), keepdim=True)
        maximum = _expected_maximum(highest.to(exact.dtype), times)
        into.moments.append(Moments(mean.float(), variance.float(), maximum.float()))
        return into.moments[-1]

    with _PROVIDER.saying(measure):
        yield


def _expected_maximum(highest: Tensor, times: float) -> Tensor:
    """Judge by the maxima of windows (N, C, 1, 1) that of a picture so many times as large.

    Were high values to become rarer exponentially (Pickands 1975, with a shape of 0), theirs would
    be exceeded by ln(times) mean excesses of the highest windows over the next one; they are by
    ``GROWTH`` of that. The maximum of a small sample alone is some standard deviations short.

    Returns:
        (1, C, 1, 1).
    """
    tail = min(TAIL, len(highest) // 4)
    if tail == 0 or times <= 1:
        return highest.amax(dim=0, keepdim=True)
    ordered = highest.sort(dim=0, descending=True).values
    excess = (ordered[:tail] - ordered[tail]).mean(dim=0, keepdim=True)
    return ordered[:1] + GROWTH * excess * math.log(min(times, MOST_TIMES))


@contextmanager
def giving(statistics: Statistics | None) -> Iterator[None]:
    """Give what was measured to the pools of a network; None leaves them to see for themselves.

    The batch must go through the same network as often as when it was measured.
    """
    if statistics is None:
        yield
        return
    moments = iter(statistics.moments)
    with _PROVIDER.saying(lambda _: next(moments)):
        yield


def given_moments(features: Tensor) -> Moments | None:
    """Return the moments that a layer should use for features (N, C, H, W); None for their own."""
    provider = _PROVIDER.said()
    return None if provider is None else provider(features)
