"""The information fidelity criterion (IFC) of Sheikh, Bovik and de Veciana.

"An information fidelity criterion for image quality assessment using natural scene statistics",
IEEE Transactions on Image Processing 14(12), 2005, in the vector form of the authors' release:
sub-bands of a steerable pyramid, each modelled as a Gaussian scale mixture of 3x3 blocks that pass
a channel with gain and additive noise. The criterion is the mutual information of the distorted
picture and the original, in bits per pixel; more is better and there is no upper bound.

The pyramid is Simoncelli and Freeman's (ICIP 1995) with the ``sp5`` filters that E. Simoncelli
published in matlabPyrTools and pyrtools, designed as in Karasaridis and Simoncelli (ICASSP 1996).
Of six orientations only the first and the fourth are built, because no other is used here. All
filters are even or odd about both of their axes. Each is therefore stored as one quadrant and
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


LOW_FIRST = Filter(np.array([
    [0.40304148, 0.15925570, -0.03848215],
    [0.15925570, 0.05586982, -0.01551246],
    [-0.03848215, -0.01551246, 0.00341614],
]))  # fmt: skip
"""``lo0filt``: low-pass for the finest level."""

LOW_NEXT = Filter(2 * np.array([
    [0.10096540, 0.08169618, 0.03981393, 0.01002988, -0.00962054],
    [0.08169618, 0.06426333, 0.03277038, 0.00410600, -0.00944432],
    [0.03981393, 0.03277038, 0.01396746, -0.00661117, -0.00387812],
    [0.01002988, 0.00410600, -0.00661117, -0.00523281, -0.00244917],
    [-0.00962054, -0.00944432, -0.00387812, -0.00244917, 0.00085404],
]))  # fmt: skip
"""``lofilt``: low-pass from one level to the next, which keeps every second sample."""

ACROSS_COLUMNS = Filter(np.array([
    [0.0, 0.11732297, -0.02755155, -0.01455399],
    [0.0, 0.08226445, -0.01189859, -0.01026699],
    [0.0, 0.03075356, 0.00893064, -0.00496194],
    [0.0, 0.01021852, 0.00986904, -0.00277643],
]), odd_axis=1)  # fmt: skip
"""First column of ``bfilts``: responds to vertical edges."""

ACROSS_ROWS = Filter(-ACROSS_COLUMNS.quadrant.T, odd_axis=0)
"""Fourth column of ``bfilts``: responds to horizontal edges."""

LEVELS = 4
BLOCK = 3
"""Edge of the blocks of coefficients that are the vectors of the scale mixture."""
MINIMUM = 9 * 2 ** (LEVELS - 1)
"""Smallest height and width, 72: no level may be smaller than the pyramid's 9x9 filter."""
FLAT = 1e-15
"""Energy below which a window is ignored, because no regression is possible."""
NOISE = 1e-10
"""Added to the variance of the channel's noise, so that equal pictures have a finite value."""
RANK = 1e-12
"""Eigenvalues below this fraction of the largest are rounding errors of 0."""


class IfcReference:
    """An original picture, prepared once for scoring many pictures.

    It is immutable, so threads may share it, and takes about 30 bytes per pixel.

    Args:
        hr: The original, (H, W) luma in 0..255, any real dtype, already cropped by the border that
            is left out; both sides at least ``MINIMUM``.

    Raises:
        ValueError: If a side is too small or a value is not finite.
    """

    def __init__(self, hr: Array) -> None:
        self.shape = hr.shape
        self._bands = [_ReferenceBand(values, window) for values, window in _bands(hr)]

    def score(self, sr: Array) -> float:
        """Return the criterion of a picture, (H, W) luma in 0..255, in bits per pixel.

        It is 0 or more; about 2 for bicubic at x4 and 6 at x2. It depends on rounding: compare
        values only of pictures that were quantised the same way.

        Raises:
            ValueError: If the shapes differ or a value is not finite.
        """
        if sr.shape != self.shape:
            raise ValueError(f"pictures differ in shape: {sr.shape} and {self.shape}")
        pairs = zip(self._bands, _bands(sr), strict=True)
        return sum(band.information(values) for band, (values, _) in pairs) / sr.size


