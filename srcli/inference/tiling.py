"""Cut an image into overlapping tiles of one size; integers only, no arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.errors import UsageError
from srcli.ports.image import Window

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where the tiles of an image lie; all have the same size.

    Neighbours share at least ``overlap`` pixels; the last tile of an axis is shifted inwards. An
    axis shorter than the tile has one tile of its own length.
    """

    height: int
    width: int
    tile_height: int
    tile_width: int
    overlap: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @property
    def count(self) -> int:
        """Tiles in all."""
        return len(self.tops) * len(self.lefts)

    def places(self) -> Iterator[tuple[int, int, Window]]:
        """Yield (row, column, window) of every tile, row by row."""
        for row, top in enumerate(self.tops):
            for column, left in enumerate(self.lefts):
                window = Window(
                    top=top, left=left, height=self.tile_height, width=self.tile_width
                )
                yield row, column, window


def make_grid(height: int, width: int, *, tile: int, overlap: int, offset: int = 0) -> Grid:
    """Cut a ``height`` x ``width`` image into tiles.

    Args:
        height: Rows of the image, at least 1.
        width: Columns of the image, at least 1.
        tile: Edge of a tile, input pixels.
        overlap: Pixels that neighbouring tiles share at least, below half the tile.
        offset: Moves the inner tile borders by this many pixels to the upper left (to measure seams).

    Raises:
        UsageError: If tile and overlap do not fit each other.
    """
    if tile < 1:
        raise UsageError(f"--tile must be at least 1, got {tile}")
    if overlap < 0 or 2 * overlap >= max(tile, 1):
        raise UsageError(f"--overlap must be at least 0 and below half of --tile {tile}, got {overlap}")
    return Grid(
        height=height,
        width=width,
        tile_height=min(tile, height),
        tile_width=min(tile, width),
        overlap=overlap,
        tops=split_axis(height, tile=tile, overlap=overlap, offset=offset),
        lefts=split_axis(width, tile=tile, overlap=overlap, offset=offset),
    )


def split_axis(length: int, *, tile: int, overlap: int, offset: int = 0) -> tuple[int, ...]:
    """First pixels of the tiles along one axis, increasing.

    Args:
        length: Pixels of the axis, at least 1.
        tile: Length of a tile.
        overlap: Pixels shared by neighbours at least.
        offset: Moves all tiles but the first and the last towards the start.
    """
    if length < 1:
        raise ValueError(f"expected a length of at least 1, got {length}")
    if length <= tile:
        return (0,)
    stride = tile - overlap
    last = length - tile
    inner = range(stride - offset % stride, last, stride)
    return (0, *inner, last)
