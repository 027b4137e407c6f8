"""The eight orientations in which a picture may be enlarged, and where its tiles lie then."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

ORIENTATIONS = tuple(product(range(4), (False, True)))
"""Quarter turns, and whether the picture is mirrored before them."""


def orient(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    """Mirror (N, C, H, W) left to right if asked for, then turn anticlockwise."""
    if mirrored:
        x = x.flip(3)
    if turns:
        x = torch.rot90(x, turns, (2, 3))
    return x


def undo_orientation(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    """Undo ``orient`` for pictures of any size."""
    if turns:
        x = torch.rot90(x, -turns, (2, 3))
    if mirrored:
        x = x.flip(3)
    return x


def orient_positions(
    positions: Tensor, height: int, width: int, turns: int, mirrored: bool
) -> Tensor:
    """Return where tiles of ``height`` x ``width`` lie after ``orient``."""
    top, left, rows, columns = positions.unbind(1)
    if mirrored:
        left = columns - left - width
    for _ in range(turns):
        top, left = columns - left - width, top
        rows, columns = columns, rows
        height, width = width, height
    return torch.stack((top, left, rows, columns), dim=1)
