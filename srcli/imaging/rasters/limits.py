"""The valid range that a raster states beside its values.

A network and bicubic interpolation overshoot at edges. Readers that know the range take
what lies beyond it for no data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from srcli.imaging.pixels.arrays import Array

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def find_limits(
    tags: Mapping[str, str],
    dtype: str,
    packing: tuple[float, float] = (1.0, 0.0),
    nodata: float | None = None,
) -> tuple[float, float] | None:
    """Return the lowest and highest value that valid pixels of a dtype may have.

    The tags ``valid_range``, ``valid_min`` and ``valid_max`` state them (NetCDF User Guide,
    CF conventions). ``packing`` is scale and offset by which the values become
    measurements. A range of whole numbers is one of values as they are stored, that of
    floats beside packed integers one of measurements. None where no range is stated.
    """
    by_name = {name.lower(): text for name, text in tags.items()}
    # a file must not state both forms; where it does, this counts for netCDF4, too
    texts = _NUMBER.findall(by_name.get("valid_range", ""))
    if len(texts) != 2:
        texts = []
        for name, unlimited in (("valid_min", "-inf"), ("valid_max", "inf")):
            numbers = _NUMBER.findall(by_name.get(name, ""))
            texts.append(numbers[0] if len(numbers) == 1 else unlimited)
    low, high = map(float, texts)
    if not low < high or (low, high) == (-np.inf, np.inf):
        return None
    number_type = np.dtype(dtype)
    scale, offset = packing
    has_fractions = any("." in text or "e" in text.lower() for text in texts)
    if packing != (1.0, 0.0) and number_type.kind in "iu" and has_fractions:
        ends = sorted([(low - offset) / scale, (high - offset) / scale])
        # a number such as 0.3 / 0.1 is meant to be 3
        low, high = (round(end, 6) for end in ends)
    if number_type.kind in "iu":
        limits = np.iinfo(number_type)
        low = np.ceil(max(low, float(limits.min)))
        high = np.floor(min(high, float(limits.max)))
        low += low == nodata
        high -= high == nodata
        return (float(low), float(high)) if low < high else None
    low = _inside(number_type, low, 1)
    high = _inside(number_type, high, -1)
    return (low, high) if low < high else None


def _inside(dtype: np.dtype[Any], end: float, step: int) -> float:
    """Return the float of a dtype closest to an end of a range, and not beyond it."""
    if not np.isfinite(end):
        return end
    with np.errstate(over="ignore"):
        nearest = dtype.type(end)
    if (float(nearest) - end) * step < 0:
        nearest = np.nextafter(nearest, dtype.type(step * np.inf))
    return float(nearest)


def keep_within(rows: Array, before: Array, limits: tuple[float, float]) -> None:
    """Move values of an enlarged band into limits, in place, where the input's are within.

    ``before`` holds the pixel of the input for each of ``rows``: what lies beyond the
    limits there already is left to its reader.
    """
    low, high = limits
    are_within = (before >= low) & (before <= high)
    np.copyto(rows, np.asarray(low, rows.dtype), where=are_within & (rows < low))
    np.copyto(rows, np.asarray(high, rows.dtype), where=are_within & (rows > high))
