"""Fill fully transparent pixels with the colours around them, which upscaling would mix in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.resize import to_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float32]


def fill_transparent(pixels: Array, alpha: Array) -> Array:
    """Replace the colours of fully transparent pixels by those of nearby visible ones.

    Programs leave any colour (often black) where nothing is seen; a network that looks at such
    pixels would draw it into the visible edge. Here means over visible pixels are taken in blocks
    of 2x2, 4x4, ..., and every transparent pixel gets that of the smallest block that has one.

    Args:
        pixels: (H, W, C), any real dtype.
        alpha: (H, W); 0 is fully transparent.

    Returns:
        (H, W, C) of the same dtype, visible pixels unchanged; the same array if there is nothing
        to fill or nothing to fill it with.

    Raises:
        ValueError: If the sizes differ.
    """
    if pixels.ndim != 3 or pixels.shape[:2] != alpha.shape:
        raise ValueError(f"expected (H, W, C) and (H, W), got {pixels.shape} and {alpha.shape}")
    holes = alpha == 0
    known = ~holes
    if pixels.dtype.kind == "f":
        known &= np.isfinite(pixels).all(axis=2)
    if not holes.any() or not known.any():
        return pixels
    colours = _means(np.where(known[:, :, None], pixels, 0), known)
    rows, columns = np.nonzero(holes)
    filled = pixels.copy()
    values = colours[rows // 2, columns // 2]
    filled[rows, columns] = to_dtype(values.astype(np.float64), pixels.dtype)
    return filled


def _means(colours: Array, known: NDArray[np.bool_]) -> Floats:
    """Mean colours of the known pixels of 2x2 blocks; without any, those of a larger block."""
    counts = _sums(known[:, :, None])
    means = _sums(colours)
    means /= np.maximum(counts, 1)
    seen = counts[:, :, 0] > 0
    if not seen.all():
        coarser = _means(means, seen)
        rows, columns = np.nonzero(~seen)
        means[rows, columns] = coarser[rows // 2, columns // 2]
    return means


def _sums(values: Array) -> Floats:
    """Sums over blocks of 2x2; blocks at the far edges of odd sizes are smaller."""
    height, width = values.shape[:2]
    rows = np.zeros(((height + 1) // 2, width, values.shape[2]), dtype=np.float32)
    rows += values[::2]
    rows[: height // 2] += values[1::2]
    out = rows[:, ::2].copy()
    out[:, : width // 2] += rows[:, 1::2]
    return out
