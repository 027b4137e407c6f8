"""Convert the values of a file to a network's [0, 1] and back: ranges, rounding, dtypes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from srcli.ports.image import Values

_STORAGE: dict[str, torch.dtype] = {
    "uint8": torch.uint8,
    "int8": torch.int8,
    "uint16": torch.uint16,
    "int16": torch.int16,
    "uint32": torch.uint32,
    "int32": torch.int32,
    "float32": torch.float32,
    "float64": torch.float64,
}


def is_full_range(values: Values) -> bool:
    """Return True for uint8 and uint16 whose whole range is [0, 1] to the network.

    Such pixels need no arithmetic of their own, and none lies outside the range.
    """
    if values.dtype not in (np.uint8, np.uint16):
        return False
    return values.ranges == ((0, np.iinfo(values.dtype).max),)


def normalise(
    tiles: NDArray[Any], values: Values
) -> tuple[NDArray[np.float32], NDArray[Any] | None]:
    """Map the values of a file to [0, 1].

    Args:
        tiles: Of the dtype of ``values``; the last axis are bands where these have ranges of their
            own, else any shape. Numbers that are not finite become 0 or 1.
        values: Their range.

    Returns:
        The tiles clipped to [0, 1], and what clipping took away, in units of the range: float32 or
        float64, None where nothing lies outside.
    """
    # Differences of integers of 16 bits are exact in float32; floats may lie close together, far
    # from 0, and must not leave the range by rounding.
    ends = np.array(values.ranges, np.float64)
    whole = bool((ends == np.rint(ends)).all())
    units: NDArray[Any] = tiles.astype("f4" if whole and _is_narrow(tiles.dtype) else "f8")
    low, high = ends.T if len(ends) > 1 else ends[0]
    units -= low
    units /= high - low
    if tiles.dtype.kind == "f":
        np.nan_to_num(units, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    clipped = units.clip(0.0, 1.0)
    units -= clipped
    return clipped.astype(np.float32, copy=False), units if units.any() else None


class PixelEncoder:
    """Turn enlarged tiles into the pixels of a file.

    Args:
        dtype: Of the pixels.
        values: Their range. None is for photographs: uint8 and uint16 have their full range,
            float32 comes as the network gives it.
    """

    def __init__(self, dtype: np.dtype[Any], values: Values | None = None) -> None:
        if dtype.name not in _STORAGE:
            raise ValueError(f"expected one of {', '.join(_STORAGE)}, got {dtype}")
        if values is None and dtype not in (np.uint8, np.uint16, np.float32):
            raise ValueError(f"expected values for pixels of {dtype}")
        self.dtype = dtype
        self.storage = _STORAGE[dtype.name]
        """Dtype of tensors of finished pixels."""
        self.copies = values is None and dtype.kind == "f"
        """True if pixels are the network's output, neither scaled nor clipped."""
        narrow = _is_narrow(dtype)
        self.blending = torch.float32 if narrow or self.copies else torch.float64
        """Dtype of sums of weighted tiles."""
        # 16 bits are rounded in float64: fp32 has 24 bits, and the last one must not be lost.
        eight = self.copies or dtype.itemsize == 1
        self._rounding = torch.float32 if eight else torch.float64
        limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        self._limits = (float(limits.min), float(limits.max))
        own = None if values is None or is_full_range(values) else values
        ranges = own.ranges if own else ((0.0, self._limits[1]),)
        self._low = self._of_bands([low for low, _ in ranges])
        self._range = self._of_bands([high - low for low, high in ranges])

    def encode(self, block: Tensor) -> Tensor:
        """Scale, round and clip.

        Args:
            block: (C, h, w) as the network gave it, in units of the range.
        """
        if self.copies:
            return block
        # A tensor of our own: what follows works in place, and tiles are not ours to change.
        pixels = block.to(self._rounding)
        if isinstance(self._range, torch.Tensor) and isinstance(self._low, torch.Tensor):
            # Kept on the device: copying them for every block would wait for a GPU.
            self._range, self._low = self._range.to(pixels.device), self._low.to(pixels.device)
        pixels = pixels * self._range
        if not isinstance(self._low, float) or self._low:
            pixels += self._low
        if self.dtype.kind != "f":
            pixels.round_()
        return pixels.clamp_(*self._limits)

    def _of_bands(self, numbers: Sequence[float]) -> float | Tensor:
        if len(numbers) == 1:
            return float(numbers[0])
        return torch.tensor(numbers, dtype=self._rounding)[:, None, None]

    def blending_device(self, device: torch.device) -> torch.device:
        """Return the device on which to blend tiles of a network that runs on ``device``."""
        if device.type == "mps" and torch.float64 in (self._rounding, self.blending):
            return torch.device("cpu")  # Metal has no float64
        return device


def _is_narrow(dtype: np.dtype[Any]) -> bool:
    """Return True if float32 holds every value, and a hundred steps in between."""
    return dtype.kind in "ui" and dtype.itemsize <= 2
