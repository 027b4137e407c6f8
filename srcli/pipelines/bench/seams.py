"""The seam figure: how much of the tile grid can be found in an enlarged picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import UsageError
from srcli.inference.blending import joints
from srcli.inference.engines import enlarge_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from srcli.inference.tiling import Tiling
    from srcli.ports.engine import Engine


def seam_figure(engine: Engine, pixels: NDArray[np.uint8], tiling: Tiling) -> float:
    """Measure the excess of steps across tile borders, in levels of 255.

    The picture is enlarged twice, the second time with the tile grid moved by half a tile. Over all
    places where the first has a tile border and the second has none, it is the absolute mean of
    |step across the place in the first| - |step in the second|. 0 means that tiles leave no trace.

    Args:
        engine: Runs the network.
        pixels: (H, W, 3) uint8, at least 4x3 tiles large.
        tiling: How it is cut; no edge is mirrored around it.

    Raises:
        UsageError: If the picture has fewer tiles.
    """
    height, width = pixels.shape[:2]
    first = tiling.grid(height, width)
    if sorted((len(first.tops), len(first.lefts)))[0] < 3 or first.count < 12:
        raise UsageError(
            f"{width}x{height} has fewer than 4x3 tiles of {tiling.tile}; use a larger picture"
        )
    # Tiles are balanced to the picture: their real size says where borders lie.
    half = min(first.tile_height, first.tile_width) // 2
    moved = tiling.grid(height, width, offset=half - half % tiling.step)
    unit = pixels.astype(np.float32) / np.float32(255)
    a = enlarge_array(engine, unit, first)
    b = enlarge_array(engine, unit, moved)
    differences = []
    axes = (
        (first.tops, moved.tops, first.tile_height),
        (first.lefts, moved.lefts, first.tile_width),
    )
    for axis, (own, other, length) in enumerate(axes):
        places = _borders(own, length, tiling.overlap, engine.scale)
        for at in sorted(places - _borders(other, length, tiling.overlap, engine.scale)):
            steps = _steps(a, at, axis) - _steps(b, at, axis)
            differences.append(steps.ravel())
    return float(abs(np.concatenate(differences).mean()) * 255)


def _borders(starts: Sequence[int], tile: int, overlap: int, scale: int) -> set[int]:
    """Output pixels before which a tile begins, is half, or ends to hand over to the next."""
    places = {
        place
        for begin, end in joints(starts, tile=tile, overlap=overlap)
        for place in (begin, (begin + end) / 2, end)
    }
    return {math.ceil(place * scale - 0.5) for place in places}


def _steps(picture: NDArray[Any], at: int, axis: int) -> NDArray[np.float64]:
    lines = picture.swapaxes(0, axis)[at - 1 : at + 1].astype(np.float64)
    steps: NDArray[np.float64] = np.abs(lines[1] - lines[0])
    return steps
