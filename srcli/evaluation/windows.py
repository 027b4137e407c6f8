"""The window of a picture in which SR pictures differ most, to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

CROP = 120
"""Edge of a window in HR pixels."""


def find_window(
    hr: Array, sr: Mapping[str, Array], *, scale: int, edge: int = CROP
) -> tuple[int, int, int, int]:
    """Find the window in which the models differ most from each other.

    With one model, or several that agree in every pixel, it is the window where they are farthest
    from HR.

    Args:
        hr: (H, W, 3) uint8.
        sr: By model, (H, W, 3) uint8.
        scale: The factor; the window's place and size are multiples of it.
        edge: Edge of the window, which is less where the picture is smaller.

    Returns:
        Top, left, height, width.
    """
    layers = [each.astype(np.float32).mean(axis=2) for each in sr.values()]
    if all(np.array_equal(layers[0], each) for each in layers[1:]):
        layers.append(hr.astype(np.float32).mean(axis=2))
    spread = np.stack(layers).std(axis=0)
    sums = np.zeros((spread.shape[0] + 1, spread.shape[1] + 1))  # sums[i, j]: of spread[:i, :j]
    sums[1:, 1:] = spread.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    height, width = (min(edge, side) // scale * scale for side in spread.shape)
    tops = np.arange(0, spread.shape[0] - height + 1, scale)
    lefts = np.arange(0, spread.shape[1] - width + 1, scale)
    total = (
        sums[np.ix_(tops + height, lefts + width)]
        - sums[np.ix_(tops, lefts + width)]
        - sums[np.ix_(tops + height, lefts)]
        + sums[np.ix_(tops, lefts)]
    )
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    return int(tops[row]), int(lefts[column]), height, width
