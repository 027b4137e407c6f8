"""The eight flips and rotations of a square: of pictures, and back."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

ORIENTATIONS = tuple(product(range(4), (False, True)))
"""Quarter turns, and whether the picture is mirrored before them."""


def orient(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    """Return (N, C, H, W) mirrored left to right if asked for, then turned anticlockwise."""
    x = x.flip(3) if mirrored else x
    return torch.rot90(x, turns, (2, 3)) if turns else x


def undo_orientation(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    """Undo ``orient``; of whatever size."""
    back = torch.rot90(x, -turns, (2, 3)) if turns else x
    return back.flip(3) if mirrored else back
