"""The information fidelity criterion (IFC) of Sheikh, Bovik and de Veciana.

"An information fidelity criterion for image quality assessment using natural scene
statistics", IEEE Transactions on Image Processing 14(12), 2005, in the vector form of
the authors' release: sub-bands of a steerable pyramid, each modelled as a Gaussian
scale mixture of 3x3 blocks that pass a channel with gain and additive noise. The
criterion is the mutual information of the distorted picture and the original, in bits
per pixel; more is better and there is no upper bound.

The pyramid is Simoncelli and Freeman's (ICIP 1995) with the ``sp5`` filters that E.
Simoncelli published in matlabPyrTools and pyrtools, designed as in Karasaridis and
Simoncelli (ICASSP 1996). Of six orientations only the first and the fourth are built,
because no other is used here. All filters are even or odd about both of their axes, so
each is written down as one quadrant.
"""

from __future__ import annotations

from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]


def _whole(quadrant: list[list[float]], odd_axis: int | None = None) -> Floats:
    """Return a filter by its quadrant of weights at 0, 1, ... samples from the centre.

    Its halves across an axis are equal or, across the odd axis, opposite.
    """
    weights = np.array(quadrant)
    for axis in (0, 1):
        mirrored = np.flip(np.delete(weights, 0, axis), axis)
        if axis == odd_axis:
            mirrored = -mirrored
        weights = np.concatenate((mirrored, weights), axis)
    return weights


LOW_FIRST = _whole([
    [0.40304148, 0.15925570, -0.03848215],
    [0.15925570, 0.05586982, -0.01551246],
    [-0.03848215, -0.01551246, 0.00341614],
])  # fmt: skip
"""``lo0filt``: low-pass for the finest level."""

LOW_NEXT = 2 * _whole([
    [0.10096540, 0.08169618, 0.03981393, 0.01002988, -0.00962054],
    [0.08169618, 0.06426333, 0.03277038, 0.00410600, -0.00944432],
    [0.03981393, 0.03277038, 0.01396746, -0.00661117, -0.00387812],
    [0.01002988, 0.00410600, -0.00661117, -0.00523281, -0.00244917],
    [-0.00962054, -0.00944432, -0.00387812, -0.00244917, 0.00085404],
])  # fmt: skip
"""``lofilt``: low-pass from one level to the next, which keeps every second sample."""

ACROSS_COLUMNS = _whole([
    [0.0, 0.11732297, -0.02755155, -0.01455399],
    [0.0, 0.08226445, -0.01189859, -0.01026699],
    [0.0, 0.03075356, 0.00893064, -0.00496194],
    [0.0, 0.01021852, 0.00986904, -0.00277643],
], odd_axis=1)  # fmt: skip
"""First column of ``bfilts``: responds to vertical edges."""

ACROSS_ROWS = -ACROSS_COLUMNS.T
"""Fourth column of ``bfilts``: responds to horizontal edges."""

LEVELS = 4
BLOCK = 3
"""Edge of the blocks of coefficients that are the vectors of the scale mixture."""
MINIMUM = 9 * 2 ** (LEVELS - 1)
"""Smallest height and width, 72: no level may be smaller than the pyramid's 9x9
filter."""
FLAT = 1e-15
"""Energy below which a window is ignored, because no regression is possible."""
NOISE = 1e-10
"""Added to the variance of the channel's noise, so that equal pictures have a finite
value."""
RANK = 1e-12
"""Eigenvalues below this fraction of the largest are rounding errors of 0."""


def ifc(sr: Array, hr: Array) -> float:
    """Return the criterion of a picture, in bits per pixel.

    Both are (H, W) luma in 0..255, any real dtype, already cropped by the border that
    is left out; both sides at least ``MINIMUM``. It is 0 or more; about 2 for bicubic
    at x4 and 6 at x2. It depends on rounding: compare values only of pictures that were
    quantised the same way. ValueError for NaN and infinity.
    """
    if sr.shape != hr.shape:
        raise ValueError(f"pictures differ in shape: {sr.shape} and {hr.shape}")
    bits = 0.0
    for (original, window), (distorted, _) in zip(_bands(hr), _bands(sr), strict=True):
        bits += _information(original, window, distorted)
    return bits / sr.size


