"""Where the tiles of an image lie: plain numbers that tiling makes, engines and blending read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from srcli.ports.image import Window

if TYPE_CHECKING:
    from collections.abc import Iterator


class Place(NamedTuple):
    """Where a tile lies in its image, and how large that is, in pixels."""

    top: int
    left: int
    height: int
    """Of the image, as ``width``."""
    width: int


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
    step: int = 1
    """Above 1 the engine is told where tiles lie; where they are large enough to allow it, they
    begin on multiples."""

    @property
    def count(self) -> int:
        """Tiles in all."""
        return len(self.tops) * len(self.lefts)

    def place(self, row: int, column: int) -> Place:
        """Where the tile of a row and a column lies."""
        return Place(self.tops[row], self.lefts[column], self.height, self.width)

    def places(self) -> Iterator[tuple[int, int, Window]]:
        """Yield (row, column, window) of every tile, row by row."""
        for row, top in enumerate(self.tops):
            for column, left in enumerate(self.lefts):
                window = Window(top=top, left=left, height=self.tile_height, width=self.tile_width)
                yield row, column, window
