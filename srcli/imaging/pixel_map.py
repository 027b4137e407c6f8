"""Places in a picture before and after it was turned upright and resized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class PixelMap:
    """How the pixels of a picture became those of another: turned first, then resized.

    Places are measured from the upper left corner, in pixels or as parts of the picture's sides.
    """

    before: tuple[int, int]
    """(height, width) of the pixels as they were."""
    after: tuple[int, int]
    """(height, width) of the new pixels."""
    orientation: int = 1
    """1 to 8 as EXIF numbers them: how the old pixels were turned."""

    @property
    def swaps(self) -> bool:
        """True if width and height change places."""
        return self.orientation > 4

    @property
    def changes_nothing(self) -> bool:
        """True if the pixels are where they were."""
        return self.orientation == 1 and self.before == self.after

    @property
    def turned(self) -> tuple[int, int]:
        """(height, width) after turning, before resizing."""
        return self.before[::-1] if self.swaps else self.before

    def part(self, x: float, y: float) -> tuple[float, float]:
        """Map a place that is given as parts, 0 to 1, of width and height."""
        if self.swaps:
            x, y = y, x
        if self.orientation in (3, 4, 7, 8):
            y = 1 - y
        if self.orientation in (2, 3, 6, 7):
            x = 1 - x
        return x, y

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Map a place in pixels."""
        height, width = self.before
        x, y = self.part(x / width, y / height)
        return x * self.after[1], y * self.after[0]

    def size(self, across: float, down: float) -> tuple[float, float]:
        """Map a width and a height in pixels, or numbers of pixels per length."""
        if self.swaps:
            across, down = down, across
        height, width = self.turned
        return across * self.after[1] / width, down * self.after[0] / height

    def area(self, values: Sequence[float]) -> list[float]:
        """Map an area of EXIF: a centre (x, y), and nothing, a diameter, or width and height."""
        x, y, *extent = values
        if len(extent) == 1:
            return [*self.point(x, y), self.size(extent[0], extent[0])[0]]
        return [*self.point(x, y), *self.size(*extent)] if extent else [*self.point(x, y)]
