"""Marks of pictures that no output holds, in words for the user."""

from __future__ import annotations

import io
from collections.abc import Container
from typing import IO

_CLIPPING_PATHS = range(2000, 2999)
"""Photoshop's numbers of paths; the name of the one that clips comes behind them."""
_INSTA360 = b"8db42d694ccc418790edff439fe026bf"
"""How the files of Insta360's cameras end."""


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


def note_trailer(stream: IO[bytes]) -> list[str]:
    """Note what a camera has written behind a picture or film, for its maker's program."""
    stream.seek(max(stream.seek(0, io.SEEK_END) - len(_INSTA360), 0))
    if stream.read() == _INSTA360:
        return ["data of Insta360 on lenses and motion left out"]
    return []
