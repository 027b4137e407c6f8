"""Images as windows: where tiles are read from and where finished rows go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Window:
    """A rectangle of an image, in pixels from its upper left corner."""

    top: int
    left: int
    height: int
    width: int


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
