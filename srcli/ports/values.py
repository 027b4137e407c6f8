"""The range of an image's values: their dtype, and the numbers for black and white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Values:
    """The values of one image; the same for all of its tiles, so that tiles fit each other."""

    dtype: np.dtype[Any]
    """Of the pixels of input and output."""
    low: float | tuple[float, ...]
    """The network's 0: one number for all bands, or one for each."""
    high: float | tuple[float, ...]
    """The network's 1, likewise; above ``low``."""

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """(low, high) of each band, or one pair for all."""
        lows = self.low if isinstance(self.low, tuple) else (self.low,)
        highs = self.high if isinstance(self.high, tuple) else (self.high,)
        return tuple(zip(lows, highs, strict=True))


_LEAST_USED = 0.25


def are_units(low: float, high: float) -> bool:
    """Return True if floats from ``low`` to ``high`` look as if 0 were black and 1 white.

    They lie between both and use a good part of it, or are 0 all over; fractions of a thousandth
    are quantities of their own, which a network that sees 0 to 1 would bury under its errors.
    """
    return low >= 0 and (high == 0 or _LEAST_USED <= high <= 1)
