"""The seam to whatever runs a network on tiles; it names no torch type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from srcli.ports.image import TileGrid, TilePosition


class OutOfMemory(Exception):  # noqa: N818 - a signal between engine and batching, never shown
    """A batch did not fit into the device's memory; a smaller one may."""


class Band(Protocol):
    """The rows of an enlarged image that are being blended; lives where the engine works."""

    def add(self, tile: object, *, row: int, column: int) -> None:
        """Blend one enlarged tile of grid place (row, column) in, or zeros for None.

        Tiles come row by row, from left to right. The first may begin any row of tiles: rows then
        come out from where that one shares none with the row above.
        """

    def finished(self) -> list[tuple[int, NDArray[Any]]]:
        """Rows that no later tile touches: (first output row, (h, W, C) in the source's dtype).

        In order, from top to bottom, maybe in several pieces; they belong to the caller.
        """


class Engine(Protocol):
    """Enlarges batches of tiles."""

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along each side."""

    @property
    def calibrates(self) -> bool:
        """True if the network pools over whole pictures, so that tiles want a calibration."""

    @property
    def seeks_extremes(self) -> bool:
        """True if it pools maxima, for which windows with sharp edges are wanted too."""

    def calibrate(
        self, windows: NDArray[Any], *, extremes: int = 0, times: float = 1.0
    ) -> object | None:
        """Measure what the network's global pools see of a whole image.

        Args:
            windows: (N, H, W, C) of the image, as ``run`` takes tiles.
            extremes: Windows at the end that were chosen for their sharp edges; the others are
                spread evenly.
            times: Size of the image relative to the part of it that these were chosen from.

        Returns:
            The ``calibration`` for ``run``; None where no finite values came out.

        Raises:
            OutOfMemory: If there are too many windows.
        """

    def batch_size(self, height: int, width: int) -> int:
        """Return the number of tiles of this size to try at once."""

    def run(
        self,
        tiles: NDArray[Any],
        calibration: object | None = None,
        positions: Sequence[TilePosition] | None = None,
    ) -> Sequence[object | None]:
        """Enlarge tiles.

        Args:
            tiles: (N, H, W, C) as read: uint8, uint16, or float32 in [0, 1]; an engine made for
                other values takes those.
            calibration: Of the image that all of them are of; None takes each tile for a whole one.
            positions: Of each in its image, for grids with a ``step`` above 1; else None.

        Returns:
            One handle a tile for ``Band.add``; None where the network gave no finite values.

        Raises:
            OutOfMemory: If the batch is too large.
        """

    def band(self, grid: TileGrid, *, channels: int, dtype: np.dtype[Any]) -> Band:
        """Return a new band for an image cut by ``grid``."""
