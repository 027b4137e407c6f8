"""The pictures of a report: for each HR picture the place where the models differ most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

CROP = 120
"""Edge of a crop in HR pixels."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One picture: crops of the same place in HR, LR and what each model made."""

    scale: int
    dataset: str
    picture: str
    size: tuple[int, int]
    """(height, width) of the whole HR picture."""
    window: tuple[int, int, int, int]
    """Top, left, height, width of the crop in HR pixels; multiples of the scale."""
    overview: Array
    """The whole HR picture made small, (h, w, 3) uint8, to show where the crop lies."""
    hr: Array
    """(H, W, 3) uint8."""
    lr: Array
    """(H / scale, W / scale, 3) uint8."""
    sr: dict[str, Array]
    """By model, (H, W, 3) uint8."""
    psnr: dict[str, float]
    """Of the whole picture, by model, under the protocol."""


def compare(
    hr: Array, lr: Array, sr: Mapping[str, Array], *, scale: int, crop: int = CROP
) -> tuple[int, int, int, int]:
    """Find the window in which the models differ most from each other.

    With one model, or several that agree in every pixel, it is the window where they are farthest
    from HR.

    Args:
        hr: (H, W, 3) uint8.
        lr: (H / scale, W / scale, 3) uint8.
        sr: By model, (H, W, 3) uint8.
        scale: The factor; the window's place and size are multiples of it.
        crop: Edge of the window, or less where the picture is smaller.

    Returns:
        Top, left, height, width.
    """
    layers = [each.astype(np.float32).mean(axis=2) for each in sr.values()]
    if all(np.array_equal(layers[0], each) for each in layers[1:]):
        layers.append(hr.astype(np.float32).mean(axis=2))
    spread = np.stack(layers).std(axis=0)
    height, width = hr.shape[:2]
    high = min(crop, height) // scale * scale
    wide = min(crop, width) // scale * scale
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = spread.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    tops = np.arange(0, height - high + 1, scale)
    lefts = np.arange(0, width - wide + 1, scale)
    total = (
        sums[np.ix_(tops + high, lefts + wide)]
        - sums[np.ix_(tops, lefts + wide)]
        - sums[np.ix_(tops + high, lefts)]
        + sums[np.ix_(tops, lefts)]
    )
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    return int(tops[row]), int(lefts[column]), high, wide


def cut(
    hr: Array, lr: Array, sr: Mapping[str, Array], *, scale: int
) -> tuple[tuple[int, int, int, int], Array, Array, dict[str, Array]]:
    """Return the most telling window and the crops of HR, LR and every model there."""
    window = compare(hr, lr, sr, scale=scale)
    top, left, high, wide = window

    def crop(picture: Array, factor: int = 1) -> Array:
        return picture[
            top // factor : (top + high) // factor, left // factor : (left + wide) // factor
        ].copy()

    return window, crop(hr), crop(lr, scale), {name: crop(each) for name, each in sr.items()}
