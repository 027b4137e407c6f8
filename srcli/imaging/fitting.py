"""Downscale pictures to fit into a box of pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.resize import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Box:
    """Bounds of a picture's sides in pixels; None for a side that may have any length."""

    width: int | None = None
    height: int | None = None

    def fitted(self, height: int, width: int) -> tuple[int, int]:
        """Return the largest size (height, width) of the same shape that fits; never a larger one.

        Args:
            height: Rows of the picture.
            width: Columns of the picture.
        """
        bounds = ((self.height, height), (self.width, width))
        share = min((Fraction(most, side) for most, side in bounds if most), default=Fraction(1))
        if share >= 1:
            return height, width
        return max(round(height * share), 1), max(round(width * share), 1)


UNBOUNDED = Box()
"""No bounds."""


def parse_box(text: str) -> Box:
    """Read bounds such as ``3840x2160``, ``3840x`` (the width alone) or ``x2160``.

    Raises:
        ValueError: If it is something else.
    """
    found = re.fullmatch(r"([1-9]\d*)?[xX×]([1-9]\d*)?", text.strip())
    if found is None or not any(found.groups()):
        raise ValueError(f"{text!r} is no size such as 3840x2160, 3840x or x2160")
    width, height = (int(side) if side else None for side in found.groups())
    return Box(width=width, height=height)


def shrink(image: Array, size: tuple[int, int]) -> Array:
    """Downscale a picture by bicubic interpolation with antialiasing.

    Args:
        image: (H, W) or (H, W, C), any real dtype.
        size: (height, width), at most that of the picture.

    Returns:
        That size, dtype and number of dimensions kept, values within those of the picture.
    """
    if image.shape[:2] == size:
        return image
    smaller = resize(image, size=size)
    # Bicubic overshoots: what was clear, opaque or white all around must stay exactly so.
    return np.clip(smaller, image.min(), image.max())


def shrink_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Downscale a mask (H, W); a pixel is set where any part of it is."""
    starts = [np.arange(new) * old // new for new, old in zip(size, mask.shape, strict=True)]
    rows = np.logical_or.reduceat(mask, starts[0], axis=0)
    return np.logical_or.reduceat(rows, starts[1], axis=1)
