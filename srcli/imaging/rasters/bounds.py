"""Find the bounds that nature sets to a band, and the bands whose sums are to stay.

A network and bicubic interpolation overshoot at edges: rain comes out negative, cover above
100 %. Bounds are found from the valid values, the names and the unit. Values may be samples
of a large raster, so that a bound can be wrong: it is kept only where the input keeps it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from functools import partial

from srcli.errors import PictureError
from srcli.imaging.pixels.arrays import Array, Limits
from srcli.imaging.pixels.values import are_at
from srcli.imaging.rasters.look import Look
from srcli.imaging.rasters.meanings import Reasons, tell_bands
from srcli.imaging.rasters.nodata import fit_limits
from srcli.imaging.rasters.selection import BandLayout
from srcli.imaging.rasters.signs import UNITS, Band

_PERCENT = 100.0
_INDEX_SIZES = (1.0, _PERCENT, 1000.0, 10_000.0)
"""What 1 of an index is stored as."""
_OF_PICTURES = frozenset({"uint8", "int8", "uint16", "int16"})
"""Types whose values may be a picture, with black beside it, or heights above the sea."""
_MOST_OVERSHOOT = 0.3
"""Overshoot, as a share of the range of all values, beyond which no bound is needed."""
_REFLECTANCE = 2.0
"""Most that snow and water reflect, over what comes in; a little more than all."""
_NO_LIMITS = (-math.inf, math.inf)


def keep_bounds(
    look: Look, layout: BandLayout, scale: int, reasons: Reasons, *, divides: bool
) -> BandLayout:
    """Return the layout whose bands know their limits and, where sums stay, their zero.

    ``divides`` asks for the sums of all bands: each value is divided among its pixels.
    Colours have the limits of their type, as pictures have.

    Raises:
        PictureError: If values cannot be divided.
    """
    if layout.palette is not None or layout.is_packed or not layout.smooth:
        if divides:
            raise PictureError(
                f"{look.info.path}: --divide is for counts and amounts, not for classes, palettes "
                "and packed heights; drop it"
            )
        return layout
    outputs = [*layout.outputs]
    numbers_of_texts: defaultdict[str, list[int]] = defaultdict(list)
    for index in layout.smooth:
        band = Band(look, layout.bands[index], is_only=layout.channels == 1)
        limits, is_amount = _judge(band, layout)
        fit = partial(
            fit_limits,
            dtype=layout.dtype,
            nodata=layout.nodata,
            bits=band.header.bits,
        )
        output = replace(outputs[index], limits=fit(limits))
        if is_amount or divides:
            output = replace(output, zero=band.header.stored(0.0))
        elif output.limits == fit(_NO_LIMITS):
            output = replace(output, limits=None)
        outputs[index] = output
        if output.limits is not None and limits not in (band.measured, _NO_LIMITS):
            text = f"is never {_tell(band, limits)}: kept so"
            if is_amount:
                text += ", and so are the sums of its pixels"
            numbers_of_texts[text].append(band.number)
        if divides and not is_amount:
            kinds = "elevations intensive indices fractions"
            shown = band.called(kinds, "counts")
            if band.unit in UNITS["temperatures"] + UNITS["lengths"]:
                shown = f'its unit is "{band.unit}"'
            if shown:
                text = f"({shown}) has no totals: without --divide it stays what it is"
                numbers_of_texts[text].append(band.number)
        counted = band.called("counts", "quantities")
        if counted and is_amount and not divides:
            text = (
                f"({counted}): each value is repeated for {scale}x{scale} pixels: totals are "
                f"{scale**2} times as large; --divide divides it"
            )
            numbers_of_texts[text].append(band.number)
    reasons.remarks.extend(tell_bands(numbers_of_texts))
    layout = replace(layout, outputs=tuple(outputs))
    return _divide(look, layout, scale, reasons) if divides else layout


def _divide(look: Look, layout: BandLayout, scale: int, reasons: Reasons) -> BandLayout:
    """Return the layout whose values are divided, with a message."""
    text = f"each value is divided among {scale}x{scale} pixels, so that totals stay"
    if not layout.dtype.startswith("float"):
        if layout.nodata == 0:
            raise PictureError(
                f"{look.info.path}: 0 is no data, and whole numbers that are divided become 0; "
                "-ot Float32 keeps fractions"
            )
        text += "; -ot Float32 keeps fractions"
    reasons.remarks.append(text)
    return replace(layout, divisor=scale**2)


def _judge(band: Band, layout: BandLayout) -> tuple[Limits, bool]:
    """Return the limits of a band, and if its values are amounts of nothing or more."""
    if band.look.has_huge_blocks:
        return band.header.limits or _NO_LIMITS, False
    values = band.look.values(band.number, layout.alpha)
    are_named_colours = bool(layout.rgb) and not layout.note
    if are_named_colours or not values.size or values.min() == values.max():
        return band.measured or _NO_LIMITS, False
    is_amount = _is_amount(band, layout, values)
    return _find_limits(band, layout, values, is_amount=is_amount), is_amount


def _find_limits(
    band: Band, layout: BandLayout, values: Array, *, is_amount: bool
) -> Limits:
    """Return the limits of a band of some valid values (n,), not all the same.

    Of three bands that are enlarged together, or beside such, no end of the values counts.
    """
    low, high = band.measured or _NO_LIMITS
    lowest = float(values.min())
    highest = float(values.max())
    zero = band.header.stored(0.0)
    # bicubic interpolation overshoots by 0.28 of the range at most, and networks by less; of
    # hills far above 0 no line is told
    reach = math.inf if is_amount else _MOST_OVERSHOOT * (highest - lowest)
    limits = [_named_limits(band, lowest, highest)]
    if zero <= lowest <= zero + reach:
        limits.append((zero, math.inf))
    if zero - reach <= highest <= zero:
        limits.append((-math.inf, zero))
    # how far values may be beyond whole numbers to which they were rounded
    rounding = 0.5 if layout.smooth_dtype != band.header.dtype else 0.0
    may_have_ends = is_amount or not layout.rgb
    # a gray picture of 8 bits may have a white, and a black, of its own; an index is none
    may_be_gray = not band.is_wide and not band.called("indices", "no_amounts")
    if may_have_ends and not may_be_gray and are_at(values, lowest):
        limits.append((lowest - rounding, math.inf))
    may_have_ends &= not may_be_gray or highest <= _PERCENT
    if may_have_ends and are_at(values, highest):
        limits.append((-math.inf, highest + rounding))
    for lower, upper in limits:
        low = max(low, lower)
        high = min(high, upper)
    return low, high


def _named_limits(band: Band, lowest: float, highest: float) -> Limits:
    """Return the limits of indices and of shares, by the size of the values."""
    scale, offset = band.header.packing
    low, high = sorted([lowest * scale + offset, highest * scale + offset])
    limits = _NO_LIMITS
    if band.called("indices", "no_amounts"):
        for size in _INDEX_SIZES:
            if max(-low, high) <= size:
                limits = (-size, size)
                break
    elif band.called("fractions", "no_amounts"):
        for most in (1.0, _PERCENT):
            if 0 <= low <= high <= most:
                limits = (0.0, most)
                break
    low, high = sorted(band.header.stored(end) for end in limits)
    return low, high


def _is_amount(band: Band, layout: BandLayout, values: Array) -> bool:
    """Tell if values are amounts of nothing or more: by name, or as many are exactly nothing."""
    zero = band.header.stored(0.0)
    scale, _ = band.header.packing
    ends = float(values.min()), float(values.max())
    is_from_zero = zero <= ends[0] if scale >= 0 else zero >= ends[1]
    is_other = band.elevation_by_name or band.unit in UNITS["temperatures"]
    if not is_from_zero or is_other:
        return False
    if zero in _named_limits(band, *ends):
        return True
    if band.called("amounts counts", "no_amounts"):
        return True
    is_plain = band.header.dtype in _OF_PICTURES and band.header.packing == (1.0, 0.0)
    is_reflectance = max(abs(end - zero) * abs(scale) for end in ends) <= _REFLECTANCE
    may_be_picture = bool(layout.rgb) or is_plain or is_reflectance
    return not may_be_picture and are_at(values, zero)


def _tell(band: Band, limits: Limits) -> str:
    """Return limits in words, in the unit of the band."""
    scale, offset = band.header.packing
    # what is left of an offset by rounding is 0
    digits = 9 if offset else 300
    ends = [round(end * scale + offset, digits) for end in limits]
    low, high = sorted(end + 0.0 for end in ends)  # as -0 is 0
    texts = []
    if math.isfinite(low):
        texts.append(f"below {low:.6g}")
    if math.isfinite(high):
        texts.append(f"above {high:.6g}")
    return " or ".join(texts)
