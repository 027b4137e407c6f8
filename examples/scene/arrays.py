"""Types of arrays, and the bounding box of a mask."""

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
    """Return the smallest box around the true values."""
    found = (np.flatnonzero(where.any(axis)) for axis in (1, 0))
    rows, columns = (
        slice(at[0], at[-1] + 1) if at.size else slice(0, 0) for at in found
    )
    return rows, columns
