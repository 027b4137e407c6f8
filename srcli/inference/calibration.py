"""Show a network a sample of a whole image, so that its tiles come out as the image would.

Channel attention takes mean and contrast of what it is given: of a tile, where the network was
made for pictures. Windows spread over the image tell it what it would have seen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.ports.engine import Engine, OutOfMemory
from srcli.ports.image import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.ports.grid import Grid
    from srcli.ports.image import Source

SIDE = 28
"""Edge of a window, input pixels. Many small ones tell more than few, down to this: their margins
(``srcli.layers.statistics.MARGIN``) are lost."""
MOST = 84
"""Windows of an image; together a third more pixels than a batch of tiles on the CPU."""
SHARE = 0.33
"""Of the pixels of a small image at most."""


def calibrate(engine: Engine, source: Source, grid: Grid) -> object | None:
    """Measure an image for ``Engine.run``.

    Returns:
        None where the network does not care, where one tile holds the image, and where no window
        has a valid pixel.

    Raises:
        SrxError: If the image cannot be read.
    """
    if not engine.calibrates or grid.count == 1:
        return None
    places = sample(source.height, source.width)
    valid: list[NDArray[Any]] = [
        pixels for each in places if (pixels := source.read(each)) is not None
    ]
    shown = sum(each.height * each.width for each in places)
    # Around a window without valid pixels there are none either.
    times = source.height * source.width / shown * len(valid)
    while valid:
        try:
            return engine.calibrate(np.stack(valid), times=times / len(valid))
        except OutOfMemory:
            if len(valid) == 1:
                break
            valid = valid[::2]
    return None


def sample(height: int, width: int) -> list[Window]:
    """Spread windows evenly over an image, from top to bottom.

    Args:
        height: Rows of the image.
        width: Columns of the image.
    """
    side = min(SIDE, height, width)
    most = min(MOST, max(int(SHARE * height * width / side**2), 1))
    down = min(max(round(math.sqrt(most * height / width)), 1), most, -(-height // side))
    across = min(most // down, -(-width // side))
    return [
        Window(top=top, left=left, height=side, width=side)
        for top in _centred(height, side, down)
        for left in _centred(width, side, across)
    ]


def _centred(length: int, side: int, count: int) -> list[int]:
    """First pixels of ``count`` windows, each in the middle of an equal part of an axis."""
    starts = [round((i + 0.5) * length / count - side / 2) for i in range(count)]
    return [min(max(start, 0), length - side) for start in starts]
