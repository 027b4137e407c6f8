"""Weights that join overlapping tiles without a visible border; they sum to one everywhere."""

from __future__ import annotations

import math
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
    """Return the weights of tile ``index`` along one axis.

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
        weights *= _rise(centres, *_joint(starts, index - 1, tile, overlap))
    if index + 1 < len(starts):
        weights *= 1.0 - _rise(centres, *_joint(starts, index, tile, overlap))
    return weights.astype(np.float32)


def joints(starts: Sequence[int], *, tile: int, overlap: int) -> list[tuple[float, float]]:
    """Return the places along an axis where each tile hands over to the next.

    Args:
        starts: First input pixels of all tiles of the axis, increasing.
        tile: Their length, input pixels.
        overlap: Nominal overlap, input pixels.

    Returns:
        First and last place of every handing over, input pixels; equal where there is no overlap.
        They never overlap each other: between them is a core that belongs to one tile alone.
    """
    return [_joint(starts, index, tile, overlap) for index in range(len(starts) - 1)]


def ramp(
    starts: Sequence[int], index: int, *, tile: int, overlap: int, scale: int
) -> tuple[int, int]:
    """Return the output pixels in which tile ``index`` hands over to the next.

    Args:
        starts: First input pixels of all tiles of the axis, increasing.
        index: Which tile; not the last.
        tile: Their length, input pixels.
        overlap: Nominal overlap, input pixels.
        scale: Output pixels per input pixel.

    Returns:
        The first pixel in which both have a weight, and the first after it in which only the next
        tile has one; equal where nothing is blended.
    """
    first, last = _joint(starts, index, tile, overlap)
    # Pixel i has its centre at (i + 0.5) / scale. The places are quarters: nothing is rounded here.
    start = math.floor(first * scale - 0.5) + 1
    return start, max(start, math.ceil(last * scale - 0.5))


def _joint(starts: Sequence[int], index: int, tile: int, overlap: int) -> tuple[float, float]:
    """Return the first and last place where tile ``index`` hands over to the next, input pixels.

    The middles of two neighbouring joints are as far apart as half of what lies between the first
    pixels of a tile and of the next but one. A joint is half as wide as the overlap. As
    2 * overlap < tile, three tiles in a row never start within one overlap, so joints cannot touch;
    this holds for balanced tiles and for a last tile that is shifted inwards too. Only an offset
    can squeeze a tile between two that nearly cover the axis by themselves; there joints are made
    as narrow as their distance, or the weights would not sum to one.
    """
    middle = (starts[index] + tile + starts[index + 1]) / 2
    width = overlap * (1 - 2 * TRIM)
    if index > 0:
        width = min(width, (starts[index + 1] - starts[index - 1]) / 2)
    if index + 2 < len(starts):
        width = min(width, (starts[index + 2] - starts[index]) / 2)
    return middle - width / 2, middle + width / 2


def _rise(centres: NDArray[np.float64], first: float, last: float) -> NDArray[np.float64]:
    if last <= first:
        return (centres > first).astype(np.float64)
    t = np.clip((centres - first) / (last - first), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
