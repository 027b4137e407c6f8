"""Small models, built of parts on a square of ground and lit by one sun with shadows."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scene.arrays import Array, Pair

FINE = 2  # models are drawn so much finer, then averaged
STEPS = 64  # directions in which a model can face
SUN = (-0.5, 0.77, 0.82)  # where it stands: left, low and high on the picture
# light of the sky in shadow, for each band
HAZE = np.array([0.025, 0.035, 0.055, 0.02], np.float32)[:, None, None]


class Part(NamedTuple):
    """A piece of a model: a lawn, a wall with its roof, a crown of leaves, paint."""

    at: Pair
    half: Pair
    colour: Array
    height: float | None = 0.0  # None paints on what is there
    pitch: float = 0.0  # how steeply a roof rises to its ridge, which runs along the first axis
    stripe: float = 0.0  # period of tiles, boards or panels beside the ridge, pixels
    across: bool = False  # the ridge runs along the second axis
    leafy: bool = False


class Relief:
    """A square of ground on which a model is built of parts and lit; it faces one of STEPS ways."""

    def __init__(self, size: int, turn: int, grit: Array) -> None:
        line = ((np.arange(size * FINE) + 0.5) / FINE - size / 2).astype(np.float32)
        self.size, angle = size, 2 * math.pi * turn / STEPS
        self.cos, self.sin = math.cos(angle), math.sin(angle)
        self.a = self.cos * line[None] + self.sin * line[:, None]
        self.b = self.cos * line[:, None] - self.sin * line[None]
        self.grit = grit[: line.size, : line.size]
        self.colour = np.zeros((4, *self.a.shape), np.float32)
        self.height, self.cover = np.zeros_like(self.a), np.zeros_like(self.a)

    def put(self, part: Part) -> None:
        """Build one part; what stands higher already stays."""
        (x, y), radius = part.at, 1.2 * math.hypot(*part.half)
        middle = self.sin * x + self.cos * y, self.cos * x - self.sin * y
        first = [max(0, int((at + self.size / 2 - radius) * FINE)) for at in middle]
        box = tuple(slice(start, start + 2 * int(radius * FINE) + 3) for start in first)
        along, beside = self.a[box] - x, self.b[box] - y
        rise, end = part.half[1] - np.abs(beside), part.half[0] - np.abs(along)
        if part.across:
            beside, rise, end = along, end, rise
        inside, grit, height = np.minimum(rise, end) > 0, self.grit[box], part.height or 0.0
        shade, top = 1 + 0.07 * grit, height + part.pitch * rise
        if part.stripe:
            shade *= 1 + 0.1 * np.cos(2 * math.pi / part.stripe * beside)
        if part.leafy:
            away = (along / part.half[0]) ** 2 + (beside / part.half[1]) ** 2
            top = height * (0.4 + 0.6 * np.sqrt(np.maximum(1 - away, 0)) + 0.1 * grit)
            inside, shade = away + 0.3 * grit < 1, 1 + 0.12 * grit
        if part.height is not None:
            inside &= top >= self.height[box]
            self.height[box][inside] = top[inside]
        self.cover[box][inside] = 1
        for band, value in zip(self.colour, part.colour, strict=True):
            band[box][inside] = value * shade[inside]

    def lit(self) -> tuple[Array, Array]:
        """What the model leaves of the ground below it, (h, w), and adds to it, (4, h, w)."""
        relief = top = self.height * FINE
        down, right = (np.clip(np.roll(relief, -1, k) - relief, -1.5, 1.5) for k in (0, 1))
        facing = (SUN[2] - right * SUN[0] - down * SUN[1]) / np.sqrt(1 + right**2 + down**2)
        reach, highest = 1, float(relief.max())
        while reach * SUN[2] < highest:  # with every round the shadows become twice as long
            shift = -round(reach * SUN[1]), -round(reach * SUN[0])
            top = np.maximum(top, np.roll(top, shift, (0, 1)) - np.float32(reach * SUN[2]))
            reach *= 2
        shadow = (top > relief + 1).astype(np.float32)
        light, ground = np.clip(facing / SUN[2], 0, 1.5) * (1 - shadow), 1 - self.cover
        sky = 6 * HAZE + 0.18
        add = self.cover * self.colour * (sky + (1 - sky) * light) + ground * shadow * HAZE
        return averaged(ground * (1 - 0.6 * shadow)), averaged(add)


def turned(turn: int) -> Array:
    """The two axes of something that faces so, (2, 2)."""
    angle = 2 * math.pi * turn / STEPS
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def averaged(fine: Array) -> Array:
    """Squares of FINE by FINE samples as one pixel each, (..., H, W)."""
    rows = reduce(np.add, [fine[..., k::FINE, :] for k in range(FINE)])
    total: Array = reduce(np.add, [rows[..., k::FINE] for k in range(FINE)])
    return total / FINE**2
