"""Cache the rows of a raster that are in use, so that each block is decoded about once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srcli.ports.image import Window

if TYPE_CHECKING:
    from collections.abc import Callable

Layers = tuple[NDArray[Any], ...]
"""Arrays (h, w, layers) of one window."""


class RowCache:
    """Windows of an image, cut from cached strips of its full width.

    A grid of tiles is read row by row, and each row of tiles crosses all blocks of some rows of
    blocks. Strips that a window does not touch are dropped: the pixels of a window never depend on
    earlier ones.

    Args:
        load: Reads a window: a fixed number of arrays (h, w, layers).
        width: Of the image.
        height: Of the image.
        strip: Rows of a strip.
        shift: Rows by which the first strip is shorter, less than ``strip``.
        most: Most strips to keep; a window that needs more is loaded directly.
    """

    def __init__(
        self,
        load: Callable[[Window], Layers],
        *,
        height: int,
        width: int,
        strip: int,
        shift: int,
        most: int,
    ) -> None:
        self._load = load
        self._height = height
        self._width = width
        self._strip = strip
        self._shift = shift
        self._most = most
        self._held: dict[int, Layers] = {}

    def read(self, window: Window) -> Layers:
        """Return the arrays of a window inside the image; they may be views of cached ones.

        Raises:
            PictureError: If ``load`` raises it.
        """
        bottom = window.top + window.height
        first = (window.top + self._shift) // self._strip
        last = (bottom - 1 + self._shift) // self._strip
        numbers = range(first, last + 1)
        if len(numbers) > self._most:
            self._held.clear()
            return self._load(window)
        for number in [one for one in self._held if one not in numbers]:
            del self._held[number]
        for number in numbers:
            if number not in self._held:
                self._held[number] = self._load(self._place(number))
        parts = [self._part(number, window) for number in numbers]
        if len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(layers) for layers in zip(*parts, strict=True))

    def clear(self) -> None:
        """Drop all strips."""
        self._held.clear()

    def _place(self, number: int) -> Window:
        top = max(number * self._strip - self._shift, 0)
        bottom = min((number + 1) * self._strip - self._shift, self._height)
        return Window(top=top, left=0, height=bottom - top, width=self._width)

    def _part(self, number: int, window: Window) -> Layers:
        place = self._place(number)
        first = max(window.top - place.top, 0)
        last = min(window.top + window.height - place.top, place.height)
        right = window.left + window.width
        return tuple(layer[first:last, window.left : right] for layer in self._held[number])
