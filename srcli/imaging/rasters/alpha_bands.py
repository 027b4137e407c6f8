"""Tell bands of alpha from data that is called alpha.

Many programs call the fourth band of a TIFF alpha, though it holds near infrared.
"""

from __future__ import annotations

import numpy as np

from srcli.imaging.pixels.arrays import Array

_FEW = 16
"""Up to so many different values above 0 are alpha."""
_FAINT = 0.1
"""Share of the highest possible value below which alpha would let nothing be seen."""
_OPAQUE = 255
"""In 16 bits as well, where programs have copied 8."""
_ROUGH = 0.35
"""Changes of slope over slopes: 0.25 of alpha feathered over 12 pixels, 1 and more of
pictures."""


def is_data(pixels: Array, bits: int | None) -> bool:
    """Tell if pixels (n, h, w) are no alpha; ``bits`` as in ``BandInfo``.

    Data have many values, none of them frequent. Alpha changes slowly where it is soft,
    and most of what is seen has one value.
    """
    is_seen = pixels > 0
    values, counts = np.unique(pixels[is_seen], return_counts=True)
    if not len(values):
        return False
    highest = float(values[-1])
    if pixels.dtype.kind != "f" and len(values) > 1 and highest != _OPAQUE:
        most = 2 ** (bits or pixels.dtype.itemsize * 8) - 1
        if highest < _FAINT * most:
            return True
    if len(values) <= _FEW or 2 * counts.max() > counts.sum():
        return False
    rounding = highest / 255
    slopes = 0.0
    turns = 0.0
    for lines in (pixels, pixels.swapaxes(1, 2)):
        slope = np.diff(lines.astype(np.float64), axis=2)
        turn = np.abs(np.diff(slope, axis=2))
        slopes += float(np.abs(slope).sum())
        is_turn = turn > rounding
        turns += float(turn[is_turn].sum())
    return turns > _ROUGH * slopes
