"""Values of files as the numbers that networks take, and what networks give as pixels again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srcli.imaging.pixels.arrays import Array, Floats
from srcli.ports import Values

_SAFELY_SUBTRACTED = 1e290
"""Ends of a range of values whose distance from every float is a float."""


def is_full_range(values: Values) -> bool:
    """Return True for uint8 and uint16 whose whole range is [0, 1] to the network.

    Such pixels need no ``normalise``: none of them lies outside the range.
    """
    if values.dtype not in (np.uint8, np.uint16) or values.most is not None:
        return False
    return values.ranges == ((0, np.iinfo(values.dtype).max),)


def is_narrow(dtype: np.dtype[Any]) -> bool:
    """Return True if float32 holds every value, and a hundred steps in between."""
    return dtype.kind in "ui" and dtype.itemsize <= 2


def normalise(
    tiles: Array, values: Values, interpolated: Sequence[int] = ()
) -> tuple[Floats, Array | None]:
    """Map the values of a file to [0, 1].

    Where bands have ranges of their own, they are the last axis; NaN becomes 0.
    Returned are the clipped tiles, and the excess that clipping took away, in units of
    the range: float32 or float64, None where nothing lies outside. All of an
    ``interpolated`` band is excess: the network gets zeros there.
    """
    ends = np.array(values.ranges, np.float64)
    # Differences of integers of 16 bits are exact in float32; floats may lie close
    # together, far from 0, and must not leave the range by rounding.
    dtype = "f8"
    if is_narrow(tiles.dtype) and bool((ends == np.rint(ends)).all()):
        dtype = "f4"
    units = tiles.astype(dtype)
    if np.abs(ends).max() > _SAFELY_SUBTRACTED:
        units /= 2
        ends /= 2
    units -= ends[:, 0]
    units /= ends[:, 1] - ends[:, 0]
    if tiles.dtype.kind == "f":
        np.nan_to_num(units, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    clipped = units.clip(0.0, 1.0)
    if interpolated:
        clipped[..., list(interpolated)] = 0.0
    units -= clipped
    excess = units if units.any() else None
    return clipped.astype(np.float32, copy=False), excess


class PixelEncoder:
    """Turn enlarged tiles into the pixels of a file, of a dtype and range of values.

    ``values`` are None for photographs: uint8 and uint16 have their full range, float32
    stays as the network gives it.
    """

    def __init__(
        self, dtype: np.dtype[Any], values: Values | None, device: torch.device
    ) -> None:
        self.dtype = dtype
        self.storage: torch.dtype = getattr(torch, dtype.name)
        """Dtype of tensors of finished pixels."""
        self.copies = values is None and dtype.kind == "f"
        """True if pixels are the network's output, neither scaled nor clipped."""
        limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        self._least = float(limits.min)
        self._most = float(limits.max)
        if values is None:
            values = Values(dtype=dtype, ranges=((0.0, self._most),))
        if values.most is not None:
            self._most = values.most
        self.blending = torch.float64
        """Dtype of sums of weighted tiles."""
        if self.copies or is_narrow(dtype):
            self.blending = torch.float32
        # 16 bits are rounded in float64: fp32 has 24 bits, and the last one must not be
        # lost.
        self._rounding = torch.float64
        if self.copies or dtype.itemsize == 1:
            self._rounding = torch.float32
        self.device = device
        """Where to blend tiles of a network on ``device``: Metal has no float64."""
        if device.type == "mps" and torch.float64 in (self._rounding, self.blending):
            self.device = torch.device("cpu")
        self._low = self._of_bands([low for low, _ in values.ranges])
        self._range = self._of_bands([high - low for low, high in values.ranges])

    def encode(self, block: Tensor) -> Tensor:
        """Scale, round and clip (C, h, w), as the network gave it in units of the range.

        What comes back may be of a wider type than ``storage``, which holds its values.
        """
        if self.copies:
            return block
        pixels = block.to(self._rounding)
        # A tensor of our own: what follows works in place, and tiles are not ours to
        # change.
        pixels = pixels * self._range
        if not isinstance(self._low, float) or self._low:
            pixels += self._low
        if self.dtype.kind != "f":
            pixels.round_()
        pixels.clamp_(self._least, self._most)
        if self.storage == torch.uint8 and pixels.device.type == "cpu":
            # to bytes PyTorch turns floats one by one, to 16 bits and on many at once
            pixels = pixels.short()
        return pixels

    def _of_bands(self, numbers: Sequence[float]) -> float | Tensor:
        """Return one number for all bands as a float, else a tensor (C, 1, 1) for (C, h, w)."""
        if len(numbers) == 1:
            return float(numbers[0])
        # Copied at once: what blends may be ahead of the stream in which this is made.
        values = torch.tensor(numbers, dtype=self._rounding, device=self.device)
        return values[:, None, None]
