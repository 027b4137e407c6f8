"""Where to look at a raster to know its values without reading all of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from srcli.ports.image import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from srcli.imaging.rasters.info import RasterInfo

    Place = tuple[Window, tuple[int, int]]


def sample_windows(
    info: RasterInfo, window: Window, *, pixels: int, blocks: int
) -> Iterator[Place]:
    """Choose windows of a raster to look at, the same ones each time.

    A window that is small enough is taken whole; of a larger one an overview, unless its pixels
    are marked by a mask, which may have none; otherwise blocks spread over it, thinned out.

    Args:
        info: The file.
        window: The part of it that counts.
        pixels: How many to look at, at most.
        blocks: How many blocks to decode, at most.

    Yields:
        Windows of the file and the (height, width) to thin each out to.
    """
    if window.height * window.width <= pixels:
        yield window, (window.height, window.width)
        return
    for factor in sorted(info.overviews):
        height, width = max(window.height // factor, 1), max(window.width // factor, 1)
        if height * width <= pixels and info.mask not in ("dataset", "band"):
            yield window, (height, width)
            return
    yield from _spread(info, window, pixels, blocks)


def _spread(info: RasterInfo, window: Window, pixels: int, blocks: int) -> Iterator[Place]:
    bottom, right = window.top + window.height, window.left + window.width
    rows = range(window.top // info.block_height, -(-bottom // info.block_height))
    columns = range(window.left // info.block_width, -(-right // info.block_width))
    # as many along each side as fit its length
    across = round(math.sqrt(blocks * len(columns) / len(rows)))
    across = min(max(across, 1), len(columns), blocks)
    down = min(blocks // across, len(rows))
    each = max(pixels // (across * down), 1)
    for row in _even(rows, down):
        for column in _even(columns, across):
            top = max(row * info.block_height, window.top)
            left = max(column * info.block_width, window.left)
            height = min((row + 1) * info.block_height, bottom) - top
            width = min((column + 1) * info.block_width, right) - left
            thin = min(math.sqrt(each / (height * width)), 1.0)
            kept = min(max(int(height * thin), 1), height)
            shape = kept, min(max(each // kept, 1), width)
            yield Window(top=top, left=left, height=height, width=width), shape


def _even(numbers: range, count: int) -> list[int]:
    """Some of the numbers, evenly spread, half a step away from both ends."""
    return [numbers[(2 * place + 1) * len(numbers) // (2 * count)] for place in range(count)]
