"""Plots of houses and halls, and the streets between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scene.arrays import Array, Place

PLOTS = {"homes": (108, 150, 6), "halls": (216, 190, 3)}  # width, depth, number between streets
VERGE = 20  # half the width of a street, pixels


def plots(kind: str) -> tuple[Array, Place]:
    """The middles of the plots of a district, (n, 2), and the side of the street each is on."""
    width, depth, count = PLOTS[kind]
    column, row, k, side = np.indices((7, 9, count, 2)).reshape(4, -1)
    side = 2 * side - 1
    u = (column - 3) * (count * width + 2 * VERGE) + VERGE + width * (k + 0.5)
    return np.stack([u, (row - 4) * 2 * (depth + VERGE) + side * (VERGE + depth / 2)], 1), side


def street(kind: str, u: Array, v: Array) -> Array:
    """How far places are from the middle of the nearest street between plots."""
    width, depth, count = PLOTS[kind]
    long, wide = count * width + 2 * VERGE, 2 * (depth + VERGE)
    return np.minimum(abs(u - long * np.round(u / long)), abs(v - wide * np.round(v / wide)))
