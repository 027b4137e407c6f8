"""Weights that join overlapping tiles without a visible border; they sum to one everywhere."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TRIM = 0.25
"""Share of the overlap, at each of its ends, where the tile whose border is near gets no weight."""


def axis_weights(
    starts: Sequence[int], index: int, *, tile: int, overlap: int, scale: int
) -> NDArray[np.float32]:
    """Weights of tile ``index`` along one axis.

    Between neighbours the weight moves along a smoothstep curve in the middle of what they share,
    no wider than ``overlap``; so a tile shifted inwards changes no weight far from the border.

    Args:
        starts: First input pixels of all tiles of the axis, increasing.
        index: Which tile.
        tile: Its length, input pixels.
        overlap: Nominal overlap, input pixels.
        scale: Output pixels per input pixel.

    Returns:
        (tile * scale,) in [0, 1].
    """
    centres = starts[index] + (np.arange(tile * scale) + 0.5) / scale
    weights = np.ones(tile * scale)
    if index > 0:
        weights *= _rise(centres, starts[index - 1] + tile, starts[index], overlap)
    if index + 1 < len(starts):
        weights *= 1.0 - _rise(centres, starts[index] + tile, starts[index + 1], overlap)
    return weights.astype(np.float32)


def joints(starts: Sequence[int], *, tile: int, overlap: int) -> list[tuple[float, float]]:
    """Where one tile hands over to the next along an axis.

    Args:
        starts: First input pixels of all tiles of the axis, increasing.
        tile: Their length, input pixels.
        overlap: Nominal overlap, input pixels.

    Returns:
        First and last place of every handing over, input pixels; equal where there is no overlap.
    """
    half = overlap * (1 - 2 * TRIM) / 2
    middles = [(a + tile + b) / 2 for a, b in itertools.pairwise(starts)]
    return [(middle - half, middle + half) for middle in middles]


def _rise(
    centres: NDArray[np.float64], end_before: int, start_after: int, overlap: int
) -> NDArray[np.float64]:
    middle = (end_before + start_after) / 2
    width = overlap * (1 - 2 * TRIM)
    if width <= 0:
        return (centres > middle).astype(np.float64)
    t = np.clip((centres - middle) / width + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
