"""Repeat the outermost pixels around an image while it is enlarged, so that its edges stay clean.

Convolutions pad with zeros, which a network takes for a black frame: on flat areas the outermost
pixels come out too dark. A few repeated pixels, cut away afterwards, keep the frame out of sight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.inference.stream import Work
from srcli.inference.tiling import make_grid
from srcli.ports.image import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.inference.tiling import Tiling
    from srcli.ports.image import Sink, Source


class PaddedSource:
    """An image with its outermost pixels repeated.

    Args:
        source: The image.
        edge: Pixels added on each of the four sides.
    """

    def __init__(self, source: Source, edge: int) -> None:
        self.source = source
        self.edge = edge
        self.height = source.height + 2 * edge
        self.width = source.width + 2 * edge
        self.channels = source.channels
        self.dtype = source.dtype

    def read(self, window: Window) -> NDArray[Any]:
        """Return a window of the padded image."""
        source, edge = self.source, self.edge
        rows = np.arange(window.height) + (window.top - edge)
        columns = np.arange(window.width) + (window.left - edge)
        rows = rows.clip(0, source.height - 1)
        columns = columns.clip(0, source.width - 1)
        inner = Window(
            top=int(rows[0]),
            left=int(columns[0]),
            height=int(rows[-1] - rows[0]) + 1,
            width=int(columns[-1] - columns[0]) + 1,
        )
        pixels = source.read(inner)
        if pixels.shape[:2] == (window.height, window.width):
            return pixels
        padded: NDArray[Any] = pixels[rows - rows[0]][:, columns - columns[0]]
        return padded


class CroppedSink:
    """Cuts the enlarged edge off before rows reach the sink.

    Args:
        sink: Takes the image without edge.
        edge: Output pixels to cut on each side.
        height: Output rows without edge.
    """

    def __init__(self, sink: Sink, edge: int, height: int) -> None:
        self.sink = sink
        self.edge = edge
        self.height = height

    def write(self, top: int, rows: NDArray[Any]) -> None:
        """Pass on what lies inside."""
        first = max(self.edge - top, 0)
        last = min(self.edge + self.height - top, rows.shape[0])
        if last > first:
            inner = rows[first:last, self.edge : rows.shape[1] - self.edge]
            self.sink.write(top + first - self.edge, inner)


def make_work(source: Source, sink: Sink, *, name: str, scale: int, tiling: Tiling) -> Work:
    """Cut an image into tiles, with repeated pixels around it.

    Args:
        source: The image.
        sink: Takes the enlarged rows, (scale H, scale W) in all.
        name: Names the image in errors.
        scale: Of the engine.
        tiling: Tile, overlap and edge.

    Raises:
        UsageError: If tile and overlap do not fit each other.
    """
    if tiling.edge:
        sink = CroppedSink(sink, tiling.edge * scale, source.height * scale)
        source = PaddedSource(source, tiling.edge)
    grid = make_grid(source.height, source.width, tile=tiling.tile, overlap=tiling.overlap)
    return Work(name=name, source=source, sink=sink, grid=grid)
