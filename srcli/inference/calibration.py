"""Calibrate a network on a sample of a whole image, so that its tiles come out as the image would.

Channel attention takes mean, contrast and maximum of its input: of a tile, where the network was
made for pictures. Windows spread over the image give the means of the image, and those with the
sharpest edges its maxima.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.ports.image import Engine, OutOfMemory, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from srcli.ports.image import Source, TileGrid

WINDOW_SIDE = 28
"""Edge of a window, input pixels. Many small ones are better than few, down to this: their margins
(``srcli.layers.tiles.MARGIN``) are lost."""
MAX_WINDOWS = 84
"""Windows of an image; together a third more pixels than a batch of tiles on the CPU."""
MAX_SHARE = 0.33
"""Largest share of the pixels of a small image."""
EVEN_WINDOWS = 36
"""Windows where extremes are sought: enough for means, which decide less there."""
EXTREMES_PER_WINDOW = 2
"""Windows chosen for their steps, for each of these: maxima want many (``EXPERIMENTS.md``)."""
CANDIDATE_WINDOWS = 2048
"""Windows from which these are chosen, or valid ones: all of a picture of 1,260x1,260."""


def calibrate(engine: Engine, source: Source, grid: TileGrid) -> object | None:
    """Return the calibration of an image for ``Engine.run``.

    Returns:
        None where the network does not care, where one tile holds the image, and where none of
        ``CANDIDATE_WINDOWS`` windows has a valid pixel.
    """
    if not engine.calibrates or grid.count == 1:
        return None
    height, width = source.height, source.width
    most, share = (
        (EVEN_WINDOWS, MAX_SHARE / (1 + EXTREMES_PER_WINDOW))
        if engine.seeks_extremes
        else (MAX_WINDOWS, MAX_SHARE)
    )
    places = sample(height, width, most=most, share=share)
    spread = _valid(source, places, len(places))
    if 2 * len(spread) < len(places):
        # A flight along a road, a turned swath: look closer, there is little between nodata.
        closer = sample(height, width, most=CANDIDATE_WINDOWS, share=1.0)
        spread = max(spread, _valid(source, closer, len(places)), key=len)
    chosen: list[NDArray[Any]] = []
    if engine.seeks_extremes and spread:
        usual = np.mean([_largest_step(each) for each in spread], axis=0)
        chosen = extremes(source, EXTREMES_PER_WINDOW * len(places), usual)
    while spread:
        try:
            windows = np.stack(spread + chosen)
            return engine.calibrate(windows, extremes=len(chosen))
        except OutOfMemory:
            if len(spread) == 1:
                break
            spread, chosen = spread[::2], chosen[: len(chosen) // 2]
    return None


def sample(
    height: int, width: int, *, most: int = MAX_WINDOWS, share: float = MAX_SHARE
) -> list[Window]:
    """Spread windows evenly over an image, from top to bottom."""
    side = min(WINDOW_SIDE, height, width)
    most = min(most, max(int(share * height * width / side**2), 1))
    down = min(max(round(math.sqrt(most * height / width)), 1), most, -(-height // side))
    across = min(most // down, -(-width // side))
    return [
        Window(top=top, left=left, height=side, width=side)
        for top in _centred(height, side, down)
        for left in _centred(width, side, across)
    ]


def extremes(source: Source, count: int, usual: NDArray[np.float64]) -> list[NDArray[Any]]:
    """Choose the windows with the largest step between neighbouring pixels, at most ``count``.

    What a network finds highest lies by sharp edges. Windows are read once, from top to bottom, as
    rasters like it; those without any step are left out. The ``usual`` step of each channel (C,)
    counts as 1, so that bands count alike, whatever their range is; where it is 0, steps count as
    they are.
    """
    places = sample(source.height, source.width, most=CANDIDATE_WINDOWS, share=1.0)
    unit = np.where(usual > 0, usual, 1)

    def scored() -> Iterator[tuple[float, int, NDArray[Any]]]:
        for i, place in enumerate(places):
            pixels = source.read(place)
            if pixels is not None and (score := float((_largest_step(pixels) / unit).max())) > 0:
                yield score, -i, pixels.copy()  # of equal ones the first

    best = heapq.nlargest(count, scored(), key=lambda one: one[:2])
    return [pixels for _, _, pixels in best]


def _valid(source: Source, places: list[Window], most: int) -> list[NDArray[Any]]:
    """Read windows that hold a valid pixel: all of them, or so many spread evenly over them."""
    found: list[NDArray[Any]] = []
    seen, every = 0, 1
    for each in places:
        pixels = source.read(each)
        if pixels is None:
            continue
        if seen % every == 0:
            found.append(pixels)
        seen += 1
        if len(found) > 2 * most:  # no more are ever held, however many are looked at
            found, every = found[::2], 2 * every
    count = min(most, len(found))
    return [found[(2 * i + 1) * len(found) // (2 * count)] for i in range(count)]


def _largest_step(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Largest step of each channel (C,) of pixels (H, W, C); what is not finite makes none."""
    wide = pixels.astype(np.float64)
    found = np.zeros(wide.shape[2])
    for axis in (0, 1):
        with np.errstate(invalid="ignore"):
            step = np.abs(np.diff(wide, axis=axis))
        step[~np.isfinite(step)] = 0
        found = np.maximum(found, step.max(axis=(0, 1), initial=0))
    return found


def _centred(length: int, side: int, count: int) -> list[int]:
    """First pixels of ``count`` windows, each in the middle of an equal part of an axis."""
    starts = [round((i + 0.5) * length / count - side / 2) for i in range(count)]
    return [min(max(start, 0), length - side) for start in starts]
