"""Calibrate a network on a sample of a whole image, so that its tiles come out as the image would.

Channel attention takes mean, contrast and maximum of its input. In a tile these differ
from those of the whole image, for which such a network was made. Windows spread over the
image give those of the image, maxima nearly so.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from srcli.inference.tiling import read_with_edge
from srcli.ports import Source, TileGrid, Window

if TYPE_CHECKING:
    from srcli.inference.engine import Engine
    from srcli.layers.global_pools import Calibration

WINDOW_SIDE = 28
"""Edge of a window, input pixels. Many small ones are better than few, down to this:
their margins (``srcli.layers.global_pools.MARGIN``) are lost."""
MAX_WINDOWS = 84
"""Windows of an image; together a third more pixels than a batch of tiles on the
CPU."""
MAX_SHARE = 0.33
"""Largest share of the pixels of a small image."""
CANDIDATE_WINDOWS = 2048
"""Windows from which valid ones are chosen where few are: all of a picture of
1,260x1,260."""


def calibrate(engine: Engine, source: Source, grid: TileGrid) -> Calibration | None:
    """Return the calibration of an image, for ``start`` of the engine.

    None where the network needs none, one tile holds the image, no window is valid, or
    not even one fits into memory.
    """
    if not engine.calibrates or grid.count == 1:
        return None
    windows = sample(grid.height, grid.width)
    most = len(windows)
    samples = _read_valid(source, grid, windows, most)
    if 2 * len(samples) < most:
        # Nodata covers most of it, as in a flight along a road or a turned swath: look
        # at more windows.
        windows = sample(grid.height, grid.width, most=CANDIDATE_WINDOWS, share=1.0)
        closer = _read_valid(source, grid, windows, most)
        samples = max(samples, closer, key=len)
    while samples:
        try:
            return engine.calibrate(samples)
        except MemoryError:
            if len(samples) == 1:
                break
            samples = samples[::2]
    return None


def sample(
    height: int, width: int, *, most: int = MAX_WINDOWS, share: float = MAX_SHARE
) -> list[Window]:
    """Return windows spread evenly over an image, at most ``most`` and ``share`` of it."""
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
    """Read the windows that hold a valid pixel; of more than ``most``, evenly chosen ones."""
    samples = []
    seen = 0
    stride = 1
    for window in windows:
        pixels = read_with_edge(source, window, grid)
        if pixels is None:
            continue
        if seen % stride == 0:
            samples.append(pixels)
        seen += 1
        # no more are ever in memory, however many are looked at
        if len(samples) > 2 * most:
            samples = samples[::2]
            stride *= 2
    count = min(most, len(samples))
    return [samples[(2 * i + 1) * len(samples) // (2 * count)] for i in range(count)]


def _centred(length: int, side: int, count: int) -> list[int]:
    """Return first pixels of windows, each in the middle of one of ``count`` parts of an axis."""
    starts = []
    for number in range(count):
        start = round((number + 0.5) * length / count - side / 2)
        starts.append(min(max(start, 0), length - side))
    return starts
