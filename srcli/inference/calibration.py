"""Calibrate a network on a sample of a whole image, so that its tiles come out as the image would.

Channel attention takes mean, contrast and maximum of its input: of a tile, where the
network was made for pictures. Windows spread over the image give those of the image,
maxima nearly so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from srcli.inference.tiling import read_mirrored
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
    places = sample(grid.height, grid.width)
    spread = _valid(source, grid.edge, places, len(places))
    if 2 * len(spread) < len(places):
        # A flight along a road, a turned swath: look closer, there is little between
        # nodata.
        closer = sample(grid.height, grid.width, most=CANDIDATE_WINDOWS, share=1.0)
        spread = max(spread, _valid(source, grid.edge, closer, len(places)), key=len)
    while spread:
        try:
            return engine.calibrate(spread)
        except MemoryError:
            spread = spread[::2] if len(spread) > 1 else []
    return None


def sample(
    height: int, width: int, *, most: int = MAX_WINDOWS, share: float = MAX_SHARE
) -> list[Window]:
    """Spread windows evenly over an image, from top to bottom."""
    side = min(WINDOW_SIDE, height, width)
    most = min(most, max(int(share * height * width / side**2), 1))
    down = min(
        max(round(math.sqrt(most * height / width)), 1), most, -(-height // side)
    )
    across = min(most // down, -(-width // side))
    return [
        Window(top=top, left=left, height=side, width=side)
        for top in _centred(height, side, down)
        for left in _centred(width, side, across)
    ]


def _valid(
    source: Source, edge: int, places: list[Window], most: int
) -> list[NDArray[Any]]:
    """Read windows that hold a valid pixel: all of them, or so many spread evenly over them."""
    found: list[NDArray[Any]] = []
    seen, every = 0, 1
    for each in places:
        pixels = read_mirrored(source, each, edge)
        if pixels is None:
            continue
        if seen % every == 0:
            found.append(pixels)
        seen += 1
        if len(found) > 2 * most:  # no more are ever held, however many are looked at
            found, every = found[::2], 2 * every
    count = min(most, len(found))
    return [found[(2 * i + 1) * len(found) // (2 * count)] for i in range(count)]


def _centred(length: int, side: int, count: int) -> list[int]:
    """First pixels of ``count`` windows, each in the middle of an equal part of an axis."""
    starts = [round((i + 0.5) * length / count - side / 2) for i in range(count)]
    return [min(max(start, 0), length - side) for start in starts]