def _information(original: Floats, window: int, distorted: Floats) -> float:
    """Return the bits that a distorted sub-band shares with the original, over all blocks."""
    variances, directions = np.linalg.eigh(_block_covariance(original))
    positive = variances > RANK * variances[-1]  # none in a flat band
    variances = variances[positive]
    border = BLOCK * _border_blocks(window)
    inner = original[border : len(original) - border, border:-border]
    rows, columns = (side // BLOCK for side in inner.shape)
    split = inner.reshape(rows, BLOCK, columns, BLOCK)
    blocks = split.transpose(1, 3, 0, 2).reshape(BLOCK**2, -1)  # both in reading order
    whitened = (directions[:, positive] / np.sqrt(variances)).T @ blocks
    # Maximum-likelihood multiplier of every block: its energy relative to the band's.
    scale = (whitened**2).sum(axis=0).reshape(rows, columns) / BLOCK**2
    mean = _window_sums(original, window) / window**2
    mean_now = _window_sums(distorted, window) / window**2
    energy = np.maximum(_window_sums(original**2, window) - window**2 * mean**2, 0.0)
    energy_now = np.maximum(
        _window_sums(distorted**2, window) - window**2 * mean_now**2, 0.0
    )
    shared = _window_sums(distorted * original, window) - window**2 * mean_now * mean
    # Regression distorted = gain * original + noise; a negative gain shares nothing.
    used = (energy >= FLAT) & (energy_now >= FLAT) & (shared > 0)
    gain = np.where(used, shared / (energy + FLAT), 0.0)
    noise = np.maximum(energy_now - gain * shared, 0.0) / window**2
    ratio = gain**2 * scale / (noise + NOISE)
    return float(sum(np.log2(1 + ratio * variance).sum() for variance in variances))


def _block_covariance(values: Floats) -> Floats:
    """Return the covariance (9, 9) of all 3x3 blocks of a sub-band, in reading order."""
    height, width = (side - BLOCK + 1 for side in values.shape)
    views = [
        values[row : row + height, column : column + width]
        for row, column in product(range(BLOCK), repeat=2)
    ]
    moments = np.empty((len(views), len(views)))
    for i, j in combinations_with_replacement(range(len(views)), 2):
        moments[i, j] = moments[j, i] = np.vecdot(views[i], views[j]).sum()
    means = [view.mean() for view in views]
    covariance: Floats = moments / (height * width) - np.outer(means, means)
    return covariance


def _bands(picture: Array) -> list[tuple[Floats, int]]:
    """Return sub-bands cropped to whole blocks, finest first, with their windows."""
    if picture.ndim != 2 or min(picture.shape) < MINIMUM:
        raise ValueError(
            f"IFC needs (H, W) of at least {MINIMUM}x{MINIMUM}, got shape {picture.shape}"
        )
    if not np.isfinite(picture).all():
        raise ValueError("IFC needs finite values, the picture holds NaN or infinity")
    bands = []
    for level, pair in enumerate(edge_bands(picture)):
        height, width = (side // BLOCK * BLOCK for side in pair[0].shape)
        window = 2 ** (LEVELS - level) + 1
        for band in pair:
            bands.append((band[:height, :width], window))
    return bands


def _border_blocks(window: int) -> int:
    """Return the blocks left out on each side, so that no window crosses the border."""
    return -(-(window // 2) // BLOCK)


def _window_sums(values: Floats, window: int) -> Floats:
    """Return sums over square windows centred on the blocks that are not left out.

    They are added directly: differences of running sums would be too inexact in flat
    areas.
    """
    border = _border_blocks(window)
    top = BLOCK * border + BLOCK // 2 - window // 2
    for _ in ("rows", "columns"):
        length = BLOCK * (len(values) // BLOCK - 2 * border - 1) + 1
        total = values[top : top + length : BLOCK].copy()
        for start in range(top + 1, top + window):
            total += values[start : start + length : BLOCK]
        values = total.T
    return values


def edge_bands(picture: Array) -> list[tuple[Floats, Floats]]:
    """Build sub-bands of orientations 1 and 4 of the pyramid of a picture (H, W).

    Edges are mirrored about the edge sample, which is not repeated (``reflect1``).
    Returned are the responses to ``ACROSS_COLUMNS`` and ``ACROSS_ROWS`` for every
    level, finest first; level k, counted from 0, has the size of the picture divided by
    ``2 ** k``, rounded up.
    """
    from scipy.ndimage import correlate

    low = correlate(picture.astype(np.float64, copy=False), LOW_FIRST, mode="mirror")
    bands = []
    for level in range(LEVELS):
        if level:
            low = correlate(low, LOW_NEXT, mode="mirror")[::2, ::2]
        columns = correlate(low, ACROSS_COLUMNS, mode="mirror")
        rows = correlate(low, ACROSS_ROWS, mode="mirror")
        bands.append((columns, rows))
    return bands
