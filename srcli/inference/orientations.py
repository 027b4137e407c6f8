"""Enlarge a batch in one of eight orientations, whose mean is the self-ensemble."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from srcli.layers.network import without_tf32

if TYPE_CHECKING:
    from srcli.layers.network import Network

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


def mean_of_passes(enlarge: Callable[[int], Tensor], *, tta: bool) -> Tensor:
    """Return what the first orientation gives, or with ``tta`` the mean over all."""
    enlarged = enlarge(0)
    if not tta:
        return enlarged
    for number in range(1, len(ORIENTATIONS)):
        enlarged = enlarged + enlarge(number)
    return enlarged / len(ORIENTATIONS)


def enlarge_oriented(
    network: Network,
    pixels: Tensor,
    number: int,
    *,
    half: torch.dtype | None,
    layout: torch.memory_format,
) -> Tensor:
    """Enlarge (N, 3, H, W) in an orientation, padded at the far ends, and turn it back to fp32.

    ``half`` is the type of the forward pass, None for fp32.
    """
    turns, mirrored = ORIENTATIONS[number]
    pixels = orient(pixels, turns, mirrored)
    height, width = pixels.shape[2:]
    pads = (0, network.padded(width) - width, 0, network.padded(height) - height)
    if any(pads):
        pixels = F.pad(pixels, pads, mode="replicate")
    with (
        without_tf32(),
        torch.autocast(pixels.device.type, dtype=half, enabled=half is not None),
    ):
        # a copy, as networks of others may change it
        enlarged: Tensor = network(pixels.clone(memory_format=layout))
    enlarged = enlarged[:, :, : height * network.scale, : width * network.scale].float()
    return undo_orientation(enlarged, turns, mirrored)
