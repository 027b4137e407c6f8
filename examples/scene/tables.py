"""What lies across a road, a shore or a field: tables of colours, four samples a pixel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scene.arrays import bounds
from scene.colours import COLOURS, hue

if TYPE_CHECKING:
    from scene.arrays import Array, Mask

CROPS = "crop crop wheat wheat soil soil grass dry rape leaf"


def softened(table: Array) -> Array:
    """A table of four samples a pixel, no sharper than a pixel."""
    sharp = np.pad(table, ((0, 0), (2, 2)), mode="edge")
    soft: Array = np.lib.stride_tricks.sliding_window_view(sharp, 5, axis=1).mean(-1)
    return soft.astype(np.float32)


def strokes(*stops: tuple[float, str, float]) -> Array:
    """What lies across a road, (5, four a pixel): colours, and what is left of the ground.

    Args:
        stops: Up to where a stripe goes, pixels, its colour, and how much of the ground it hides.
    """
    ends = [0, *(round(4 * stop) for stop, _, _ in stops)]
    stripes = [[*np.multiply(COLOURS[name], cover / 100), 1 - cover] for _, name, cover in stops]
    return softened(np.repeat(np.transpose(stripes), np.diff(ends), axis=1))


SIDE = ((21, "gravel", 0.7), (24, "dry", 0))
ROADS = [
    strokes((0.7, paint, 1), (14, "asphalt", 1), (14.8, "paint", 1), (17, "asphalt", 1), *SIDE)
    for paint in ("asphalt", "paint")
]
ROAD = np.concatenate(ROADS, 1)  # between the dashes of its middle line, and on them
STREET = strokes((13, "asphalt", 1), (14, "kerb", 1), (19, "concrete", 1), (24, "dry", 0))
LAND = ((30, "grass", 1), (36, "dry", 1), (46, "sand", 1))
SHORE = strokes(*LAND, (60, "shallow", 1), (62, "water", 1))


def stroke(land: Array, distance: Array, table: Array, second: Mask | None = None) -> None:
    """Draw a road into a picture.

    Args:
        land: The picture, (bands, H, W), which changes.
        distance: How far pixels are from the middle of the road, (H, W).
        table: What lies across it, of :func:`strokes`; two tables end to end with ``second``.
        second: Where the second table holds, (H, W).
    """
    size = table.shape[1] // (1 if second is None else 2)
    box = bounds(distance < size / 4)
    index = np.minimum(4 * distance[box], size - 1).astype(np.intp)
    if second is not None:
        index += size * second[box]
    for band, colours in zip(land, table, strict=False):
        band[box] *= table[4][index]
        band[box] += colours[index]


def crops(rng: np.random.Generator) -> Array:
    """Fields side by side with rows, tracks and grass between them, (4, four a pixel)."""
    strips = []
    for _ in range(10):
        at = np.arange(4 * int(rng.integers(230, 520))) / 4
        base, period = hue(rng, CROPS)[:, None], rng.choice((2.6, 3.75, 6, 10))
        rows = rng.uniform(0.02, 0.2, int(at[-1] / period) + 1)[(at / period).astype(int)]
        strip = base * (1 + rows * np.cos(2 * math.pi * at / period))
        strip[:, np.abs(np.abs(at % 105 - 52) - 4.5) < 1.1] *= 0.75
        strip[:, np.minimum(at, at[::-1]) < rng.uniform(1, 6)] = hue(rng, "grass dry")[:, None]
        strips.append(strip)
    return softened(np.concatenate(strips, 1))
