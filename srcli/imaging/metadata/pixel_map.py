"""Places of pixels and areas of a picture once it was turned upright or enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srcli.imaging.pixels.arrays import Size


@dataclass(frozen=True)
class PixelMap:
    """Map of a picture's pixels to those of another: turned first, then resized.

    Positions are measured from the upper left corner, in pixels or as shares of the
    picture's sides.
    """

    before: Size
    """(height, width) of the pixels as they were."""
    after: Size
    """(height, width) of the new pixels."""
    orientation: int = 1
    """1 to 8 as EXIF numbers them: how the old pixels were turned."""

    @property
    def swaps_sides(self) -> bool:
        """True if width and height change places."""
        return self.orientation > 4

    @property
    def changes_nothing(self) -> bool:
        """True if the pixels are where they were."""
        return self.orientation == 1 and self.before == self.after

    @property
    def for_shares(self) -> PixelMap:
        """The same for positions and sizes as shares, 0 to 1, of width and height."""
        return PixelMap((1, 1), (1, 1), self.orientation)

    def size(self, values: Sequence[float]) -> list[float]:
        """Map a width and a height, or numbers of pixels per length."""
        return self.area((0, 0, *values))[2:]

    def area(self, values: Sequence[float], *, corner: bool = False) -> list[float]:
        """Map a point (x, y), a circle (x, y, diameter) or a box (x, y, width, height).

        x and y are the centre, or else the upper left corner of the box.
        """
        x, y, *extent = values
        across, down = (*extent, *extent, 0.0, 0.0)[:2]
        shift = 0.5 if corner else 0.0
        height, width = self.before
        x = (x + shift * across) / width
        y = (y + shift * down) / height
        if self.swaps_sides:
            x, y, across, down, height, width = y, x, down, across, width, height
        if self.orientation in (3, 4, 7, 8):
            y = 1 - y
        if self.orientation in (2, 3, 6, 7):
            x = 1 - x
        new_height, new_width = self.after
        across = across * new_width / width
        down = down * new_height / height
        x = x * new_width - shift * across
        y = y * new_height - shift * down
        return [x, y, across, down][: len(values)]
