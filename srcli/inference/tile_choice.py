"""Choose the tiles of a model: its own, or what the user asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.inference.tiling import Tiling
from srcli.models import MODELS, name_of

if TYPE_CHECKING:
    from srcli.layers.network import Network

WHOLE_TILE = 1 << 20
"""Tile edge of networks whose pictures are not cut: longer than any picture."""


def choose_tiling(
    model: str, network: Network, tile: int | None = None, overlap: int | None = None
) -> Tiling:
    """Return the tiling of a model or weights file: its own, or what the user asked for."""
    entry = MODELS.get(model) or MODELS.get(name_of(network))
    default_tile, default_overlap = network.tiling
    whole_pixels = 0
    if entry:
        default_tile = entry.tile
        default_overlap = entry.overlap
        if tile is None:
            whole_pixels = entry.whole
    if not network.tiles:
        default_tile = WHOLE_TILE
    tile = tile or default_tile
    if overlap is None:
        overlap = min(default_overlap, (tile - 1) // 2)
    return Tiling(
        tile=tile,
        overlap=overlap,
        edge=network.edge,
        step=network.tile_step,
        whole=whole_pixels,
    )
