"""A window of the land as pixels of a type, and which of them a turned picture has."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from scene.noise import TILE
from scene.tiles import Tiles

if TYPE_CHECKING:
    from scene.arrays import Array, Mask, Pixels, Window


@lru_cache(2)
def tiles_of(seed: int, bands: int) -> Tiles:
    """The tiles of a seed, which remember what they drew last."""
    return Tiles(seed, bands)


def render(seed: int, window: Window, bands: int = 3, dtype: str = "uint8") -> Pixels:
    """Draw a window of the land of a seed; the same place always looks the same.

    Args:
        seed: 0 or more.
        window: Left, top, width and height in pixels; the land has no end, not even on the left.
        bands: 3 for red, green and blue, 4 with near infrared.
        dtype: ``uint8`` (1 to 255), ``uint16`` (11 bits with an offset) or ``float32``.

    Returns:
        Pixels, (H, W, C).
    """
    left, top, width, height = window
    pixels = np.empty((bands, height, width), dtype)
    for row in range(top // TILE, -(-(top + height) // TILE)):
        for column in range(left // TILE, -(-(left + width) // TILE)):
            x, y = column * TILE - left, row * TILE - top
            part = pixels[:, max(0, y) : y + TILE, max(0, x) : x + TILE]
            box = np.s_[:, max(0, -y) :, max(0, -x) :]
            tile = tiles_of(seed, bands).tile(column * TILE, row * TILE)[box]
            part[:] = encoded(tile[:, : part.shape[1], : part.shape[2]], dtype)
    return pixels.transpose(1, 2, 0)


def encoded(values: Array, dtype: str) -> Array:
    """Reflectances as numbers of a type; none is 0, which stands for no data."""
    if dtype == "float32":
        return values
    scale, offset, most = {"uint8": (255, 0.5, 255), "uint16": (1500, 180.5, 2047)}[dtype]
    numbers: Array = values * np.float32(scale) + np.float32(offset)
    return numbers.clip(1, most)


def covered(size: tuple[int, int], window: Window) -> Mask:
    """Where a picture has data: in the turned rectangle that touches all four edges.

    Args:
        size: Width and height of the picture, pixels.
        window: The part that is asked for.

    Returns:
        Whether each pixel has data, (H, W).
    """
    angle = min(math.radians(7), math.atan(0.4 * min(size) / max(size)))
    cos, sin = math.cos(angle), math.sin(angle)
    half = np.array(size) / 2
    long, wide = (half * cos - half[::-1] * sin) / math.cos(2 * angle)
    x = np.arange(window[2]) + window[0] + 0.5 - half[0]
    y = (np.arange(window[3]) + window[1] + 0.5 - half[1])[:, None]
    inside: Mask = (np.abs(cos * x + sin * y) < long) & (np.abs(cos * y - sin * x) < wide)
    return inside
