"""What the numbers of an image mean: their dtype, and which of them are black and white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Values:
    """The values of one image; the same for all of its tiles, so that tiles fit each other."""

    dtype: np.dtype[Any]
    """Of the pixels, going in and coming out."""
    low: float
    """What the network sees as 0."""
    high: float
    """What the network sees as 1; above ``low``."""
