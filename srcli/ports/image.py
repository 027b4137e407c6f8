"""Images as windows and tiles: sources that they are read from, sinks for finished rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Window:
    """A rectangle of an image, in pixels from its upper left corner."""

    top: int
    left: int
    height: int
    width: int


class TilePosition(NamedTuple):
    """The upper left corner of a tile in its image, and the image's size, in pixels."""

    top: int
    left: int
    height: int
    """Of the image, as ``width``."""
    width: int


@dataclass(frozen=True, kw_only=True)
class TileGrid:
    """The tiles of an image; all have the same size.

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
    """Above 1 the engine gets the positions of tiles; where tiles are large enough, they begin on
    multiples of it."""

    @property
    def count(self) -> int:
        """Tiles in all."""
        return len(self.tops) * len(self.lefts)

    def position(self, row: int, column: int) -> TilePosition:
        """Return the position of the tile of a row and a column."""
        return TilePosition(self.tops[row], self.lefts[column], self.height, self.width)

    def windows(self) -> Iterator[tuple[int, int, Window]]:
        """Yield (row, column, window) of every tile, row by row."""
        for row, top in enumerate(self.tops):
            for column, left in enumerate(self.lefts):
                window = Window(top=top, left=left, height=self.tile_height, width=self.tile_width)
                yield row, column, window


class Source(Protocol):
    """An image that can be read window by window: in memory, or a raster on disk."""

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def width(self) -> int:
        """Columns."""

    @property
    def channels(self) -> int:
        """1 (gray) or 3 (RGB) of photographs; any number of bands of rasters."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8, uint16 or float32 of photographs; any real one of rasters."""

    def read(self, window: Window) -> NDArray[Any] | None:
        """Return (window.height, window.width, channels) of ``dtype``.

        None says that the window holds no valid pixel: no network is needed, and whatever comes out
        there means nothing.
        """


class Sink(Protocol):
    """Takes the rows of an enlarged image from top to bottom."""

    def write(self, top: int, rows: NDArray[Any]) -> None:
        """Store (h, W, channels) rows that begin at output row ``top``."""
