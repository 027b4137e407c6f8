"""Sources and sinks of images: in memory, and padded by the mirror image to keep edges clean.

Convolutions pad with zeros, which a network takes for a black frame: on flat areas the outermost
pixels come out too dark. A few mirrored pixels, cut away afterwards, keep the frame out of sight.
The outermost pixel comes twice: repeated more often, or as the mirror's axis, it costs the edges
of photographs a decibel (EXPERIMENTS.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.mapped import release
from srcli.imaging.resize import mirrored
from srcli.inference.stream import Work
from srcli.inference.tiling import ramp
from srcli.ports.image import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.inference.tiling import Tiling
    from srcli.ports.image import Sink, Source, TileGrid


class PaddedSource:
    """An image padded by its mirror image."""

    def __init__(self, source: Source, edge: int) -> None:
        self.source = source
        self.edge = edge
        self.height = source.height + 2 * edge
        self.width = source.width + 2 * edge
        self.channels = source.channels
        self.dtype = source.dtype

    def read(self, window: Window) -> NDArray[Any] | None:
        """Return a window of the padded image; None where it holds no valid pixel."""
        source, edge = self.source, self.edge
        rows = mirrored(np.arange(window.height) + (window.top - edge), source.height)
        columns = mirrored(np.arange(window.width) + (window.left - edge), source.width)
        top, left = int(rows.min()), int(columns.min())
        inner = Window(
            top=top,
            left=left,
            height=int(rows.max()) + 1 - top,
            width=int(columns.max()) + 1 - left,
        )
        pixels = source.read(inner)
        if pixels is None:  # what is mirrored is not valid either
            return None
        if inner == replace(window, top=window.top - edge, left=window.left - edge):
            return pixels
        padded: NDArray[Any] = pixels[rows - top][:, columns - left]
        return padded


class CroppedSink:
    """Crop the enlarged edge off before rows reach the sink."""

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


def make_work(
    source: Source,
    sink: Sink,
    *,
    name: str,
    scale: int,
    tiling: Tiling,
    rows: range | None = None,
) -> Work:
    """Cut an image into tiles, with mirrored pixels around it.

    Args:
        source: The image.
        sink: Takes the enlarged rows, (scale H, scale W) in all.
        name: Names the image in errors.
        scale: Of the engine.
        tiling: Tile, overlap and edge.
        rows: Rows of tiles to do (see ``tile_rows``), one after another. None for images that
            share batches with others (see ``Work.rows``).
    """
    grid = padded_grid(source.height, source.width, tiling)
    if tiling.edge:
        sink = CroppedSink(sink, tiling.edge * scale, source.height * scale)
        source = PaddedSource(source, tiling.edge)
    return Work(name=name, source=source, sink=sink, grid=grid, rows=rows)


def padded_grid(height: int, width: int, tiling: Tiling) -> TileGrid:
    """Cut an image of ``height`` x ``width`` pixels as ``make_work`` does, with its edge."""
    return tiling.grid(height + 2 * tiling.edge, width + 2 * tiling.edge)


def tile_rows(grid: TileGrid, output_rows: range, scale: int, edge: int) -> range:
    """Return the rows of tiles that give some output rows as if all were done.

    A row of tiles that comes first gives nothing of what it shares with the row above, so that
    rows which need that are computed from the row of tiles above.

    Args:
        grid: How the image was cut, with its edge: ``padded_grid``.
        output_rows: Rows of the enlarged image without edge that are wanted, at least one.
        scale: Output pixels per input pixel.
        edge: Input pixels mirrored around the image.
    """
    # ends[row]: first output row that waits for the next row of tiles; it is alone from cores[row]
    ramps = [
        ramp(grid.tops, row, tile=grid.tile_height, overlap=grid.overlap, scale=scale)
        for row in range(len(grid.tops) - 1)
    ]
    top, last = output_rows.start + edge * scale, output_rows.stop - 1 + edge * scale
    first = sum(core <= top for _, core in ramps)
    return range(first, sum(end <= last for end, _ in ramps) + 1)


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
    """Collect rows in an array."""

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        dtype: np.dtype[Any],
        pixels: NDArray[Any] | None = None,
    ) -> None:
        if pixels is None:
            pixels = np.empty((height, width, channels), dtype)
        self.pixels = pixels

    def write(self, top: int, rows: NDArray[Any]) -> None:
        """Store rows that begin at ``top``."""
        self.pixels[top : top + rows.shape[0]] = rows
        release(self.pixels)
