"""Images held in memory, as source and sink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.ports.image import Window


class ArraySource:
    """An array (H, W, C) as a source.

    Args:
        pixels: uint8, uint16, or float32 in [0, 1]; C is 1 or 3.
    """

    def __init__(self, pixels: NDArray[Any]) -> None:
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
            raise ValueError(f"expected (H, W, 1) or (H, W, 3), got {pixels.shape}")
        if pixels.dtype not in (np.uint8, np.uint16, np.float32):
            raise ValueError(f"expected uint8, uint16 or float32, got {pixels.dtype}")
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
        channels: 1 or 3.
        dtype: Of the rows that will come.
    """

    def __init__(self, height: int, width: int, channels: int, dtype: np.dtype[Any]) -> None:
        self.pixels: NDArray[Any] = np.empty((height, width, channels), dtype)

    def write(self, top: int, rows: NDArray[Any]) -> None:
        """Store rows that begin at ``top``."""
        self.pixels[top : top + rows.shape[0]] = rows
