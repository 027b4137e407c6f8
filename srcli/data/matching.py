"""Find LR pictures that show something else than their HR pictures, or are shifted.

Both are averaged to the same blocks. Detail is what remains of a block without the mean
of its neighbours; correlations of blocks and of detail decide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.pixels.arrays import Array

GRID = 64
"""Blocks along the shorter side, which both pictures are averaged to."""
FEWEST = 256
"""Blocks that a pair has at least; smaller ones pass."""
LEAST_DETAIL = 0.002
"""Standard deviation of the detail, as a share of white; flatter pairs pass."""
SIMILAR = 0.6
"""Correlation of blocks above which both may show one subject. It was above 0.8 in
all pairs made by our degradations, and below 0.5 in 600 pairs of different photographs.
Of 8,400 right pairs none was refused, of 2,100 wrong ones 2,092 were."""
ALIGNED = 0.12
"""Correlation of detail above which a pair is right. It was above 0.29 in all right pairs,
and below 0.06 in pairs of different photographs."""
SHIFTED = 0.4
"""Correlation of detail, once one picture is shifted, above which the shift is certain."""
NEAR = 1
"""Largest shift in LR pixels that passes: many sets are cropped, sampled or registered so."""
COMPARABLE = 0.15
"""Least ratio of the deviations of both details at which a pair can be called two pictures:
noise over a plain area and strong blur lie below it. By it and ``NEAR`` none of 4,668 pairs
with noise, blur or a shift of a pixel was refused (231 without), and 537 of 552 wrong ones
were (539)."""

Plane = NDArray[np.float64]


def mismatch(hr: Array, lr: Array, scale: int) -> str:
    """Say how LR (H, W, 3) differs from HR, ``scale`` times larger; empty for a right pair."""
    from scipy.ndimage import uniform_filter

    step = max(min(lr.shape[:2]) // GRID, 1)
    small = _blocks(lr, step)
    large = _blocks(hr, step * scale)
    small_detail = small - uniform_filter(small, 5)
    large_detail = large - uniform_filter(large, 5)
    detail = min(small_detail.std(), large_detail.std())
    most_detail = max(small_detail.std(), large_detail.std())
    is_flat = detail < LEAST_DETAIL * np.iinfo(lr.dtype).max
    if is_flat or small.size < FEWEST:
        return ""
    # negatives and other spectral bands show the same edges
    if abs(_correlation(small_detail, large_detail)) > ALIGNED:
        return ""
    spectrum = np.fft.fft2(small_detail) * np.fft.fft2(large_detail).conj()
    matches = np.fft.ifft2(spectrum).real
    shift = np.unravel_index(matches.argmax(), matches.shape)
    rolled = np.roll(large_detail, shift, (0, 1))
    if _correlation(small_detail, rolled) > SHIFTED:
        offsets = []
        for blocks, count in zip(shift, matches.shape, strict=True):
            offsets.append(step * ((int(blocks) + count // 2) % count - count // 2))
        if max(map(abs, offsets)) <= NEAR:
            return ""
        return (
            f"lies about {offsets[0]} pixels lower and {offsets[1]} further right than"
        )
    is_comparable = detail > COMPARABLE * most_detail
    if is_comparable and _correlation(small, large) < SIMILAR:
        return "shows another picture than"
    return ""


def _blocks(picture: Array, step: int) -> Plane:
    """Average (H, W, 3) over its channels and squares of ``step`` x ``step`` pixels."""
    height, width = (side // step for side in picture.shape[:2])
    cropped = picture[: height * step, : width * step]
    blocks = cropped.reshape(height, step, width, step, 3)
    return np.asarray(blocks.mean(axis=(1, 3, 4)))


def _correlation(a: Plane, b: Plane) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
