"""Geometry of roads: borders of districts (a bent Voronoi diagram) and streets between plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scene.arrays import Array, Place

PLOTS = {
    "homes": (108, 150, 6),
    "halls": (216, 190, 3),
}  # width, depth, number between streets
VERGE = 20  # half the width of a street, pixels


def bend(x: Array, y: Array) -> tuple[Array, Array]:
    """Return the displacements that bend straight roads."""
    return 15 * np.sin(y / 170), 15 * np.sin(x / 190)


def border_depths(x: Array, y: Array, own: Array, others: Array) -> Iterator[Array]:
    """Yield the depths of places inside the border of a site towards each of the others."""
    ways = (own - others) / np.linalg.norm(own - others, axis=1, keepdims=True)
    for way, mid in zip(ways, (own + others) / 2, strict=True):
        yield float(way[0]) * x + (float(way[1]) * y - float(way @ mid))


def nearby_sites(x: Array, y: Array, sites: Array) -> Place:
    """Find the sites whose borders come near a tile, nearest first.

    Args:
        x: Coordinates of the pixels to the right, (H, W).
        y: Coordinates downwards, (H, W).
        sites: All sites around, (n, 2).

    Returns:
        Their indices; at least two.
    """
    # their distances are sampled at a few points
    some = np.stack([x[::73, ::73], y[::73, ::73]], 2).reshape(-1, 1, 2)
    away = ((some - sites) ** 2).sum(2) / 2
    gaps = np.linalg.norm(sites[away.argmin(1)][:, None] - sites, axis=2) + 1e-9
    behind = ((away - away.min(1, keepdims=True)) / gaps).min(0)
    return np.argsort(behind)[: max(2, np.count_nonzero(behind < 170))]


def plot_centres(kind: str) -> tuple[Array, Place]:
    """Return the centres of a district's plots, (n, 2), and the side of the street of each."""
    width, depth, count = PLOTS[kind]
    column, row, k, side = np.indices((7, 9, count, 2)).reshape(4, -1)
    side = 2 * side - 1
    u = (column - 3) * (count * width + 2 * VERGE) + VERGE + width * (k + 0.5)
    return np.stack(
        [u, (row - 4) * 2 * (depth + VERGE) + side * (VERGE + depth / 2)], 1
    ), side


def street_distance(kind: str, u: Array, v: Array) -> Array:
    """Return distances of places to the centre line of the nearest street between plots."""
    width, depth, count = PLOTS[kind]
    long, wide = count * width + 2 * VERGE, 2 * (depth + VERGE)
    return np.minimum(
        abs(u - long * np.round(u / long)), abs(v - wide * np.round(v / wide))
    )
