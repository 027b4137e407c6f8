"""Maps that are stretched over a whole picture, in networks that get a tile of it.

A layer that makes one value of every so many pixels and resizes them to the size of its input does
so by a factor that depends on that size: a tile would be stretched otherwise than the picture that
it is of. While it holds where the tile lies, ``StretchedMap`` stretches it as its part of the
picture. Positions are (N, 4) integers in pixels: top and left of each tile of a batch, height and
width of its picture.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import full_precision

if TYPE_CHECKING:
    from collections.abc import Iterator

Mode = Literal["bilinear", "nearest"]


class StretchedMap(nn.Module):
    """Resize maps with one value for every ``step`` pixels to the size that they were made of.

    The first value needs ``minimum`` pixels; ``mode`` is as ``F.interpolate`` takes it.
    """

    rows: Tensor | None
    columns: Tensor | None

    def __init__(self, *, step: int, minimum: int, mode: Mode = "bilinear") -> None:
        super().__init__()
        self.step = step
        self.minimum = minimum
        self.mode = mode
        self.register_buffer("rows", None, persistent=False)
        self.register_buffer("columns", None, persistent=False)

    def forward(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize (N, C, h, w) to (N, C, *size)."""
        if self.rows is None or self.columns is None:
            return F.interpolate(maps, size=size, mode=self.mode)
        return stretch_part(maps, self.rows, self.columns)


def stretched_maps(network: nn.Module) -> dict[str, StretchedMap]:
    """Return the stretched maps of a network by the names of their modules."""
    return {name: each for name, each in network.named_modules() if isinstance(each, StretchedMap)}


@contextmanager
def use_positions(
    network: nn.Module, positions: Tensor | None, size: tuple[int, int]
) -> Iterator[None]:
    """Let the stretched maps of a network hold where its batch lies, until the block ends.

    ``positions`` are None if every item is a whole picture; ``size`` is that of the input.
    """
    modules = stretched_maps(network).values()
    weights: dict[tuple[int, int, Mode], tuple[Tensor, Tensor]] = {}  # mostly one for all modules
    try:
        for each in modules if positions is not None else ():
            kind = (each.step, each.minimum, each.mode)
            if kind not in weights:
                assert positions is not None
                weights[kind] = stretch_weights(positions, size, *kind)
            each.rows, each.columns = weights[kind]
        yield
    finally:
        for each in modules:
            each.rows = each.columns = None


def orient_positions(
    positions: Tensor, height: int, width: int, turns: int, mirrored: bool
) -> Tensor:
    """Return where tiles of ``height`` x ``width`` lie once pictures and tiles go by ``orient``."""
    top, left, rows, columns = positions.unbind(1)
    if mirrored:
        left = columns - left - width
    for _ in range(turns):
        top, left, rows, columns = columns - left - width, top, columns, rows
        height, width = width, height
    return torch.stack((top, left, rows, columns), dim=1)


def stretch_weights(
    positions: Tensor, size: tuple[int, int], step: int, minimum: int, mode: Mode = "bilinear"
) -> tuple[Tensor, Tensor]:
    """Return the weights by which ``stretch_part`` resizes maps of tiles; see ``StretchedMap``.

    They are of (N, H, h) and (N, W, w): the share of each value of a map in each row and column. A
    shorter side of ``size`` (H, W) than ``minimum`` counts as that long.
    """
    # Wide numbers, as a picture may have 50,000 columns and more; MPS has none.
    kind = torch.float32 if positions.device.type == "mps" else torch.float64

    def shares(starts: Tensor, wholes: Tensor, length: int) -> Tensor:
        length = max(length, minimum)
        values = (length - minimum) // step + 1
        in_whole = ((wholes.clamp(min=minimum) - minimum) // step + 1).view(-1, 1).to(kind)
        starts, wholes = starts.view(-1, 1).to(kind), wholes.view(-1, 1).to(kind)
        pixels = torch.arange(length, device=starts.device, dtype=kind) + starts
        if mode == "nearest":
            places = (pixels * (in_whole / wholes)).floor()
        else:
            places = (pixels + 0.5) * (in_whole / wholes) - 0.5
        places = torch.minimum(places.clamp(min=0), in_whole - 1) - starts / step
        own = torch.arange(values, device=starts.device)
        distances = places.clamp(0, values - 1)[..., None] - own
        return (1 - distances.abs()).clamp(min=0).float()

    top, left, height, width = positions.T
    return shares(top, height, size[0]), shares(left, width, size[1])


def stretch_part(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Resize maps of tiles, (N, C, h, w) to (N, C, H, W), as the whole pictures' would be.

    Equal to the part of ``F.interpolate`` of the whole, as far as a tile's map is the part of the
    whole's: where tiles begin on multiples of ``step``, away from their borders. ``rows`` and
    ``columns`` are from ``stretch_weights``.
    """
    tiles, channels, height = maps.shape[:3]
    size = (rows.shape[1], columns.shape[1])
    # Channels last, where both steps are plain matrix products.
    with full_precision(maps.device):
        wide = columns[:, None] @ maps.permute(0, 2, 3, 1).float()
        full = rows @ wide.view(tiles, height, size[1] * channels)
    return full.view(tiles, *size, channels).permute(0, 3, 1, 2).to(maps.dtype)


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
