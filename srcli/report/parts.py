"""Parts of a photograph that are worth looking at: chosen by their detail, and cut out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PART_SIDE = 80
"""Side of a part that is chosen, in pixels of the photograph."""
DETAIL_RANKS = (1.0, 0.9, 0.5)
"""Ranks of the chosen parts among all by detail: the most, nine tenths, the middle."""

Part = tuple[int, int, int, int]
"""Left, top, width and height of a part of a photograph, in its pixels."""


Pixels = NDArray[Any]
"""(H, W, C)."""


def choose_parts(
    pixels: NDArray[np.generic],
    side: int = PART_SIDE,
    ranks: Sequence[float] = DETAIL_RANKS,
) -> list[Part]:
    """Choose parts of a picture (H, W, 3) by ranks of their detail that do not overlap."""
    height, width = (min(side, length) for length in pixels.shape[:2])
    steps = np.abs(np.diff(pixels.mean(axis=2, dtype=np.float32), axis=1, prepend=0))
    detail = {}
    for top in range(0, steps.shape[0] - height + 1, height):
        for left in range(0, steps.shape[1] - width + 1, width):
            inside = steps[top : top + height, left + 1 : left + width]
            detail[left, top, width, height] = float(inside.sum())
    order = sorted(detail, key=detail.__getitem__)
    chosen = (order[round(share * (len(order) - 1))] for share in ranks)
    return list(dict.fromkeys(chosen))


def cut_part(
    pixels: Pixels, part: Part, margin: int = 0, scale: int = 1
) -> tuple[Pixels, tuple[slice, slice]]:
    """Cut a part, with a margin where the picture has one.

    The second value is where the part lies in an enlargement of what is cut.
    """
    left, top, width, height = part
    above = max(top - margin, 0)
    before = max(left - margin, 0)
    row = scale * (top - above)
    column = scale * (left - before)
    inside = np.s_[row : row + scale * height, column : column + scale * width]
    return pixels[above : top + height + margin, before : left + width + margin], inside


def repeat_pixels(pixels: Pixels, times: int) -> Pixels:
    """Enlarge a picture, its pixels as they are."""
    return pixels.repeat(times, axis=0).repeat(times, axis=1)
