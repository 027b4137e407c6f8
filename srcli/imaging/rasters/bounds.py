"""Find the bounds that nature sets to a band, and the bands whose sums are to stay.

A network and bicubic interpolation overshoot at edges: rain comes out negative, cover above
100 %. Bounds are found from the valid values, the names and the unit. Values may be samples
of a large raster, so that a bound can be wrong: it is kept only where the input keeps it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.rasters.look import Look
from srcli.imaging.rasters.meanings import Reasons
from srcli.imaging.rasters.selection import BandLayout
from srcli.imaging.rasters.signs import Band, find_unit, find_word

_LEAST_AT_END = 16
_SHARE_AT_END = 0.001
"""Pixels, and share of the valid ones, that lie exactly on the lowest or highest value where
that is a bound."""
_PERCENT = 100.0
_INDEX_SIZES = (1.0, _PERCENT, 1000.0, 10_000.0)
"""What 1 of an index is stored as."""


_OF_PICTURES = frozenset({"uint8", "int8", "uint16", "int16"})
"""Types whose values may be a picture, with black beside it, or heights above the sea."""
_REFLECTANCE = 2.0
"""Most that snow and water reflect, over what comes in; a little more than all."""
Limits = tuple[float, float]
"""Lowest and highest value, as they are stored; maybe infinite."""


def keep_bounds(
    look: Look, layout: BandLayout, scale: int, reasons: Reasons, *, divides: bool
) -> BandLayout:
    """Return the layout whose bands know their limits and, where sums stay, their zero.

    ``divides`` asks for the sums of all bands: each value is divided among its pixels.
    Colours have the limits of their type, as pictures have.
    """
    are_named_colours = bool(layout.rgb) and not layout.note
    if layout.palette is not None or layout.is_packed or look.has_huge_blocks:
        return layout
    outputs = [*layout.outputs]
    limited: defaultdict[str, list[int]] = defaultdict(list)
    counted: defaultdict[str, list[int]] = defaultdict(list)
    for index in layout.smooth:
        band = Band(look, layout.bands[index], is_only=layout.channels == 1)
        limits = band.measured or (-math.inf, math.inf)
        values = look.values(band.number, layout.alpha)
        is_amount = False
        if values.size and values.min() < values.max() and not are_named_colours:
            is_amount = not layout.rgb and _is_amount(band, values)
            limits = _find_limits(band, layout, values, is_amount=is_amount)
        fitted: Limits | None = _fit_limits(limits, layout)
        text = _tell(band, limits)
        zero = None
        if is_amount or divides:
            zero = band.header.stored_zero
        elif fitted == _fit_limits((-math.inf, math.inf), layout):
            fitted = None
            text = ""
        if text and is_amount:
            text += ", and so are the sums of its pixels"
        limited[text].append(band.number)
        if not divides:
            counted[_name_counts(band)].append(band.number)
        outputs[index] = replace(outputs[index], limits=fitted, zero=zero)
    limited.pop("", None)
    counted.pop("", None)
    for text, numbers in limited.items():
        reasons.remarks.append(f"{_bands_text(numbers)} is never {text}")
    copies = f"{scale}x{scale} pixels"
    then = f"repeated for {copies}: totals are {scale**2} times as large; --divide divides it"
    if divides:
        then = f"divided among {copies}, so that totals stay"
        counted[""] = layout.numbers(range(len(layout.smooth)))
        if layout.dtype.startswith(("int", "uint")):
            if layout.nodata == 0:
                raise PictureError(
                    f"{look.info.path}: 0 is no data, and whole numbers that are divided become 0; "
                    "-ot Float32 keeps fractions"
                )
            then += "; -ot Float32 keeps fractions"
    for text, numbers in counted.items():
        reasons.remarks.append(f"{_bands_text(numbers)}{text}: each value is {then}")
    divisor = scale**2 if divides else 1
    return replace(layout, outputs=tuple(outputs), divisor=divisor)


def _find_limits(
    band: Band, layout: BandLayout, values: Array, *, is_amount: bool
) -> Limits:
    """Return the limits of a band of some valid values (n,), not all the same.

    Of three bands that are enlarged together, or beside such, only that nothing lies beyond
    zero counts.
    """
    low, high = band.measured or (-math.inf, math.inf)
    lowest = float(values.min())
    highest = float(values.max())
    zero = band.header.stored_zero
    # nothing overshoots by more than the range of the values
    reach = math.inf if is_amount else highest - lowest
    if zero <= lowest <= zero + reach:
        low = max(low, zero)
    if zero - reach <= highest <= zero:
        high = min(high, zero)
    if layout.rgb:
        return low, high
    # a gray picture of 8 bits may have a white, and a black, of its own
    if band.is_wide and _is_at(values, lowest):
        low = max(low, lowest - _rounding(band, layout))
    if (band.is_wide or highest <= _PERCENT) and _is_at(values, highest):
        high = min(high, highest + _rounding(band, layout))
    named = _named_limits(band, lowest, highest)
    return max(low, named[0]), min(high, named[1])


def _is_at(values: Array, end: float) -> bool:
    """Tell if so many values lie exactly on their lowest or highest that it is a bound."""
    count = int((values == end).sum())
    return count >= max(_LEAST_AT_END, _SHARE_AT_END * values.size)


def _rounding(band: Band, layout: BandLayout) -> float:
    """Return how far values may be beyond whole numbers to which they were rounded."""
    return 0.5 if layout.smooth_dtype != band.header.dtype else 0.0


def _named_limits(band: Band, lowest: float, highest: float) -> Limits:
    """Return the limits of indices and of shares, by the size of the values."""
    scale, offset = band.header.packing
    ends = sorted([lowest * scale + offset, highest * scale + offset])
    limits = (-math.inf, math.inf)
    if find_word(band, "indices", "no_amounts"):
        size = min(
            (size for size in _INDEX_SIZES if size >= max(-ends[0], ends[1])),
            default=math.inf,
        )
        limits = (-size, size)
    elif (
        find_word(band, "fractions", "no_amounts")
        and ends[0] >= 0
        and ends[1] <= _PERCENT
    ):
        limits = (0.0, 1.0 if ends[1] <= 1 else _PERCENT)
    low, high = sorted((end - offset) / (scale or 1.0) for end in limits)
    return low, high


def _is_amount(band: Band, values: Array) -> bool:
    """Tell if values are amounts of nothing or more: by name, or as many are exactly nothing."""
    zero = band.header.stored_zero
    scale, _ = band.header.packing
    ends = values.min(), values.max()
    is_from_zero = zero <= ends[0] if scale >= 0 else zero >= ends[1]
    if not is_from_zero or find_word(band, "elevations", "no_angles"):
        return False
    if find_word(band, "amounts counts fractions", "no_amounts") or _name_counts(band):
        return True
    is_plain = band.header.dtype in _OF_PICTURES and band.header.packing == (1.0, 0.0)
    is_reflectance = max(abs(end - zero) * abs(scale) for end in ends) <= _REFLECTANCE
    return not (is_plain or is_reflectance) and _is_at(values, zero)


def _name_counts(band: Band) -> str:
    """Return what shows that values are totals of their pixels; empty if nothing does."""
    word = find_unit(band, "counts") or find_word(band, "counts", "no_amounts")
    return f" ({word})" if word else ""


def _tell(band: Band, limits: Limits) -> str:
    """Return the limits that the file does not state, in its unit; empty without any."""
    if limits == band.measured:
        return ""
    scale, offset = band.header.packing
    low, high = sorted(end * scale + offset for end in limits)
    texts = []
    if math.isfinite(low):
        texts.append(f"below {low:.6g}")
    if math.isfinite(high):
        texts.append(f"above {high:.6g}")
    if not texts:
        return ""
    return f"{' or '.join(texts)}: kept so"


def _fit_limits(limits: Limits, layout: BandLayout) -> Limits:
    """Return limits as values of the output, none of them no data."""
    low, high = limits
    dtype = np.dtype(layout.dtype)
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        low = math.ceil(max(low, ends.min))
        high = math.floor(min(high, ends.max))
        low += low == layout.nodata
        high -= high == layout.nodata
    return low, high


def _bands_text(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"band {numbers[0]}"
    return f"each of bands {','.join(map(str, numbers))}"
