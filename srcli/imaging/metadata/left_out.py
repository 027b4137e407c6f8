"""Marks of pictures that no output holds, in words for the user."""

from __future__ import annotations

from collections.abc import Container

_CLIPPING_PATHS = range(2000, 2999)
"""Photoshop's numbers of paths; the name of the one that clips comes behind them."""


def note_aspect(across: int, down: int) -> list[str]:
    """Note a resolution without a unit that says that pixels are not square."""
    if across == down or min(across, down) < 1:
        return []
    return [f"its pixels are not square (density {across}:{down}), which is not kept"]


def note_clipping_paths(photoshop: Container[int]) -> list[str]:
    """Note paths among Photoshop's resources, by which pictures of products are cut out."""
    for number in _CLIPPING_PATHS:
        if number in photoshop:
            return ["clipping paths of Photoshop left out"]
    return []
