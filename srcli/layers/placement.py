"""Where tiles lie in their pictures, for layers that stretch a map over the whole picture.

Such a layer makes one value of every so many pixels and resizes them to the size of its input, by
a factor that depends on that size: a tile would be stretched otherwise than the picture that it is
of. Told where the tile lies, the layer stretches it as its part of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from srcli.layers.context import Context
from srcli.layers.precision import full_precision

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the items of a batch lie: (N,) integers each, in pixels."""

    tops: Tensor
    lefts: Tensor
    heights: Tensor
    """Of the whole pictures, as ``widths``."""
    widths: Tensor

    def rows(self, chosen: Tensor) -> Placement:
        """Return those of some items: a boolean (N,)."""
        parts = (self.tops, self.lefts, self.heights, self.widths)
        return Placement(*(each[chosen] for each in parts))

    def mirrored(self, width: int) -> Placement:
        """Where tiles of this width lie once picture and tiles are mirrored from left to right."""
        lefts = self.widths - self.lefts - width
        return Placement(self.tops, lefts, self.heights, self.widths)

    def rotated(self, height: int, width: int, turns: int) -> Placement:
        """Where tiles lie once all are rotated by quarters, anticlockwise, as by ``torch.rot90``.

        Args:
            height: Of the tiles, before.
            width: Of the tiles, before.
            turns: How many quarters, at least 0.
        """
        if turns == 0:
            return self
        tops = self.widths - self.lefts - width
        once = Placement(tops, self.tops, self.widths, self.heights)
        return once.rotated(width, height, turns - 1)


_PLACEMENT: Context[Placement] = Context("placement")


def placed(placement: Placement | None) -> AbstractContextManager[None]:
    """Tell the layers of a network where its batch lies; None: every item is a whole picture."""
    return _PLACEMENT.saying(placement)


def given_placement() -> Placement | None:
    """Return where the batch lies; None where its items are whole pictures."""
    return _PLACEMENT.said()


def stretch_part(
    maps: Tensor,
    size: tuple[int, int],
    placement: Placement,
    *,
    step: int,
    count: Callable[[Tensor], Tensor],
) -> Tensor:
    """Resize maps of tiles as bilinear resizing of the whole pictures' maps would.

    Equal to the part of ``F.interpolate(..., mode="bilinear", align_corners=False)`` of the whole,
    as far as a tile's map is the part of the whole's: where tiles begin on multiples of ``step``,
    away from their borders.

    Args:
        maps: (N, C, h, w), one value for every ``step`` pixels of the tiles.
        size: (H, W) of the tiles.
        placement: Where they lie.
        step: Pixels from one value to the next.
        count: Values along an axis of so many pixels; element by element.

    Returns:
        (N, C, H, W) of the dtype of ``maps``.
    """
    axes = (
        (placement.tops, placement.heights, size[0], maps.shape[2]),
        (placement.lefts, placement.widths, size[1], maps.shape[3]),
    )
    rows, columns = (
        _weights(starts, wholes, length, values, step=step, count=count)
        for starts, wholes, length, values in axes
    )
    tiles, channels, height = maps.shape[:3]
    # Channels last, where both steps are plain matrix products.
    with full_precision(maps.device):
        wide = columns[:, None] @ maps.permute(0, 2, 3, 1).float()
        full = rows @ wide.view(tiles, height, size[1] * channels)
    return full.view(tiles, *size, channels).permute(0, 3, 1, 2).to(maps.dtype)


def _weights(
    starts: Tensor,
    wholes: Tensor,
    length: int,
    values: int,
    *,
    step: int,
    count: Callable[[Tensor], Tensor],
) -> Tensor:
    """Share of each of a tile's ``values`` in each of its ``length`` pixels: (N, length, values).

    Wide numbers, as a picture may have 50,000 columns and more; MPS has none.
    """
    kind = torch.float32 if starts.device.type == "mps" else torch.float64
    in_whole = count(wholes).view(-1, 1).to(kind)
    starts, wholes = starts.view(-1, 1).to(kind), wholes.view(-1, 1).to(kind)
    pixels = torch.arange(length, device=starts.device, dtype=kind) + 0.5
    places = (pixels + starts) * (in_whole / wholes) - 0.5
    places = torch.minimum(places.clamp(min=0), in_whole - 1) - starts / step
    distances = places.clamp(0, values - 1)[..., None] - torch.arange(values, device=starts.device)
    return (1 - distances.abs()).clamp(min=0).float()
