"""The seam figure: how much of the tile grid can be found in an enlarged picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import UsageError
from srcli.inference.tiling import make_grid
from srcli.pipelines.engines import enlarge_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from srcli.ports.engine import Engine


def seam_figure(engine: Engine, pixels: NDArray[np.uint8], *, tile: int, overlap: int) -> float:
    """Measure the excess of steps across tile borders, in levels of 255.

    The picture is enlarged twice, the second time with the tile grid moved by half a tile. Over all
    places where the first has a tile border and the second has none, it is the absolute mean of
    |step across the place in the first| - |step in the second|. 0 means that tiles leave no trace.

    Args:
        engine: Runs the network.
        pixels: (H, W, 3) uint8, at least 4x3 tiles large.
        tile: Tile edge, input pixels.
        overlap: Input pixels shared by neighbouring tiles.

    Raises:
        UsageError: If the picture has fewer tiles.
    """
    height, width = pixels.shape[:2]
    first = make_grid(height, width, tile=tile, overlap=overlap)
    if sorted((len(first.tops), len(first.lefts)))[0] < 3 or first.count < 12:
        raise UsageError(
            f"{width}x{height} has fewer than 4x3 tiles of {tile}; use a larger picture"
        )
    moved = make_grid(height, width, tile=tile, overlap=overlap, offset=tile // 2)
    unit = pixels.astype(np.float32) / np.float32(255)
    a = enlarge_array(engine, unit, first)
    b = enlarge_array(engine, unit, moved)
    differences = []
    for axis, own, other in ((0, first.tops, moved.tops), (1, first.lefts, moved.lefts)):
        for place in sorted(borders(own, tile, overlap) - borders(other, tile, overlap)):
            at = place * engine.scale
            steps = _steps(a, at, axis) - _steps(b, at, axis)
            differences.append(steps.ravel())
    return float(abs(np.concatenate(differences).mean()) * 255)


def borders(starts: Sequence[int], tile: int, overlap: int) -> set[int]:
    """Input pixels before which a tile begins or ends, or the blending of two is half done."""
    inner = set(starts[1:]) | {start + tile for start in starts[:-1]}
    return inner | {start + overlap // 2 for start in starts[1:]}


def _steps(picture: NDArray[Any], at: int, axis: int) -> NDArray[np.float64]:
    lines = picture.swapaxes(0, axis)[at - 1 : at + 1].astype(np.float64)
    steps: NDArray[np.float64] = np.abs(lines[1] - lines[0])
    return steps