class _ReferenceBand:
    """A sub-band of the original: its scale mixture, and its moments in every window."""

    def __init__(self, values: Floats, window: int) -> None:
        self._values = values
        self._window = window
        self._mean = _window_sums(values, window) / window**2
        self._energy = _centred(_window_sums(values**2, window), self._mean, window)
        variances, directions = np.linalg.eigh(block_covariance(values))
        kept = variances > RANK * variances[-1]  # a flat band keeps none
        self._variances = variances[kept]
        border = BLOCK * _border_blocks(window)
        blocks = _split_blocks(values[border : len(values) - border, border:-border])
        whitened = (directions[:, kept] / np.sqrt(self._variances)).T @ blocks
        # Maximum-likelihood multiplier of every block: its energy relative to the band's.
        self._scale = (whitened**2).sum(axis=0).reshape(self._mean.shape) / BLOCK**2

    def information(self, distorted: Floats) -> float:
        """Return the bits a distorted sub-band shares with this one, over all blocks."""
        window = self._window
        mean = _window_sums(distorted, window) / window**2
        energy = _centred(_window_sums(distorted**2, window), mean, window)
        shared = _window_sums(distorted * self._values, window) - window**2 * mean * self._mean
        # Regression distorted = gain * original + noise; a negative gain shares nothing.
        used = (self._energy >= FLAT) & (energy >= FLAT) & (shared > 0)
        gain = np.where(used, shared / (self._energy + FLAT), 0.0)
        noise = np.maximum(energy - gain * shared, 0.0) / window**2
        ratio = gain**2 * self._scale / (noise + NOISE)
        return float(sum(np.log2(1 + ratio * variance).sum() for variance in self._variances))


def block_covariance(values: Floats) -> Floats:
    """Return the covariance of the 3x3 blocks of a sub-band (H, W), overlapping ones included.

    It is (9, 9), the coefficients of a block in reading order.
    """
    height, width = (side - BLOCK + 1 for side in values.shape)
    views = [values[:, column : column + width] for column in range(BLOCK)]
    moments = np.empty((BLOCK, BLOCK, BLOCK, BLOCK))
    for down in range(BLOCK):
        for i, left in enumerate(views):
            for j, right in enumerate(views):
                # Products of whole rows are summed once; each row of a block takes some of them.
                sums = np.vecdot(left[: len(left) - down], right[down:])
                for row in range(BLOCK - down):
                    moment = sums[row : row + height].sum()
                    moments[row, i, row + down, j] = moments[row + down, j, row, i] = moment
    means = np.array([view[row : row + height].mean() for row in range(BLOCK) for view in views])
    size = BLOCK**2
    covariance: Floats = moments.reshape(size, size) / (height * width) - np.outer(means, means)
    return covariance


def _bands(picture: Array) -> list[tuple[Floats, int]]:
    """Return sub-bands cropped to whole blocks with their windows: 17, 9, 5, 3 from the finest."""
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
        bands += [(band[:height, :width], window) for band in pair]
    return bands


def _border_blocks(window: int) -> int:
    """Return the blocks left out on each side, so that no window crosses the border."""
    return -(-(window // 2) // BLOCK)


def _window_sums(values: Floats, window: int) -> Floats:
    """Return sums over square windows centred on the blocks that are not left out.

    They are added directly: differences of running sums would be too inexact in flat areas.
    """
    return _row_sums(_row_sums(values, window).T, window).T


def _row_sums(values: Floats, window: int) -> Floats:
    border = _border_blocks(window)
    first = BLOCK * border + BLOCK // 2 - window // 2
    length = BLOCK * (len(values) // BLOCK - 2 * border - 1) + 1
    total = values[first : first + length : BLOCK].copy()
    for row in range(first + 1, first + window):
        total += values[row : row + length : BLOCK]
    return total


def _centred(sums: Floats, mean: Floats, window: int) -> Floats:
    return np.maximum(sums - window**2 * mean**2, 0.0)


def _split_blocks(values: Floats) -> Floats:
    """Return the non-overlapping 3x3 blocks as (9, N), both in reading order."""
    rows, columns = values.shape[0] // BLOCK, values.shape[1] // BLOCK
    split = values.reshape(rows, BLOCK, columns, BLOCK)
    return split.transpose(1, 3, 0, 2).reshape(BLOCK**2, -1)


def edge_bands(picture: Array) -> list[tuple[Floats, Floats]]:
    """Build the sub-bands of orientations 1 and 4 of a steerable pyramid of a picture (H, W).

    Edges are mirrored about the edge sample, which is not repeated (``reflect1``).

    Returns:
        For every level, finest first, the responses to ``ACROSS_COLUMNS`` and ``ACROSS_ROWS``.
        Level k, counted from 0, has the size of the picture divided by ``2 ** k``, rounded up.
    """
    low = correlate(picture.astype(np.float64, copy=False), LOW_FIRST)
    bands = []
    for level in range(LEVELS):
        if level:
            low = correlate(low, LOW_NEXT, step=2)
        bands.append((correlate(low, ACROSS_COLUMNS), correlate(low, ACROSS_ROWS)))
    return bands


def correlate(picture: Floats, kernel: Filter, step: int = 1) -> Floats:
    """Correlate a picture (H, W) with a filter, its edges mirrored about the edge sample.

    Only every ``step``-th row and column is computed, from the first on.
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
