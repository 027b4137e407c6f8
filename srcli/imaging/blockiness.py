"""Measure how far the 8x8 blocks of JPEG show in a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

VISIBLE = 1.2
"""Blockiness from which blocks show: Set5 and Set14 have 1.11 at most as they are, but for five
pictures that were compressed before, and 1.18 at least as JPEGs of quality 85 (EXPERIMENTS.md)."""
_BLOCK = 8
_LARGEST_SIDE = 512  # pixels that are measured, from the middle
_SMOOTH = 4  # levels: a step beside one that is larger belongs to the picture
_LEAST_STEP = 0.05  # levels; flat drawings have hardly any


def blockiness(pixels: NDArray[Any]) -> float:
    """Compare the steps across the borders of 8x8 blocks with those elsewhere, in smooth places.

    Args:
        pixels: (H, W, C) uint8; blocks may begin anywhere, as they do after turning or cropping.

    Returns:
        The ratio, about 1 without blocks; 1 for pictures of fewer than 64 pixels a side.
    """
    top, left = (max(side - _LARGEST_SIDE, 0) // 2 for side in pixels.shape[:2])
    middle = pixels[top : top + _LARGEST_SIDE, left : left + _LARGEST_SIDE]
    gray = middle.mean(axis=2, dtype=np.float32)
    if min(gray.shape) < 8 * _BLOCK:
        return 1.0
    return float(np.mean([_along_rows(gray), _along_rows(gray.T)]))


def _along_rows(gray: NDArray[np.float32]) -> float:
    steps = np.abs(np.diff(gray, axis=1))
    inner = steps[:, 1:-1]
    smooth = (steps[:, :-2] < _SMOOTH) & (steps[:, 2:] < _SMOOTH)
    means = np.ones(_BLOCK)
    for phase in range(_BLOCK):
        places = smooth[:, phase::_BLOCK]
        if places.any():
            means[phase] = inner[:, phase::_BLOCK][places].mean()
    highest = int(means.argmax())
    return float(means[highest] / max(np.delete(means, highest).mean(), _LEAST_STEP))
