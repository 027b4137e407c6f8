"""The information fidelity criterion (IFC) of Sheikh, Bovik and de Veciana.

"An information fidelity criterion for image quality assessment using natural scene statistics",
IEEE Transactions on Image Processing 14(12), 2005, in the vector form of the authors' release:
sub-bands of a steerable pyramid, each modelled as a Gaussian scale mixture of 3x3 blocks that pass
a channel with gain and additive noise. The criterion is the mutual information of the distorted
picture and the original, in bits per pixel; more is better and there is no upper bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.metrics.steerable import SUPPORT, edge_bands

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]

LEVELS = 4
BLOCK = 3
"""Edge of the blocks of coefficients that are the vectors of the scale mixture."""
MINIMUM = SUPPORT * 2 ** (LEVELS - 1)
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
        """Return the information fidelity criterion of a picture, in bits per pixel.

        Args:
            sr: The picture to judge, (H, W) luma in 0..255 as the original.

        Returns:
            0 or more; about 2 for bicubic at x4 and 6 at x2. It depends on rounding: compare
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
    """Return the covariance of the 3x3 blocks of a sub-band, overlapping ones included.

    Args:
        values: (H, W), both sides at least 3.

    Returns:
        (9, 9), the coefficients of a block in reading order.
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
    for level, pair in enumerate(edge_bands(picture, LEVELS)):
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
