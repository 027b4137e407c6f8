"""Random models of houses, halls, cars and trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scene.colours import tint
from scene.relief import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scene.arrays import Pair


def home(rng: np.random.Generator) -> Iterator[Part]:
    """A house in its garden; the street is at -75 of the second axis."""
    side, paving = int(rng.choice((-1, 1))), tint(rng, "concrete gravel kerb brick")
    yield Part((0, 0), (54, 75), tint(rng, "grass grass dry"))
    yield Part((side * 38, -46), (8, 29), paving, stripe=3)
    yield Part(
        (-side * 10, 26),
        (rng.uniform(12, 22), 12),
        tint(rng, "concrete gravel"),
        stripe=4,
    )
    for x, y, a, b in ((-53, 10, 1.6, 62), (53, 10, 1.6, 62), (0, 73, 53, 1.6)):
        yield Part(
            (x, y),
            (a, b),
            tint(rng, "hedge hedge brown kerb"),
            float(rng.choice((4, 8))),
        )
    for x, a, b in rng.uniform((-44, 3, 3), (44, 9, 8), (2, 3)):
        yield Part((x, 60), (a, b), tint(rng, "soil crop pool"), stripe=3)
    yield Part((side * 38, -8), (9, 15), tint(rng, "concrete slate dry"), 13)
    roof, pitch = tint(rng, "clay clay slate brown brick", 0.2), rng.uniform(0.5, 0.85)
    across, solar = rng.random() < 0.4, rng.random() < 0.4
    x, y, a, b = rng.uniform((-18, -26, 23, 19), (-14, -8, 28, 24)) * (side, 1, 1, 1)
    yield Part((x, y), (a, b), roof, 22, pitch, 2.4, across)
    if rng.random() < 0.5:
        yield Part((x + side * 6, y + 18), (13, 18), roof, 20, pitch, 2.4, not across)
    yield Part(
        (x + 0.3 * a, y - 0.3 * b), (2, 2.6), tint(rng, "brick slate"), 25 + 20 * pitch
    )
    spot, half = (x, y + b * 0.45), (13.0, 6.5) if solar else (3.0, 2.0)
    if across:
        spot, half = (x - a * 0.45, y), half[::-1]
    yield Part(spot, (half[0] + 0.5, half[1] + 0.5), tint(rng, "metal"), None)
    yield Part(spot, half, tint(rng, "solar" if solar else "glass"), None, stripe=4.3)
    for x, y, r, tall in rng.uniform((-50, 22, 4, 1.2), (50, 70, 15, 2.2), (3, 4)):
        yield Part((x, y), (r, r), tint(rng, "leaf grass hedge"), r * tall, leafy=True)
    yield from car(rng, (side * 38, rng.uniform(-58, -38)))


def hall(rng: np.random.Generator) -> Iterator[Part]:
    """A works hall and its car park."""
    yield Part((0, 0), (107, 94), tint(rng, "asphalt concrete"))
    for x in range(-96, 97, 13):
        yield Part((x, -76), (0.4, 13), tint(rng, "paint"))
        if rng.random() < 0.6 and x < 96:
            yield from car(rng, (x + 6.5, rng.uniform(-78, -74)))
    x, y, a, b = rng.uniform((-8, 20, 60, 38), (8, 30, 92, 52))
    roof, pitch = (
        tint(rng, "metal concrete slate brick metal"),
        float(rng.choice((0, 0.5))),
    )
    for start in np.arange(-a + 15, a, 30):
        yield Part((x + start, y), (15, b), roof, 30, pitch, 4, across=True)
        yield Part((x + start, y), (2.5, b * 0.7), tint(rng, "metal glass slate"), 38)
    for u, v, wide, long in rng.uniform((-0.8, -0.8, 2, 2), (0.8, 0.8, 6, 6), (5, 4)):
        yield Part((x + u * a, y + v * b), (wide, long), tint(rng, "metal kerb"), 41)


def car(rng: np.random.Generator, at: Pair = (0, 0)) -> Iterator[Part]:
    """A car of 4.5 m, along the second axis."""
    paint, long = (
        tint(rng, "paint slate metal glass clay solar metal", 0.15),
        rng.uniform(10.5, 12),
    )
    yield Part(at, (4.4, long), paint, 3.5)
    yield Part((at[0], at[1] - 1), (3.9, 0.62 * long), tint(rng, "glass"), 5.5)
    yield Part((at[0], at[1] - 1.5), (3.6, 0.36 * long), paint, 7)


def tree(rng: np.random.Generator) -> Iterator[Part]:
    """A tree of 2 to 8 m across."""
    radius, tall = rng.uniform(5, 20), rng.uniform(1.3, 2.2)
    leaves = tint(rng, "leaf grass hedge", 0.25)
    yield Part((0, 0), (radius, radius), leaves, radius * tall, leafy=True)


MODELS = {  # function, size in pixels, number of variants
    "homes": (home, 290, 8), "halls": (hall, 360, 4), "tree": (tree, 170, 32), "car": (car, 50, 6),
}  # fmt: skip
NAMES = list(MODELS)
ROOM = np.array([size // 2 for _, size, _ in MODELS.values()])
