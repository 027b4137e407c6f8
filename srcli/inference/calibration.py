"""Calibrate a network on a sample of a whole image, so that its tiles come out as the image would.

Channel attention takes mean, contrast and maximum of its input: of a tile, where the
network was made for pictures. Windows spread over the image give those of the image,
maxima nearly so.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from srcli.inference.tiling import read_with_edge
from srcli.ports.image import Source, TileGrid, Window

if TYPE_CHECKING:
    from srcli.inference.engine import Engine
    from srcli.layers.tiles import Calibration

WINDOW_SIDE = 28
"""Edge of a window, input pixels. Many small ones are better than few, down to this:
their margins (``srcli.layers.tiles.MARGIN``) are lost."""
MAX_WINDOWS = 84
"""Windows of an image; together a third more pixels than a batch of tiles on the
CPU."""
MAX_SHARE = 0.33
"""Largest share of the pixels of a small image."""
CANDIDATE_WINDOWS = 2048
"""Windows from which valid ones are chosen: all of a picture of 1,260x1,260."""


def calibrate(engine: Engine, source: Source, grid: TileGrid) -> Calibration | None:
    """Return the calibration of an image, for ``start`` of the engine.

    None where the network does not care, one tile holds the image, or no window is
    valid.
    """
    if not engine.calibrates or grid.count == 1:
        return None
    windows = sample(grid.height, grid.width)
    most = len(windows)
    pictures = _read_valid(source, grid, windows, most)
    if 2 * len(pictures) < most:
        # A flight along a road, a turned swath: look closer, there is little between
        # nodata.
        windows = sample(grid.height, grid.width, most=CANDIDATE_WINDOWS, share=1.0)
        closer = _read_valid(source, grid, windows, most)
        pictures = max(pictures, closer, key=len)
    while pictures:
        try:
            return engine.calibrate(pictures)
        except MemoryError:
            if len(pictures) == 1:
                break
            pictures = pictures[::2]
    return None


def sample(
    height: int, width: int, *, most: int = MAX_WINDOWS, share: float = MAX_SHARE
) -> list[Window]:
    """Spread windows evenly over an image, from top to bottom."""
    side = min(WINDOW_SIDE, height, width)
    most = min(most, max(int(share * height * width / side**2), 1))
    down = max(round(math.sqrt(most * height / width)), 1)
    down = min(down, most, -(-height // side))
    across = min(most // down, -(-width // side))
    corners = product(_centred(height, side, down), _centred(width, side, across))
    return [Window(top=y, left=x, height=side, width=side) for y, x in corners]


def _read_valid(
    source: Source, grid: TileGrid, windows: list[Window], most: int
) -> list[NDArray[Any]]:
    """Read windows that hold a valid pixel: all of them, or so many spread evenly over them."""
    pictures = []
    seen = 0
    stride = 1
    for window in windows:
        pixels = read_with_edge(source, window, grid)
        if pixels is None:
            continue
        if seen % stride == 0:
            pictures.append(pixels)
        seen += 1
        # no more are ever in memory, however many are looked at
        if len(pictures) > 2 * most:
            pictures = pictures[::2]
            stride *= 2
    count = min(most, len(pictures))
    return [pictures[(2 * i + 1) * len(pictures) // (2 * count)] for i in range(count)]


def _centred(length: int, side: int, count: int) -> list[int]:
    """Return first pixels of windows, each in the middle of one of ``count`` parts of an axis."""
    starts = []
    for number in range(count):
        start = round((number + 0.5) * length / count - side / 2)
        starts.append(min(max(start, 0), length - side))
    return starts
