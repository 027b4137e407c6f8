"""Tell bands of alpha from data that is called alpha, and soft alpha from alpha of two values.

Many programs call the fourth band of a TIFF alpha, though it holds near infrared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from srcli.imaging.arrays import Array
from srcli.imaging.rasters.look import Look

AlphaMode = Literal["auto", "yes", "no"]

_FEW = 16
"""Up to so many different values above 0 are alpha."""
_FAINT = 0.1
"""Share of the highest possible value below which alpha would let nothing be seen."""
_OPAQUE = 255
"""In 16 bits as well, where programs have copied 8."""
_ROUGH = 0.35
"""Changes of slope over slopes: 0.25 of alpha feathered over 12 pixels, 1 and more of
pictures."""


@dataclass(frozen=True)
class AlphaFindings:
    """What is known of the bands that a file calls alpha."""

    look: Look
    """The file, in which alpha bands that hold data have the interpretation undefined."""
    notes: tuple[str, ...] = ()
    soft: tuple[float, float] | None = None
    """Lowest and highest value of an alpha band that has others besides 0 and its
    highest; None without such a band."""


def check_alpha_bands(
    look: Look, mode: AlphaMode, numbers: Sequence[int] | None
) -> AlphaFindings:
    """Look at bands called alpha: those of many values, none of them frequent, are data.

    Alpha changes slowly where it is soft, and most of what is seen has one value. The
    modes ``yes`` and ``no`` say of all of them that they are alpha, or data.
    ``numbers`` are those of the bands that are kept; None is all.
    """
    soft: tuple[float, float] | None = None
    bands = list(look.info.bands)
    data = []
    for number, band in enumerate(look.info.bands, 1):
        is_chosen = numbers is None or number in numbers
        if band.interpretation != "alpha" or not is_chosen:
            continue
        pixels = _sample(look, number)
        if mode == "no" or (mode == "auto" and _is_data(pixels, band.bits)):
            bands[number - 1] = replace(band, interpretation="undefined")
            data.append(str(number))
        elif soft is None and pixels.size:
            highest = float(pixels.max())
            if bool(((pixels != 0) & (pixels != highest)).any()):
                soft = (float(pixels.min()), highest)
    if not data:
        return AlphaFindings(look, soft=soft)
    note = (
        f"band {','.join(data)} is called alpha, but has the values of data, such as near "
        "infrared: enlarged as data; --alpha yes if it is transparency"
    )
    notes = (note,) if mode == "auto" else ()
    return AlphaFindings(look.with_bands(bands), notes, soft)


def _sample(look: Look, band: int) -> Array:
    """Return pixels (n, h, w) of windows of a band, all of a small one; NaN becomes 0."""
    if look.has_huge_blocks:
        return np.empty((0, 0, 0), look.info.band(band).dtype)
    pixels = look.stack(band, side=512, along=4).pixels
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels)
    return pixels


def _is_data(pixels: Array, bits: int | None) -> bool:
    """Tell if pixels (n, h, w) are no alpha; ``bits`` as in ``BandInfo``."""
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
