"""Relief models built from parts on a square of ground, lit by one sun with shadows."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scene.arrays import Array, Pair

FINE = 2  # oversampling of models
STEPS = 64  # directions in which a model can face
SUN = (-0.5, 0.77, 0.82)  # direction to the left, downwards in the picture, and upwards
# diffuse light in shadow, for each band
HAZE = np.array([0.025, 0.035, 0.055, 0.02], np.float32)[:, None, None]


class Part(NamedTuple):
    """A piece of a model: a lawn, a wall with its roof, a crown of leaves, paint."""

    at: Pair
    half: Pair
    colour: Array
    height: float | None = 0.0  # None paints on the parts below
    pitch: float = (
        0.0  # slope of a roof up to its ridge, which runs along the first axis
    )
    stripe: float = 0.0  # period of tiles, boards or panels beside the ridge, pixels
    across: bool = False  # the ridge runs along the second axis
    leafy: bool = False


class Relief:
    """A square of ground with a model built from parts, facing one of STEPS directions."""

    def __init__(self, size: int, turn: int, grain: Array) -> None:
        line = ((np.arange(size * FINE) + 0.5) / FINE - size / 2).astype(np.float32)
        self.size, angle = size, 2 * math.pi * turn / STEPS
        self.cos, self.sin = math.cos(angle), math.sin(angle)
        self.a = self.cos * line[None] + self.sin * line[:, None]
        self.b = self.cos * line[:, None] - self.sin * line[None]
        self.grain = grain[: line.size, : line.size]
        self.colour = np.zeros((4, *self.a.shape), np.float32)
        self.height, self.cover = np.zeros_like(self.a), np.zeros_like(self.a)

    def put(self, part: Part) -> None:
        """Add one part; existing higher parts stay on top."""
        (x, y), radius = part.at, 1.2 * math.hypot(*part.half)
        middle = self.sin * x + self.cos * y, self.cos * x - self.sin * y
        first = [max(0, int((at + self.size / 2 - radius) * FINE)) for at in middle]
        box = tuple(slice(start, start + 2 * int(radius * FINE) + 3) for start in first)
        along, beside = self.a[box] - x, self.b[box] - y
        rise, end = part.half[1] - np.abs(beside), part.half[0] - np.abs(along)
        if part.across:
            beside, rise, end = along, end, rise
        inside, grain, height = (
            np.minimum(rise, end) > 0,
            self.grain[box],
            part.height or 0.0,
        )
        shade, top = 1 + 0.07 * grain, height + part.pitch * rise
        if part.stripe:
            shade *= 1 + 0.1 * np.cos(2 * math.pi / part.stripe * beside)
        if part.leafy:
            away = (along / part.half[0]) ** 2 + (beside / part.half[1]) ** 2
            top = height * (0.4 + 0.6 * np.sqrt(np.maximum(1 - away, 0)) + 0.1 * grain)
            inside, shade = away + 0.3 * grain < 1, 1 + 0.12 * grain
        if part.height is not None:
            inside &= top >= self.height[box]
            self.height[box][inside] = top[inside]
        self.cover[box][inside] = 1
        for band, value in zip(self.colour, part.colour, strict=True):
            band[box][inside] = value * shade[inside]

    def render(self) -> tuple[Array, Array]:
        """Light the model; returns the factor of the ground, (h, w), and the summand, (4, h, w)."""
        relief = top = self.height * FINE
        down, right = (
            np.clip(np.roll(relief, -1, k) - relief, -1.5, 1.5) for k in (0, 1)
        )
        facing = (SUN[2] - right * SUN[0] - down * SUN[1]) / np.sqrt(
            1 + right**2 + down**2
        )
        reach, highest = 1, float(relief.max())
        while reach * SUN[2] < highest:  # every round doubles the length of shadows
            shift = -round(reach * SUN[1]), -round(reach * SUN[0])
            top = np.maximum(
                top, np.roll(top, shift, (0, 1)) - np.float32(reach * SUN[2])
            )
            reach *= 2
        shadow = (top > relief + 1).astype(np.float32)
        light, ground = np.clip(facing / SUN[2], 0, 1.5) * (1 - shadow), 1 - self.cover
        sky = 6 * HAZE + 0.18
        add = (
            self.cover * self.colour * (sky + (1 - sky) * light)
            + ground * shadow * HAZE
        )
        return downsampled(ground * (1 - 0.6 * shadow)), downsampled(add)


def axes_of(turn: int) -> Array:
    """Return the two axes of an object that faces a direction, (2, 2)."""
    angle = 2 * math.pi * turn / STEPS
    return np.array(
        [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    )


def downsampled(fine: Array) -> Array:
    """Average squares of FINE by FINE samples to pixels, (..., H, W)."""
    rows = reduce(np.add, [fine[..., k::FINE, :] for k in range(FINE)])
    total: Array = reduce(np.add, [rows[..., k::FINE] for k in range(FINE)])
    return total / FINE**2
