"""Sizes and places of pixels: pictures that fit into boxes, or are turned and enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools, Size, strips
from srcli.imaging.pixels.resize import resize_to
from srcli.ports import Wrap


@dataclass(frozen=True, kw_only=True)
class Box:
    """Bounds of a picture's sides in pixels; None for a side that may have any length."""

    width: int | None = None
    height: int | None = None
    longest: int | None = None
    """Of the longer side."""

    def fitted(self, size: Size) -> Size:
        """Return the largest size (height, width) of this shape that fits; never a larger one."""
        return scale_size(size, min(self._largest_factor(size), Fraction(1)))

    def filled(self, size: Size) -> Size:
        """Return the largest size (height, width) of this shape that fits."""
        return scale_size(size, self._largest_factor(size))

    def _largest_factor(self, size: Size) -> Fraction:
        height, width = size
        bounds = (
            (self.height, height),
            (self.width, width),
            (self.longest, max(height, width)),
        )
        return min(
            (Fraction(most, side) for most, side in bounds if most), default=Fraction(1)
        )


def scale_size(size: Size, factor: Fraction) -> Size:
    """Return a size with both sides so many times as long, each at least 1."""
    return max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)


def shrink(
    image: Array, size: Size, wrap: Wrap = "", folder: Path | None = None
) -> Array:
    """Resize (H, W) or (H, W, C) to (height, width) by bicubic interpolation with antialiasing.

    Any real dtype is kept, as is the range of the values. ``wrap`` and
    ``folder`` are those of ``resize``.
    """
    if image.shape[:2] == size:
        return image
    smaller = resize_to(image, size, wrap, folder)
    # Bicubic overshoots: what was clear, opaque or white all around must stay exactly
    # so.
    low, high = extremes(image)
    for rows in strips(smaller):
        np.clip(smaller[rows], low, high, out=smaller[rows])
    return smaller


def extremes(image: Array) -> tuple[Any, Any]:
    """Return the lowest and the highest value of an array that has any."""
    lows = []
    highs = []
    for rows in strips(image):
        lows.append(image[rows].min())
        highs.append(image[rows].max())
    return min(lows), max(highs)


def shrink_mask(mask: Bools, size: Size) -> Bools:
    """Downscale a mask (H, W); a pixel is set where any part of it is."""
    starts = [
        np.arange(new) * old // new for new, old in zip(size, mask.shape, strict=True)
    ]
    rows = np.logical_or.reduceat(mask, starts[0], axis=0)
    return np.logical_or.reduceat(rows, starts[1], axis=1)


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
