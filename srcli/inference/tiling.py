"""Cut an image into overlapping tiles, and weigh them so that they join without a border."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcli.errors import UsageError
from srcli.ports.image import Source, TileGrid, Window


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Tile, overlap and edge of images, in input pixels."""

    tile: int
    """Longest edge of a tile."""
    overlap: int
    """Pixels that neighbouring tiles share at least, below half the tile."""
    edge: int = 0
    """Mirrored around the image while it is enlarged."""
    step: int = 1
    """Tiles begin on multiples of it, as far as they are large enough; above 1 the
    engine gets their positions."""
    whole: int = 0
    """Images of at most so many pixels, with their edge, are one tile whatever their
    shape: they need neither overlap nor calibration."""

    def grid(self, height: int, width: int) -> TileGrid:
        """Cut an image, counted with its edge, into tiles as short as their number allows."""
        tile, overlap, step = self.tile, self.overlap, self.step
        if overlap < 0 or 2 * overlap >= tile:
            raise UsageError(
                f"--overlap must be at least 0 and below half of --tile {tile}, got {overlap}"
            )
        if height * width <= self.whole:
            tile = max(tile, height, width)
        tile_height = balanced(height, tile=tile, overlap=overlap, step=step)
        tile_width = balanced(width, tile=tile, overlap=overlap, step=step)
        return TileGrid(
            height=height,
            width=width,
            tile_height=tile_height,
            tile_width=tile_width,
            overlap=overlap,
            tops=split_axis(height, tile=tile_height, overlap=overlap, step=step),
            lefts=split_axis(width, tile=tile_width, overlap=overlap, step=step),
            step=step,
        )

    def padded_grid(self, height: int, width: int) -> TileGrid:
        """Cut an image of ``height`` x ``width`` pixels with its mirrored edge."""
        rim = 2 * self.edge
        return replace(self.grid(height + rim, width + rim), edge=self.edge)


