"""Statistics of a whole picture, for networks that are given a part of it.

A network that pools globally sees other statistics in a tile than in the picture. They can be
measured on a sample of the picture, in the order in which the network asks for them, and given to
it again for every tile. Which layers do is theirs to say: they ask :func:`given_moments`.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MARGIN = 4
"""Outermost pixels of windows that are not measured: padding by zeros spoils features there."""


class Moments(NamedTuple):
    """What a global pool may ask of every channel, (1 or N, C, 1, 1) each, fp32 or wider."""

    mean: Tensor
    variance: Tensor
    """Of the population."""
    maximum: Tensor
    """Of a sample, so that the picture's may be larger."""


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


_PROVIDER: ContextVar[Callable[[Tensor], Moments] | None] = ContextVar("moments", default=None)


@contextmanager
def measuring(into: Statistics) -> Iterator[None]:
    """Take the batch that goes through a network for windows of one picture.

    Every pool then sees the batch as a whole, without the margins of its windows; what it saw is
    appended to ``into``.
    """

    def measure(features: Tensor) -> Moments:
        if min(features.shape[2:]) > 2 * MARGIN:
            features = features[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
        # Wide sums, so that the number of threads decides nothing; MPS has none.
        exact = features.float() if features.device.type == "mps" else features.double()
        mean = exact.mean(dim=(0, 2, 3), keepdim=True)
        variance = (exact - mean).square_().mean(dim=(0, 2, 3), keepdim=True)
        maximum = exact.amax(dim=(0, 2, 3), keepdim=True)
        into.moments.append(Moments(mean.float(), variance.float(), maximum.float()))
        return into.moments[-1]

    with _provided_by(measure):
        yield


@contextmanager
def giving(statistics: Statistics | None) -> Iterator[None]:
    """Give what was measured to the pools of a network; None leaves them to see for themselves.

    The batch must go through the same network as often as when it was measured.
    """
    if statistics is None:
        yield
        return
    moments = iter(statistics.moments)
    with _provided_by(lambda _: next(moments)):
        yield


def given_moments(features: Tensor) -> Moments | None:
    """Return the moments that a layer should use for features (N, C, H, W); None for their own."""
    provider = _PROVIDER.get()
    return None if provider is None else provider(features)


@contextmanager
def _provided_by(provider: Callable[[Tensor], Moments]) -> Iterator[None]:
    token = _PROVIDER.set(provider)
    try:
        yield
    finally:
        _PROVIDER.reset(token)
