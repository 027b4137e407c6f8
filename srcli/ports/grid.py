"""Where the tiles of an image lie: plain numbers that tiling makes, engines and blending read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
                window = Window(top=top, left=left, height=self.tile_height, width=self.tile_width)
                yield row, column, window
