"""The two axis-parallel sub-bands of a steerable pyramid with six orientations.

The pyramid is Simoncelli and Freeman's (ICIP 1995) with the ``sp5`` filters that E. Simoncelli
published in matlabPyrTools and pyrtools, designed as in Karasaridis and Simoncelli (ICASSP 1996).
Of six orientations only the first and the fourth are built, because no other is used here.

All filters are even or odd about both of their axes. Each is therefore stored as one quadrant and
applied to sums and differences of opposite samples, which is several times faster than the whole
filter and makes odd filters give exactly 0 where a picture is flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]

SUPPORT = 9
"""Rows and columns of the largest filter; every level must be at least that large."""
STRIP_SAMPLES = 32_768
"""Samples of the strips of rows that are filtered, few enough for a core's cache."""


@dataclass(frozen=True)
class Filter:
    """A filter stored as one quadrant; it is correlated with a picture, not convolved."""

    quadrant: Floats
    """(R + 1, R + 1): weights at 0..R samples below and right of the centre."""
    odd_axis: int | None = None
    """Axis along which the other half has the opposite sign: 0 rows, 1 columns, None neither.
    The quadrant is 0 on the centre line across that axis."""


LOW_FIRST = Filter(
    np.array(
        [
            [0.40304148, 0.15925570, -0.03848215],
            [0.15925570, 0.05586982, -0.01551246],
            [-0.03848215, -0.01551246, 0.00341614],
        ]
    )
)
"""``lo0filt``: low-pass for the finest level."""

LOW_NEXT = Filter(
    2
    * np.array(
        [
            [0.10096540, 0.08169618, 0.03981393, 0.01002988, -0.00962054],
            [0.08169618, 0.06426333, 0.03277038, 0.00410600, -0.00944432],
            [0.03981393, 0.03277038, 0.01396746, -0.00661117, -0.00387812],
            [0.01002988, 0.00410600, -0.00661117, -0.00523281, -0.00244917],
            [-0.00962054, -0.00944432, -0.00387812, -0.00244917, 0.00085404],
        ]
    )
)
"""``lofilt``: low-pass from one level to the next, which keeps every second sample."""

ACROSS_COLUMNS = Filter(
    np.array(
        [
            [0.0, 0.11732297, -0.02755155, -0.01455399],
            [0.0, 0.08226445, -0.01189859, -0.01026699],
            [0.0, 0.03075356, 0.00893064, -0.00496194],
            [0.0, 0.01021852, 0.00986904, -0.00277643],
        ]
    ),
    odd_axis=1,
)
"""First column of ``bfilts``: responds to vertical edges."""

ACROSS_ROWS = Filter(-ACROSS_COLUMNS.quadrant.T, odd_axis=0)
"""Fourth column of ``bfilts``: responds to horizontal edges."""


def edge_bands(picture: Array, levels: int = 4) -> list[tuple[Floats, Floats]]:
    """Build the sub-bands of orientations 1 and 4 of a steerable pyramid.

    Edges are mirrored about the edge sample, which is not repeated (``reflect1``).

    Args:
        picture: (H, W), any real dtype, both sides at least ``9 * 2 ** (levels - 1)``.
        levels: Levels of the pyramid, 1 or more.

    Returns:
        For every level, finest first, the responses to ``ACROSS_COLUMNS`` and ``ACROSS_ROWS``.
        Level k, counted from 0, has the size of the picture divided by ``2 ** k``, rounded up.

    Raises:
        ValueError: If the picture has no two axes or is too small.
    """
    least = SUPPORT * 2 ** (levels - 1)
    if picture.ndim != 2 or min(picture.shape) < least:
        raise ValueError(
            f"a pyramid of {levels} levels needs (H, W) of at least {least}x{least}, "
            f"got shape {picture.shape}"
        )
    low = correlate(picture.astype(np.float64, copy=False), LOW_FIRST)
    bands = []
    for level in range(levels):
        if level:
            low = correlate(low, LOW_NEXT, step=2)
        bands.append((correlate(low, ACROSS_COLUMNS), correlate(low, ACROSS_ROWS)))
    return bands


def correlate(picture: Floats, kernel: Filter, step: int = 1) -> Floats:
    """Correlate a picture with a filter, its edges mirrored about the edge sample.

    Args:
        picture: (H, W).
        kernel: The filter.
        step: Compute only every ``step``-th row and column, from the first on.

    Returns:
        (ceil(H / step), ceil(W / step)).
    """
    margin = 2 * (len(kernel.quadrant) - 1)
    height, width = (-(-side // step) for side in picture.shape)
    padded = np.pad(picture, margin // 2, mode="reflect")
    padded = padded[:, : (width - 1) * step + 1 + margin]
    out = np.empty((height, width))
    rows = max(1, STRIP_SAMPLES // padded.shape[1])
    for top in range(0, height, rows):
        strip = out[top : top + rows]
        source = padded[top * step : (top + len(strip) - 1) * step + 1 + margin]
        _correlate_strip(source, kernel, step, strip)
    return out


def _correlate_strip(source: Floats, kernel: Filter, step: int, out: Floats) -> None:
    """Write to ``out`` the response wherever the filter lies within ``source``."""
    weights, reach = kernel.quadrant, len(kernel.quadrant) - 1
    first_row, first_column = int(kernel.odd_axis == 0), int(kernel.odd_axis == 1)
    rows = [
        _fold(source, distance, reach, step, is_odd=first_row == 1)
        for distance in range(first_row, reach + 1)
    ]
    total, product = np.empty_like(rows[0]), np.empty_like(rows[0])
    out[:] = 0
    for distance in range(first_column, reach + 1):
        np.multiply(rows[0], weights[first_row, distance], out=total)
        for row, weight in zip(rows[1:], weights[first_row + 1 :, distance], strict=True):
            np.multiply(row, weight, out=product)
            np.add(total, product, out=total)
        out += _fold(total.T, distance, reach, step, is_odd=first_column == 1).T


def _fold(values: Floats, distance: int, reach: int, step: int, *, is_odd: bool) -> Floats:
    """Return the sum, or difference if odd, of rows ``distance`` after and before a centre row.

    Centre rows are every ``step``-th one that has ``reach`` rows on both sides.
    """
    stop = len(values) - reach
    after = values[reach + distance : stop + distance : step]
    if distance == 0:
        return after
    before = values[reach - distance : stop - distance : step]
    return after - before if is_odd else after + before