def balanced(length: int, *, tile: int, overlap: int, step: int = 1) -> int:
    """Shortest tile that covers an axis with as many tiles as ``tile`` needs.

    Without it the last tile, shifted inwards, would compute most of its pixels a second
    time: 300 pixels in tiles of 192 are 384 computed, in tiles of 158 they are 316.
    With a ``step`` the last tile, which ends with the axis, begins on a multiple of it.
    """
    if length <= tile:
        return length
    longest = tile - (tile - length) % step
    if (
        longest <= overlap or _stride(longest, overlap, step) % step
    ):  # too small for that
        longest, step = tile, 1
    count = 1 - (length - longest) // -_stride(longest, overlap, step)
    size = -(-(length + (count - 1) * overlap) // count)
    size += (length - size) % step
    while size < longest and (count - 1) * _stride(size, overlap, step) + size < length:
        size += step
    return size


def _stride(tile: int, overlap: int, step: int) -> int:
    """Pixels from one tile to the next: a multiple of ``step`` where tiles are large enough."""
    aligned = (tile - overlap) // step * step
    return aligned if aligned > overlap else tile - overlap


def split_axis(
    length: int, *, tile: int, overlap: int, step: int = 1
) -> tuple[int, ...]:
    """First pixels of the tiles along one axis, increasing.

    They are multiples of ``step`` where the last tile, which ends with the axis, can
    begin on one, and where tiles are large enough.
    """
    if length < 1:
        raise ValueError(f"expected a length of at least 1, got {length}")
    if length <= tile:
        return (0,)
    stride = _stride(tile, overlap, step if (length - tile) % step == 0 else 1)
    return (*range(0, length - tile, stride), length - tile)


TRIM = 0.25
"""Share of the overlap, at each of its ends, where the tile whose border is near gets
no weight."""


def axis_weights(
    starts: Sequence[int], index: int, *, tile: int, overlap: int, scale: int
) -> NDArray[np.float32]:
    """Return the weights of tile ``index`` along one axis, (tile * scale,) in [0, 1].

    Between neighbours the weight moves along a smoothstep curve in the middle of what
    they share, no wider than ``overlap``; so a tile shifted inwards changes no weight
    far from the border. ``starts`` are the first input pixels of all tiles of the axis,
    increasing.
    """
    centres = starts[index] + (np.arange(tile * scale) + 0.5) / scale
    weights = np.ones(tile * scale)
    if index > 0:
        weights *= _rise(centres, *joint(starts, index - 1, tile, overlap))
    if index + 1 < len(starts):
        weights *= 1.0 - _rise(centres, *joint(starts, index, tile, overlap))
    return weights.astype(np.float32)


def ramp(
    starts: Sequence[int], index: int, *, tile: int, overlap: int, scale: int
) -> tuple[int, int]:
    """Return the output pixels in which tile ``index`` hands over to the next.

    These are the first in which both have a weight, and the first after it in which
    only the next tile has one; equal where nothing is blended.
    """
    first, last = joint(starts, index, tile, overlap)
    # Pixel i has its centre at (i + 0.5) / scale. The places are quarters: nothing is
    # rounded here.
    start = math.floor(first * scale - 0.5) + 1
    return start, max(start, math.ceil(last * scale - 0.5))


def joint(
    starts: Sequence[int], index: int, tile: int, overlap: int
) -> tuple[float, float]:
    """Return the first and last place where tile ``index`` hands over to the next, input pixels.

    Both are equal where there is no overlap. The middles of two neighbouring joints are
    as far apart as half of what lies between the first pixels of a tile and of the next
    but one. A joint is half as wide as the overlap. As 2 * overlap < tile, three tiles
    in a row never start within one overlap, so joints cannot touch; this holds for
    balanced tiles and for a last tile that is shifted inwards too.
    """
    middle = (starts[index] + tile + starts[index + 1]) / 2
    half = overlap * (1 - 2 * TRIM) / 2
    return middle - half, middle + half


def _rise(
    centres: NDArray[np.float64], first: float, last: float
) -> NDArray[np.float64]:
    if last <= first:
        return (centres > first).astype(np.float64)
    t = np.clip((centres - first) / (last - first), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def read_mirrored(source: Source, window: Window, edge: int) -> NDArray[Any] | None:
    """Read a window of an image with ``edge`` pixels of its mirror image on each of its sides.

    None where it holds no valid pixel.
    """
    top, height, above, below = _inside(window.top - edge, window.height, source.height)
    left, width, before, behind = _inside(
        window.left - edge, window.width, source.width
    )
    # what is mirrored is no more valid than the rest
    pixels = source.read(Window(top=top, left=left, height=height, width=width))
    if pixels is None or not (above or below or before or behind):
        return pixels
    padded = np.pad(
        pixels, ((above, below), (before, behind), (0, 0)), mode="symmetric"
    )
    top, left = window.top - edge + above - top, window.left - edge + before - left
    return padded[top : top + window.height, left : left + window.width]


def _inside(start: int, length: int, whole: int) -> tuple[int, int, int, int]:
    """First position and number of those to read on an axis, and of those mirrored at both ends."""
    before, behind = max(-start, 0), max(start + length - whole, 0)
    first = 0 if before else max(min(start, whole - behind), 0)
    stop = whole if behind else min(max(start + length, before), whole)
    return first, stop - first, before, behind


def tile_rows(grid: TileGrid, output_rows: range, scale: int) -> range:
    """Return the rows of tiles that give some output rows as if all were done.

    A row of tiles that comes first gives nothing of what it shares with the row above,
    so that rows which need that are computed from the row of tiles above.
    """
    # ends[row]: first output row that waits for the next row of tiles; it is alone from
    # cores[row]
    ramps = [
        ramp(grid.tops, row, tile=grid.tile_height, overlap=grid.overlap, scale=scale)
        for row in range(len(grid.tops) - 1)
    ]
    edge = grid.edge * scale
    top, last = output_rows.start + edge, output_rows.stop - 1 + edge
    first = sum(core <= top for _, core in ramps)
    return range(first, sum(end <= last for end, _ in ramps) + 1)
