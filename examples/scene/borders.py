"""Borders of districts, which are roads: those of a bent Voronoi diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scene.arrays import Array, Place


def bend(x: Array, y: Array) -> tuple[Array, Array]:
    """How far places are from where they would be if the roads were straight."""
    return 15 * np.sin(y / 170), 15 * np.sin(x / 190)


def sides(x: Array, y: Array, own: Array, others: Array) -> Iterator[Array]:
    """How far places are within the border of a site to each of the others."""
    ways = (own - others) / np.linalg.norm(own - others, axis=1, keepdims=True)
    for way, mid in zip(ways, (own + others) / 2, strict=True):
        yield float(way[0]) * x + (float(way[1]) * y - float(way @ mid))


def nearby(x: Array, y: Array, sites: Array) -> Place:
    """Which sites have borders that come near a tile, nearest first.

    Args:
        x: Where the pixels are, (H, W).
        y: The same downwards, (H, W).
        sites: All sites around, (n, 2).

    Returns:
        Their numbers; two at least.
    """
    # their margin at some points tells
    some = np.stack([x[::73, ::73], y[::73, ::73]], 2).reshape(-1, 1, 2)
    away = ((some - sites) ** 2).sum(2) / 2
    gaps = np.linalg.norm(sites[away.argmin(1)][:, None] - sites, axis=2) + 1e-9
    behind = ((away - away.min(1, keepdims=True)) / gaps).min(0)
    return np.argsort(behind)[: max(2, np.count_nonzero(behind < 170))]
