"""Source and sink of images in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.ports.image import Window


class ArraySource:
    """An array (H, W, C) as a source.

    Args:
        pixels: uint8, uint16, or float32 in [0, 1] with one channel or three; for engines made for
            other values also those, with any number of channels.
    """

    def __init__(self, pixels: NDArray[Any]) -> None:
        if pixels.ndim != 3 or 0 in pixels.shape:
            raise ValueError(f"expected (H, W, C), got {pixels.shape}")
        if pixels.dtype.kind not in "uif":
            raise ValueError(f"expected integers or floats, got {pixels.dtype}")
        self.pixels = pixels
        self.height, self.width, self.channels = pixels.shape
        self.dtype = pixels.dtype

    def read(self, window: Window) -> NDArray[Any]:
        """Return a view of the window."""
        bottom, right = window.top + window.height, window.left + window.width
        view: NDArray[Any] = self.pixels[window.top : bottom, window.left : right]
        return view


class ArraySink:
    """Collect rows in an array.

    Args:
        height: Output rows.
        width: Output columns.
        channels: Of the rows that will come.
        dtype: Of the rows that will come.
    """

    def __init__(self, height: int, width: int, channels: int, dtype: np.dtype[Any]) -> None:
        self.pixels: NDArray[Any] = np.empty((height, width, channels), dtype)

    def write(self, top: int, rows: NDArray[Any]) -> None:
        """Store rows that begin at ``top``."""
        self.pixels[top : top + rows.shape[0]] = rows
