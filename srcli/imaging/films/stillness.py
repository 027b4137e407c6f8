"""Hold what does not move in a film: networks make its small changes larger.

Encoders change a still scene by blocks, a level or two from frame to frame. Nothing is
blended: a pixel is that of the new frame, or of the last one that was taken there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import maximum_filter, uniform_filter

from srcli.imaging.pixels.arrays import Array, Bools

if TYPE_CHECKING:
    from srcli.imaging.films.reading import TimedFrame

_SIDE = 5
"""Pixels of the square around one that has to stand still with it."""
_LARGEST_CHANGE = 6
"""Levels of 255 that any value around a pixel may change."""
_LARGEST_DRIFT = 1
"""Levels that their mean may change: fades go on in steps that are not seen."""
_LEAST_SHARE = 0.5
"""Of a frame that has to stand still: in pans nothing is held, not even skies."""


def hold_still(frames: Iterable[TimedFrame]) -> Iterator[TimedFrame]:
    """Yield frames, from the first of a film on, in which what stands still stays the same."""
    shown: Array | None = None
    for timing, photograph in frames:
        pixels = photograph.pixels
        if shown is not None:
            still = _find_still(pixels, shown)
            if still.mean() >= _LEAST_SHARE:
                pixels = np.where(still[..., None], shown, pixels)
        shown = pixels
        yield timing, replace(photograph, pixels=pixels)


def _find_still(pixels: Array, shown: Array) -> Bools:
    """Tell which pixels, (H, W), of a frame (H, W, C) stand still beside what is shown."""
    level = np.iinfo(pixels.dtype).max // 255
    planes = (np.moveaxis(pixels, 2, 0), np.moveaxis(shown, 2, 0))
    signed = np.promote_types(pixels.dtype, np.int8)
    changes = np.subtract(*planes, dtype=signed, order="C")
    drift = uniform_filter(changes.mean(axis=0), _SIDE)
    largest = maximum_filter(np.abs(changes, out=changes).max(axis=0), _SIDE)
    is_near = largest <= _LARGEST_CHANGE * level
    still: Bools = is_near & (np.abs(drift) <= _LARGEST_DRIFT * level)
    return still
