"""What packages share: an image's source, tiles and values, and reports of long work.

No torch type is named here. Pipelines report their progress, the command line draws it,
tests record it; by default nothing is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Wrap = Literal["", "x", "y", "both"]
"""Axes along which an image goes on at its opposite border: ``x`` for panoramas of 360
degrees, ``both`` for textures that are laid side by side; "" for none."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A rectangle of an image, in pixels from its upper left corner."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """Row below it."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """Column behind it."""
        return self.left + self.width


@dataclass(frozen=True, kw_only=True)
class TileGrid:
    """The tiles of an image; all have the same size.

    Neighbours share at least ``overlap`` pixels; the last tile of an axis is shifted
    inwards. An axis shorter than the tile has one tile of its own length.
    """

    height: int
    width: int
    tile_height: int
    tile_width: int
    overlap: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    step: int = 1
    """Above 1 the engine gets the positions of tiles; where tiles are large enough,
    they begin on multiples of it."""
    edge: int = 0
    """Of the pixels on each side, so many mirror the image, or go on at its opposite
    border; the output is without them."""
    wrap: Wrap = ""
    part: Window | None = None
    """Pixels of the image, without its edge, that are to come out; ``tops`` and
    ``lefts`` are then those of the tiles that they need. None for all of it."""

    @property
    def output(self) -> Window:
        """Pixels that come out, from the upper left corner of the edge."""
        if self.part is not None:
            top = self.part.top + self.edge
            left = self.part.left + self.edge
            return replace(self.part, top=top, left=left)
        height = self.height - 2 * self.edge
        width = self.width - 2 * self.edge
        return Window(top=self.edge, left=self.edge, height=height, width=width)

    @property
    def width_of_tiles(self) -> int:
        """Pixels from the left border of the first column of tiles to the right one of the last."""
        return self.lefts[-1] + self.tile_width - self.lefts[0]

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.tops) * len(self.lefts)

    @property
    def tile_megapixels(self) -> float:
        """As how much work a tile counts."""
        return self.tile_height * self.tile_width / 1e6

    def position(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Return top and left of a tile, and height and width of the image, in pixels."""
        return self.tops[row], self.lefts[column], self.height, self.width

    def windows(self) -> Iterator[tuple[int, int, Window]]:
        """Yield (row, column, window) of every tile, row by row."""
        for row, top in enumerate(self.tops):
            for column, left in enumerate(self.lefts):
                window = Window(
                    top=top, left=left, height=self.tile_height, width=self.tile_width
                )
                yield row, column, window


class Source(Protocol):
    """An image that can be read window by window: in memory, or a raster on disk."""

    height: int
    width: int
    channels: int
    """1 (gray) or 3 (RGB) of photographs; any number of bands of rasters."""
    dtype: np.dtype[Any]
    """uint8, uint16 or float32 of photographs; any real one of rasters."""

    def read(self, window: Window) -> NDArray[Any] | None:
        """Return (window.height, window.width, channels) of ``dtype``.

        None if the window holds no valid pixel: it needs no network, its output has no
        meaning.
        """


ValueRange = tuple[float, float]
"""Values that are the network's 0 and 1, the second above the first."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """The values of one image; the same for all of its tiles, so that tiles fit each other."""

    dtype: np.dtype[Any]
    """Of the pixels of input and output."""
    ranges: tuple[ValueRange, ...]
    """One for each band, or one for all."""
    most: float | None = None
    """Highest value that the output can store; None is that of the dtype."""

    def __post_init__(self) -> None:
        """Raise a ``ValueError`` for a range that is empty or not finite."""
        for low, high in self.ranges:
            if not (math.isfinite(high - low) and high > low):
                raise ValueError(
                    f"expected a finite low below high, got {low} and {high}"
                )


def are_units(low: float, high: float) -> bool:
    """Return True if floats from ``low`` to ``high`` look as if 0 were black and 1 white.

    They lie between both and use a good part of it, or are 0 all over; fractions of a
    thousandth are quantities of their own, which a network for 0 to 1 would bury under
    its errors.
    """
    return low >= 0 and (high == 0 or 0.25 <= high <= 1)


Stop = Callable[[], bool]
"""Returns True once the user has asked to stop; called often by long work."""


class Task:
    """One running piece of work, shown as a bar or a line."""

    def advance(self, amount: float = 1.0) -> None:
        """Add to the work that is done, in the unit of the task."""

    def grow(self, amount: float) -> None:
        """Add to the total: work on one more thing, such as a picture, begins."""

    def extend(self, amount: float) -> None:
        """Add to the total, or take from it: more has become known of what has begun."""
        self.grow(amount)

    def describe(self, text: str) -> None:
        """Replace the text shown beside the bar."""

    def add_waiting(self, seconds: Mapping[str, float]) -> None:
        """Add the seconds for which work stood still, by what it waited for."""

    def close(self) -> None:
        """End the task, done or not."""


class Progress:
    """Receives the reports of pipelines."""

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a piece of work of ``total`` units (None: unknown).

        The unit ``"%"`` shows the share that is done, where amounts mean nothing to users.
        """
        return Task()

    def message(self, text: str) -> None:
        """Report something worth a line."""

    def warn(self, text: str) -> None:
        """Report something that the user should act on."""

    def detail(self, *lines: str) -> None:
        """Report something for --verbose, such as the lines of a traceback."""


class ForwardedProgress(Progress):
    """Passes all reports on to another progress; for subclasses that change some of them."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a piece of work; see ``Progress``."""
        return self.progress.task(label, total=total, unit=unit)

    def reword(self, text: str) -> str:
        """Return the words in which a line is passed on."""
        return text

    def message(self, text: str) -> None:
        """Pass a message on."""
        self.progress.message(self.reword(text))

    def warn(self, text: str) -> None:
        """Pass a warning on."""
        self.progress.warn(self.reword(text))

    def detail(self, *lines: str) -> None:
        """Pass lines for --verbose on."""
        self.progress.detail(*map(self.reword, lines))
