"""Judge a raster by samples of its pixels: values for black and white."""

from __future__ import annotations

from typing import Literal

import numpy as np

from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.values import robust_range
from srcli.imaging.rasters.heights import MOST
from srcli.imaging.rasters.look import Look
from srcli.imaging.rasters.selection import BandLayout
from srcli.ports import ValueRange, Values

_LEAST_VALUES = 10_000
"""Valid values, all bands together, of fewer of which more windows are looked at."""


def choose_value_range(
    look: Look,
    layout: BandLayout,
    spec: Literal["auto", "dtype"] | ValueRange,
) -> tuple[Values, str]:
    """Choose the values that become 0 and 1 for the network, the same for all tiles and runs.

    ``auto`` takes 0 to 255 for uint8, 0 to 1 for floats in this range, otherwise the
    range of nearly all valid pixels: of red, green and blue together and of every other
    band alone, so that heights in metres do not swamp an index of -1 to 1. ``dtype`` is
    the full range of the dtype (0 to 1 for floats). The text returned is a note for the
    user, empty if the range was not found from pixels.
    """
    dtype = np.dtype(layout.dtype)
    is_float = dtype.kind == "f"
    most = _highest_value(layout)
    ends = (0.0, 1.0)
    if isinstance(spec, tuple):
        ends = spec
    elif not is_float:
        limits = np.iinfo(dtype)
        ends = (float(limits.min), most or float(limits.max))
    if spec != "auto" or dtype == np.uint8:
        return Values(dtype=dtype, ranges=(ends,), most=most), ""
    samples = _sample_groups(look, layout)
    ranges = [robust_range(group) if group.size else ends for group in samples]
    reason = "no valid pixel was found"
    if any(map(len, samples)):
        reason = "measured"
    low, high = _range_texts(*ranges[0])
    shown = f"{low} as black and {high} as white"
    if len(set(ranges)) == 1:
        ranges = ranges[:1]
    else:
        shown = f"as black to white, {_list_ranges(layout, ranges)}"
        range_of_position = {}
        for group, group_range in zip(layout.groups, ranges, strict=True):
            range_of_position.update(dict.fromkeys(group, group_range))
        ranges = [range_of_position[index] for index in sorted(range_of_position)]
    values = Values(dtype=dtype, ranges=tuple(ranges), most=most)
    note = f"the network sees {shown} ({reason}); --range LO,HI changes this"
    return values, note


def values_as_they_are(layout: BandLayout) -> Values:
    """Return the values of bands that no network sees, or none: 0 to 1, which changes none."""
    most = MOST if layout.is_packed else _highest_value(layout)
    return Values(dtype=np.dtype(layout.smooth_dtype), ranges=((0.0, 1.0),), most=most)


def _list_ranges(layout: BandLayout, ranges: list[ValueRange]) -> str:
    """Return the ranges of the first groups of bands, in words, and how many more there are."""
    texts = []
    for group, (low, high) in zip(layout.groups[:4], ranges, strict=False):
        names = ",".join(map(str, layout.numbers(group)))
        texts.append(f"{names}: {' to '.join(_range_texts(low, high))}")
    if len(ranges) > 4:
        texts.append(f"{len(ranges) - 4} more")
    return f"of bands {'; '.join(texts)}"


def _highest_value(layout: BandLayout) -> float | None:
    """Return the highest value of ``BandInfo.bits`` bits; None for all bits of the dtype."""
    bits = {layout.outputs[index].bits for index in layout.smooth}
    fewest = bits.pop() if len(bits) == 1 else None
    if fewest is None or not layout.dtype.startswith("uint"):
        return None
    return float(2**fewest - 1)


def _sample_groups(look: Look, layout: BandLayout) -> list[Array]:
    """Return the valid values of each group of bands, by many windows if few are valid."""
    samples = _values_of_groups(look, layout)
    least = _LEAST_VALUES // len(layout.smooth)
    if min(map(len, samples)) < least and not look.is_whole:
        samples = _values_of_groups(look.finer(), layout)
    return samples


def _values_of_groups(look: Look, layout: BandLayout) -> list[Array]:
    samples = []
    for group in layout.groups:
        values = [look.values(number, layout.alpha) for number in layout.numbers(group)]
        samples.append(np.concatenate(values))
    return samples


def _range_texts(low: float, high: float) -> tuple[str, str]:
    digits = 6 if high - low > 1e-4 * max(abs(low), abs(high)) else 16
    return _number_text(low, digits), _number_text(high, digits)


def _number_text(number: float, digits: int) -> str:
    """Return a number with so many digits, a whole one with all."""
    if number == int(number):
        digits = 16
    return f"{number:.{digits}g}"
