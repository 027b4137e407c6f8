"""Kinds of arrays, and the part of one that matters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Pixels = NDArray[np.number[Any]]
Mask = NDArray[np.bool_]
Place = NDArray[np.int64]  # x and y, pixels, or rows that begin with them
Box = tuple[slice, slice]
Pair = tuple[float, float]
Cell = tuple[int, int]  # column and row of a district
Window = tuple[int, int, int, int]  # left, top, width and height, pixels


def bounds(where: Mask) -> Box:
    """The smallest box around what is true."""
    found = (np.flatnonzero(where.any(axis)) for axis in (1, 0))
    rows, columns = (slice(at[0], at[-1] + 1) if at.size else slice(0, 0) for at in found)
    return rows, columns
