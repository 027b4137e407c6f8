"""Measure the seam figure: how visible the tile grid is in an enlarged picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import DataError, PictureError, UsageError
from srcli.imaging.reading import read_photograph
from srcli.inference.engines import enlarge_array
from srcli.inference.tiling import joints

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.inference.tiling import Tiling
    from srcli.pipelines.bench.timing import PreparedModel
    from srcli.ports.image import Engine

TRUST = 2.0
"""Least ratio of the seam figure without overlap to the one with overlap."""


@dataclass(frozen=True, kw_only=True)
class Seams:
    """The seam figure of one model, in levels of 255; see :func:`seam_figure`."""

    scale: int
    model: str
    precision: str
    tile: int
    overlap: int
    figure: float
    without_overlap: float
    """The figure with an overlap of 0, which must be visible."""

    @property
    def trusted(self) -> bool:
        """True if the measurement detects the seams without overlap; else it is broken."""
        return 0 < self.without_overlap >= TRUST * self.figure


def measure_seams(model: PreparedModel, picture: NDArray[np.uint8]) -> Seams:
    """Measure the seam figure with the model's overlap and without.

    Args:
        model: Engine and tiling.
        picture: (H, W, 3) uint8, at least 4x3 tiles large.

    Raises:
        UsageError: If the picture is smaller, or there is no overlap to compare with.
    """
    tiling = model.tiling
    if tiling.overlap == 0:
        raise UsageError("--seams compares with an overlap of 0; give another --overlap")
    try:
        figure = seam_figure(model.engine, picture, tiling)
        without_overlap = seam_figure(model.engine, picture, replace(tiling, overlap=0))
    except UsageError as error:
        raise UsageError(f"--seams, {model.title}: {error} or a smaller --tile") from error
    return Seams(
        scale=model.scale,
        model=model.label,
        precision=model.precision,
        tile=tiling.tile,
        overlap=tiling.overlap,
        figure=figure,
        without_overlap=without_overlap,
    )


def seam_figure(engine: Engine, pixels: NDArray[np.uint8], tiling: Tiling) -> float:
    """Measure the excess of steps across tile borders, in levels of 255.

    The picture is enlarged twice, the second time with the tile grid moved by half a tile. Over all
    places where the first has a tile border and the second has none, it is the absolute mean of
    |step across the place in the first| - |step in the second|. 0 means that seams are invisible.

    Args:
        engine: Runs the network.
        pixels: (H, W, 3) uint8, at least 4x3 tiles large.
        tiling: Tile size and overlap; no edge is mirrored around the picture.

    Raises:
        UsageError: If the picture has fewer tiles.
    """
    height, width = pixels.shape[:2]
    first = tiling.grid(height, width)
    if min(len(first.tops), len(first.lefts)) < 3 or first.count < 12:
        raise UsageError(
            f"{width}x{height} has fewer than 4x3 tiles of {tiling.tile}; use a larger picture"
        )
    # Tiles are balanced to the picture: their actual size says where borders are.
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


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit picture as (H, W, 3); gray is repeated, alpha is dropped.

    Raises:
        DataError: If it cannot be read, or has more bits.
    """
    try:
        pixels = read_photograph(path).pixels
    except PictureError as error:
        raise DataError(str(error)) from error
    if pixels.dtype != np.uint8:
        raise DataError(f"{path}: has {pixels.dtype} values; seams are measured on 8-bit pictures")
    return pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels


def _borders(starts: Sequence[int], tile: int, overlap: int, scale: int) -> set[int]:
    """Output pixels at which the blend between two tiles begins, is half, or ends."""
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
