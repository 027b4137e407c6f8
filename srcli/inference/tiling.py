"""Cut an image into overlapping tiles of one size; integers only, no arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

from srcli.errors import UsageError
from srcli.ports.image import TileGrid

_SMALLEST_TILE = 32
"""Tiles are not halved below this size."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Tile, overlap and edge of images, in input pixels."""

    tile: int
    overlap: int
    edge: int = 0
    """Mirrored around the image while it is enlarged."""
    step: int = 1
    """Tiles begin on multiples of it; above 1 the engine gets their positions."""

    def grid(self, height: int, width: int, *, offset: int = 0) -> TileGrid:
        """Cut an image as ``make_grid`` does; ``height`` and ``width`` are with its edge.

        Raises:
            UsageError: If tile and overlap do not fit each other.
        """
        return make_grid(
            height, width, tile=self.tile, overlap=self.overlap, offset=offset, step=self.step
        )

    def halved(self) -> Tiling | None:
        """Return the tiling to try after running out of memory; None if tiles are small already."""
        tile = self.tile // 2
        if tile < _SMALLEST_TILE:
            return None
        return replace(self, tile=tile, overlap=min(self.overlap, tile // 4))


def make_grid(
    height: int, width: int, *, tile: int, overlap: int, offset: int = 0, step: int = 1
) -> TileGrid:
    """Cut a ``height`` x ``width`` image into tiles.

    Args:
        height: Rows of the image, at least 1.
        width: Columns of the image, at least 1.
        tile: Longest edge of a tile, input pixels; tiles are as short as their number allows.
        overlap: Pixels that neighbouring tiles share at least, below half the tile.
        offset: Moves the inner tile borders by this many pixels up and left, to measure seams.
        step: Tiles begin on multiples of it, as far as they are large enough and ``offset`` is one.

    Raises:
        UsageError: If tile and overlap do not fit each other.
    """
    if tile < 1:
        raise UsageError(f"--tile must be at least 1, got {tile}")
    if overlap < 0 or 2 * overlap >= max(tile, 1):
        raise UsageError(
            f"--overlap must be at least 0 and below half of --tile {tile}, got {overlap}"
        )
    tile_height = balanced(height, tile=tile, overlap=overlap, step=step)
    tile_width = balanced(width, tile=tile, overlap=overlap, step=step)
    return TileGrid(
        height=height,
        width=width,
        tile_height=tile_height,
        tile_width=tile_width,
        overlap=overlap,
        tops=split_axis(height, tile=tile_height, overlap=overlap, offset=offset, step=step),
        lefts=split_axis(width, tile=tile_width, overlap=overlap, offset=offset, step=step),
        step=step,
    )


def balanced(length: int, *, tile: int, overlap: int, step: int = 1) -> int:
    """Shortest tile that covers an axis with as many tiles as ``tile`` needs.

    Without it the last tile, shifted inwards, would compute most of its pixels a second time: 300
    pixels in tiles of 192 are 384 computed, in tiles of 158 they are 316. With a ``step`` the last
    tile, which ends with the axis, begins on a multiple of it.
    """
    if length <= tile:
        return length
    longest = tile - (tile - length) % step
    if longest <= overlap or _stride(longest, overlap, step) % step:  # too small for that
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
    length: int, *, tile: int, overlap: int, offset: int = 0, step: int = 1
) -> tuple[int, ...]:
    """First pixels of the tiles along one axis, increasing.

    Args:
        length: Pixels of the axis, at least 1.
        tile: Length of a tile.
        overlap: Pixels shared by neighbours at least.
        offset: Moves all tiles but the first and the last towards the start.
        step: Tiles begin on multiples of it where the last one, which ends with the axis, can,
            and where they are large enough.
    """
    if length < 1:
        raise ValueError(f"expected a length of at least 1, got {length}")
    if length <= tile:
        return (0,)
    stride = _stride(tile, overlap, step if (length - tile) % step == 0 else 1)
    last = length - tile
    inner = range(stride - offset % stride, last, stride)
    return (0, *inner, last)
