"""Cut an image into overlapping tiles, and weigh them so that they join without a border."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from srcli.errors import UsageError
from srcli.imaging.pixels.arrays import Array, Floats
from srcli.models import entry_of
from srcli.ports import Source, TileGrid, Window, Wrap

if TYPE_CHECKING:
    from srcli.layers.network import Network

TRIM = 0.25
"""Share of the overlap, at each of its ends, where the tile whose border is near gets
no weight."""
WHOLE_TILE = 1 << 20
"""Tile edge of networks whose pictures are not cut: longer than any picture."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Tile, overlap and edge of images, in input pixels."""

    tile: int
    """Longest edge of a tile."""
    overlap: int
    """Pixels that neighbouring tiles share at least, below half the tile."""
    edge: int = 0
    """Pixels mirrored around the image while it is enlarged."""
    step: int = 1
    """Tiles begin on multiples of it, as far as they are large enough; above 1 the
    engine gets their positions."""
    whole: int = 0
    """Most pixels, counted with the edge, of images that are one tile whatever their
    shape: they need neither overlap nor calibration."""

    def grid(self, height: int, width: int) -> TileGrid:
        """Cut an image, whose size includes its edge, into tiles no longer than they need be."""
        tile = self.tile
        overlap = self.overlap
        step = self.step
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

    def padded_grid(self, height: int, width: int, wrap: Wrap = "") -> TileGrid:
        """Add the edge around an image of ``height`` x ``width`` pixels, and cut it.

        Where it goes on at its opposite border (``wrap``), the edge is at least as wide
        as the overlap.
        """
        edge = self.edge
        if wrap:
            edge = max(edge, self.overlap)
        grid = self.grid(height + 2 * edge, width + 2 * edge)
        return replace(grid, edge=edge, wrap=wrap)


