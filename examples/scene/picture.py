"""Render a window of the land, and the nodata mask of a rotated picture."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from scene.tiles import TILE, Tiles

if TYPE_CHECKING:
    from scene.arrays import Array, Mask, Pixels, Window


@lru_cache(2)
def tiles_of(seed: int, bands: int) -> Tiles:
    """Return the tiles of a seed, with their caches."""
    return Tiles(seed, bands)


def render(seed: int, window: Window, bands: int = 3, dtype: str = "uint8") -> Pixels:
    """Draw a window of the land of a seed; the same place always looks the same.

    Args:
        seed: 0 or more.
        window: Left, top, width and height in pixels; the land is infinite on all sides.
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
    """Convert reflectances to values of a type, never 0, which is nodata."""
    if dtype == "float32":
        return values
    scale, offset, most = {"uint8": (255, 0.5, 255), "uint16": (1500, 180.5, 2047)}[
        dtype
    ]
    numbers: Array = values * np.float32(scale) + np.float32(offset)
    return numbers.clip(1, most)


def coverage(size: tuple[int, int], window: Window) -> Mask:
    """Mask the data of a picture: a rotated rectangle that touches all four edges.

    Args:
        size: Width and height of the picture, pixels.
        window: The part to return.

    Returns:
        True for data, (H, W).
    """
    angle = min(math.radians(7), math.atan(0.4 * min(size) / max(size)))
    cos, sin = math.cos(angle), math.sin(angle)
    half = np.array(size) / 2
    long, wide = (half * cos - half[::-1] * sin) / math.cos(2 * angle)
    x = np.arange(window[2]) + window[0] + 0.5 - half[0]
    y = (np.arange(window[3]) + window[1] + 0.5 - half[1])[:, None]
    inside: Mask = (np.abs(cos * x + sin * y) < long) & (
        np.abs(cos * y - sin * x) < wide
    )
    return inside
