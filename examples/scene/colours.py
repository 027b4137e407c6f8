"""Colours of materials, and cross-sections of roads, shores and fields, four samples a pixel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scene.arrays import bounds

if TYPE_CHECKING:
    from scene.arrays import Array, Mask

COLOURS = {  # red, green, blue and near infrared, per cent
    "asphalt": (43, 43, 44, 36), "kerb": (66, 65, 62, 60), "paint": (90, 90, 88, 85),
    "gravel": (60, 56, 50, 55), "concrete": (62, 61, 58, 56), "grass": (38, 43, 27, 76),
    "dry": (53, 50, 37, 62), "leaf": (27, 36, 19, 78), "hedge": (20, 29, 16, 70),
    "soil": (47, 41, 34, 46), "crop": (33, 42, 23, 82), "wheat": (67, 59, 43, 64),
    "rape": (66, 64, 31, 80), "sand": (70, 65, 54, 68), "shallow": (30, 38, 34, 12),
    "water": (14, 21, 22, 3), "pool": (35, 66, 73, 10), "clay": (57, 36, 29, 50),
    "brick": (49, 33, 28, 46), "slate": (32, 32, 34, 30), "brown": (43, 34, 29, 42),
    "metal": (72, 73, 74, 66), "glass": (14, 17, 21, 10), "solar": (14, 17, 28, 16),
}  # fmt: skip
CROPS = "crop crop wheat wheat soil soil grass dry rape leaf"


def tint(rng: np.random.Generator, names: str, spread: float = 0.12) -> Array:
    """Draw one of the named colours, (4,), at random lightness and slightly random warmth."""
    value = np.array(COLOURS[str(rng.choice(names.split()))], np.float32) / 100
    warm = 1 + rng.normal(0, spread / 4) * np.array([1, 0, -1, 0])
    return np.minimum(value * rng.uniform(1 - spread, 1 + spread) * warm, 0.96).astype(
        np.float32
    )


def smoothed(table: Array) -> Array:
    """Blur a profile of four samples a pixel to the sharpness of a pixel."""
    sharp = np.pad(table, ((0, 0), (2, 2)), mode="edge")
    soft: Array = np.lib.stride_tricks.sliding_window_view(sharp, 5, axis=1).mean(-1)
    return soft.astype(np.float32)


def profile(*stops: tuple[float, str, float]) -> Array:
    """Make the cross-section of a road, (5, four a pixel): colours, and visibility of the ground.

    Args:
        stops: For each stripe: its end in pixels, its colour, and its opacity.
    """
    ends = [0, *(round(4 * stop) for stop, _, _ in stops)]
    stripes = [
        [*np.multiply(COLOURS[name], cover / 100), 1 - cover]
        for _, name, cover in stops
    ]
    return smoothed(np.repeat(np.transpose(stripes), np.diff(ends), axis=1))


SIDE = ((21, "gravel", 0.7), (24, "dry", 0))
ROADS = [
    profile(
        (0.7, paint, 1),
        (14, "asphalt", 1),
        (14.8, "paint", 1),
        (17, "asphalt", 1),
        *SIDE,
    )
    for paint in ("asphalt", "paint")
]
ROAD = np.concatenate(ROADS, 1)  # between the dashes of its centre line, and on them
STREET = profile(
    (13, "asphalt", 1), (14, "kerb", 1), (19, "concrete", 1), (24, "dry", 0)
)
LAND = ((30, "grass", 1), (36, "dry", 1), (46, "sand", 1))
SHORE = profile(*LAND, (60, "shallow", 1), (62, "water", 1))


def draw_road(
    land: Array, distance: Array, table: Array, second: Mask | None = None
) -> None:
    """Draw a road into a picture.

    Args:
        land: The picture, (bands, H, W), modified in place.
        distance: Distances of pixels to the centre line of the road, (H, W).
        table: Its :func:`profile`; with ``second`` two profiles, concatenated.
        second: Mask of pixels that take the second profile, (H, W).
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
    """Make a profile of fields with rows, tracks and grass between them, (4, four a pixel)."""
    strips = []
    for _ in range(10):
        at = np.arange(4 * int(rng.integers(230, 520))) / 4
        base, period = tint(rng, CROPS)[:, None], rng.choice((2.6, 3.75, 6, 10))
        rows = rng.uniform(0.02, 0.2, int(at[-1] / period) + 1)[
            (at / period).astype(int)
        ]
        strip = base * (1 + rows * np.cos(2 * math.pi * at / period))
        strip[:, np.abs(np.abs(at % 105 - 52) - 4.5) < 1.1] *= 0.75
        strip[:, np.minimum(at, at[::-1]) < rng.uniform(1, 6)] = tint(rng, "grass dry")[
            :, None
        ]
        strips.append(strip)
    return smoothed(np.concatenate(strips, 1))