def choose_tiling(
    model: str, network: Network, tile: int | None = None, overlap: int | None = None
) -> Tiling:
    """Return the tiling of a model or weights file: its own, or what the user asked for."""
    entry = entry_of(model, network)
    default_tile, default_overlap = network.tiling
    whole_pixels = 0
    if entry:
        default_tile = entry.tile
        default_overlap = entry.overlap
        if tile is None:
            whole_pixels = entry.whole
    if not network.tiles:
        default_tile = WHOLE_TILE
    tile = tile or default_tile
    if overlap is None:
        overlap = min(default_overlap, (tile - 1) // 2)
    return Tiling(
        tile=tile,
        overlap=overlap,
        edge=network.edge,
        step=network.tile_step,
        whole=whole_pixels,
    )


def balanced(length: int, *, tile: int, overlap: int, step: int = 1) -> int:
    """Return the shortest tile that covers an axis with as many tiles as ``tile`` needs.

    Without it the last tile, shifted inwards, would compute most of its pixels a second
    time: 300 pixels in tiles of 192 are 384 computed, in tiles of 158 they are 316.
    With a ``step`` the last tile, which ends with the axis, begins on a multiple of it.
    """
    if length <= tile:
        return length
    longest = tile - (tile - length) % step
    # tiles are too small to begin on multiples of the step
    if longest <= overlap or _stride(longest, overlap, step) % step:
        longest = tile
        step = 1
    count = 1 - (length - longest) // -_stride(longest, overlap, step)
    size = -(-(length + (count - 1) * overlap) // count)
    size += (length - size) % step
    while size < longest and (count - 1) * _stride(size, overlap, step) + size < length:
        size += step
    return size


def _stride(tile: int, overlap: int, step: int) -> int:
    """Return the pixels from one tile to the next, by ``step`` where tiles are large enough."""
    aligned = (tile - overlap) // step * step
    return aligned if aligned > overlap else tile - overlap


def split_axis(
    length: int, *, tile: int, overlap: int, step: int = 1
) -> tuple[int, ...]:
    """Return the first pixels of the tiles along one axis, increasing.

    They are multiples of ``step`` where the last tile, which ends with the axis, can
    begin on one, and where tiles are large enough.
    """
    if length <= tile:
        return (0,)
    if (length - tile) % step:
        step = 1
    stride = _stride(tile, overlap, step)
    return (*range(0, length - tile, stride), length - tile)


@dataclass(frozen=True)
class TileAxis:
    """The tiles along one axis of an image, and how neighbours hand over to each other."""

    starts: Sequence[int]
    """First input pixels of the tiles, increasing."""
    tile: int
    """Input pixels of a tile."""
    overlap: int
    scale: int = 1
    """Output pixels per input pixel."""

    def joint(self, index: int) -> tuple[float, float]:
        """Return the first and last place where a tile hands over to the next, input pixels.

        Both are equal where there is no overlap. A joint is half as wide as the overlap,
        and the middles of two neighbouring ones are (starts[i + 2] - starts[i]) / 2
        apart. As 2 * overlap < tile, three tiles in a row never start within one
        overlap, so joints cannot touch; this holds for balanced tiles and for a last
        tile that is shifted inwards too.
        """
        middle = (self.starts[index] + self.tile + self.starts[index + 1]) / 2
        half = self.overlap * (1 - 2 * TRIM) / 2
        return middle - half, middle + half

    def ramp(self, index: int) -> tuple[int, int]:
        """Return the output pixels in which a tile hands over to the next.

        Returned are the first pixel in which both have a weight, and the first behind
        it in which only the next tile has one. They are equal where nothing is blended,
        as at both ends of the axis: for the index -1 and for the last tile.
        """
        if index < 0:
            start = self.starts[0] * self.scale
            return start, start
        if index + 1 == len(self.starts):
            length = (self.starts[index] + self.tile) * self.scale
            return length, length
        begin, end = self.joint(index)
        # Pixel i has its centre at (i + 0.5) / scale. The places are quarters: nothing
        # is rounded here.
        start = math.floor(begin * self.scale - 0.5) + 1
        return start, max(start, math.ceil(end * self.scale - 0.5))

    def weights(self, index: int) -> Floats:
        """Return the weights of a tile's output pixels, (tile * scale,) in [0, 1].

        Between neighbours the weight moves along a smoothstep curve in the middle of
        what they share, no wider than ``overlap``; so a tile shifted inwards changes no
        weight far from the border.
        """
        pixels = np.arange(self.tile * self.scale)
        centres = self.starts[index] + (pixels + 0.5) / self.scale
        weights = np.ones(len(pixels))
        if index > 0:
            weights *= _rise(centres, *self.joint(index - 1))
        if index + 1 < len(self.starts):
            weights *= 1.0 - _rise(centres, *self.joint(index))
        return weights.astype(np.float32)


def rows_of(grid: TileGrid, scale: int) -> TileAxis:
    """Return the axis along which rows of tiles follow each other, from top to bottom."""
    return TileAxis(grid.tops, grid.tile_height, grid.overlap, scale)


def columns_of(grid: TileGrid, scale: int) -> TileAxis:
    """Return the axis along which columns of tiles follow each other, from left to right."""
    return TileAxis(grid.lefts, grid.tile_width, grid.overlap, scale)


def _rise(
    centres: NDArray[np.float64], begin: float, end: float
) -> NDArray[np.float64]:
    """Return the weights of pixels, 0 before ``begin`` and 1 from ``end`` on."""
    if end <= begin:
        return (centres > begin).astype(np.float64)
    t = np.clip((centres - begin) / (end - begin), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def read_with_edge(source: Source, window: Window, grid: TileGrid) -> Array | None:
    """Read a window of a grid, which may reach into the edge around the image.

    The edge mirrors the image, or goes on at its opposite border. None where the window
    holds no valid pixel.
    """
    top = window.top - grid.edge
    left = window.left - grid.edge
    row_pieces = [_mirrored(top, window.height, source.height)]
    column_pieces = [_mirrored(left, window.width, source.width)]
    mirrored = partial(_read_pixels, source, row_pieces[0], column_pieces[0])
    if not grid.wrap:
        return mirrored()
    if grid.wrap in ("y", "both"):
        row_pieces = _wrapped(top, window.height, source.height)
    if grid.wrap in ("x", "both"):
        column_pieces = _wrapped(left, window.width, source.width)
    strips = []
    for rows in row_pieces:
        strip = []
        for columns in column_pieces:
            pixels = _read_pixels(source, rows, columns)
            if pixels is None:  # nothing lies at the opposite border
                return mirrored()
            strip.append(pixels)
        strips.append(np.concatenate(strip, axis=1))
    return np.concatenate(strips)


def _read_pixels(
    source: Source, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> Array | None:
    """Read pixels of some rows and columns, which may come in any order and repeatedly."""
    # nothing else need be read: mirrored pixels are copies of these
    inside = Window(
        top=int(rows.min()),
        left=int(columns.min()),
        height=int(np.ptp(rows)) + 1,
        width=int(np.ptp(columns)) + 1,
    )
    pixels = source.read(inside)
    down = rows[-1] - rows[0] + 1
    across = columns[-1] - columns[0] + 1
    if pixels is None or (down, across) == (len(rows), len(columns)):
        return pixels
    chosen: Array
    chosen = pixels[np.ix_(rows - inside.top, columns - inside.left)]
    return chosen


def _wrapped(start: int, length: int, axis_length: int) -> list[NDArray[np.intp]]:
    """Return the pixels of an axis in a stretch of its repetitions, cut where each begins."""
    positions = np.arange(start, start + length) % axis_length
    return np.split(positions, np.flatnonzero(positions[1:] == 0) + 1)


def _mirrored(start: int, length: int, axis_length: int) -> NDArray[np.intp]:
    """Return the pixels of an axis that lie in a stretch of it and its mirror images."""
    places = np.arange(start, start + length) % (2 * axis_length)
    return np.minimum(places, 2 * axis_length - 1 - places)


def tile_rows(grid: TileGrid, output_rows: range, scale: int) -> range:
    """Return the rows of tiles that suffice for rows of what comes out of a grid."""
    top = grid.output.top * scale
    rows = range(output_rows.start + top, output_rows.stop + top)
    return _tiles_for(rows_of(grid, scale), rows)


def cut_grid(grid: TileGrid, part: Window, scale: int) -> TileGrid:
    """Return those tiles of a grid that a part of the image needs.

    The part, pixels of the image without its edge, comes out as it does with all tiles.
    """
    grid = replace(grid, part=part)
    output = grid.output
    rows = range(output.top * scale, output.bottom * scale)
    columns = range(output.left * scale, output.right * scale)
    chosen_rows = _tiles_for(rows_of(grid, scale), rows)
    chosen_columns = _tiles_for(columns_of(grid, scale), columns)
    return replace(
        grid,
        tops=grid.tops[chosen_rows.start : chosen_rows.stop],
        lefts=grid.lefts[chosen_columns.start : chosen_columns.stop],
    )


def _tiles_for(axis: TileAxis, pixels: range) -> range:
    """Return the tiles along an axis that suffice for some output pixels.

    These come out as if all tiles were computed. The first tile gives none of the
    pixels that it shares with the one before it; so where such pixels are needed, the
    tile before is the first.
    """
    start = 0
    stop = 1
    for index in range(len(axis.starts) - 1):
        # Pixels from ``end`` on wait for the next tile, which is alone from ``core`` on.
        end, core = axis.ramp(index)
        if core <= pixels.start:
            start += 1
        if end <= pixels.stop - 1:
            stop += 1
    return range(start, stop)
