"""Limits that a raster states beside its values: a valid range, and what a packed type holds.

A network and bicubic interpolation overshoot at edges. Readers that know the range take
what lies beyond it for no data, and a packed type wraps from its highest value to its
lowest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_UNLIMITED = (-np.inf, np.inf)


@dataclass(frozen=True)
class StatedRange:
    """The valid range of the attributes of a variable (NetCDF User Guide, CF conventions)."""

    low: float
    high: float
    is_whole: bool
    """Stated in whole numbers, as those of packed values are."""


def read_stated_range(attributes: Mapping[str, Any]) -> StatedRange | None:
    """Return the range of ``valid_range``, ``valid_min`` and ``valid_max``; None without one.

    They may be numbers, arrays, or texts as GDAL's tags are, such as ``"{0,100}"``. A file
    must not state both forms; where it does, ``valid_range`` counts, as for netCDF4
    1.7.5 and GDAL's netCDF driver.
    """
    by_name = {str(name).lower(): value for name, value in attributes.items()}
    ends, is_whole = _read_numbers(by_name.get("valid_range", ""))
    if len(ends) == 2:
        low, high = ends
    else:
        low, high = _UNLIMITED
        is_whole = True
        lows, are_whole = _read_numbers(by_name.get("valid_min", ""))
        if len(lows) == 1:
            low = lows[0]
            is_whole &= are_whole
        highs, are_whole = _read_numbers(by_name.get("valid_max", ""))
        if len(highs) == 1:
            high = highs[0]
            is_whole &= are_whole
    if (low, high) == _UNLIMITED or not low < high:
        return None
    return StatedRange(low, high, is_whole)


def _read_numbers(value: Any) -> tuple[list[float], bool]:  # noqa: ANN401
    """Return the finite numbers of an attribute, and whether all are whole by their type."""
    if isinstance(value, str):
        texts = _NUMBER.findall(value)
        are_whole = all(text.lstrip("+-").isdecimal() for text in texts)
        return [float(text) for text in texts], are_whole
    try:
        numbers = np.atleast_1d(np.asarray(value))
        if not np.isfinite(numbers).all():
            return [], False
        return [float(number) for number in numbers], numbers.dtype.kind in "iu"
    except (TypeError, ValueError):
        return [], False


def find_limits(
    attributes: Mapping[str, Any],
    dtype: str,
    packing: tuple[float, float] = (1.0, 0.0),
    nodata: float | None = None,
) -> tuple[float, float] | None:
    """Return the lowest and highest value that valid pixels of a dtype may have.

    ``packing`` is scale and offset by which the values become measurements. A range of
    whole numbers is one of values as they are stored, that of floats beside packed
    integers one of measurements. None where attributes state no range.
    """
    stated = read_stated_range(attributes)
    if stated is None:
        return None
    number_type = np.dtype(dtype)
    low = stated.low
    high = stated.high
    scale, offset = packing
    if packing != (1.0, 0.0) and number_type.kind in "iu" and not stated.is_whole:
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


@dataclass(frozen=True)
class Packing:
    """Packing of measurements that are written: ``round((value - offset) / scale)``."""

    dtype: np.dtype[Any]
    scale: float
    offset: float
    low: float
    """Lowest and highest packed value of a valid pixel."""
    high: float
    fills: tuple[float, ...]
    """Packed values that stand for no data."""

    def pack(self, values: Array) -> Array:
        """Return values as they are packed, in 64-bit floats, whole for integers."""
        packed = (values.astype(np.float64) - self.offset) / self.scale
        return np.rint(packed) if self.dtype.kind in "iu" else packed

    def fit(self, values: Array, before: Array) -> None:
        """Move values, in place, that would wrap, lie outside the range, or be a fill.

        ``before`` holds the input's pixel for each of them; see ``keep_within``.
        """
        packed = self.pack(values)
        origin = self.pack(before)
        are_within = (origin >= self.low) & (origin <= self.high)
        for fill in self.fills:
            are_within &= origin != fill
        clipped = np.where(are_within, packed.clip(self.low, self.high), packed)
        for fill in self.fills:
            # from 0 up, because counts are never negative; else down
            step = 1 if fill <= max(self.low, 0) else -1
            clipped[are_within & (clipped == fill)] += step
        moved = are_within & (clipped != packed)
        exact = clipped * self.scale + self.offset
        if values.dtype.kind == "f":
            fitted = self._rounded_inwards(exact, moved, values.dtype)
        else:
            fitted = np.rint(exact)
        np.copyto(values, fitted, "unsafe", where=moved)

    def _rounded_inwards(
        self, exact: Array, moved: Bools, dtype: np.dtype[Any]
    ) -> Array:
        """Return values in a float type that rounds none of those moved beyond the limits."""
        fitted = exact.astype(dtype)
        packed = self.pack(fitted)
        is_beyond = moved & ((packed < self.low) | (packed > self.high))
        middle = (self.low + self.high) / 2 * self.scale + self.offset
        closer = np.nextafter(fitted, dtype.type(middle))
        return np.where(is_beyond, closer, fitted)


def find_packing(data: Any) -> Packing | None:  # noqa: ANN401 - xarray's
    """Return how xarray packs a DataArray when it is written; None where nothing limits it."""
    encoding = data.encoding
    dtype = np.dtype(encoding.get("dtype") or data.dtype)
    if dtype.kind not in "iuf":
        return None
    stated = {**data.attrs, **encoding}
    unsigned = str(stated.get("_Unsigned", "")).lower()
    if dtype.kind == "i" and unsigned == "true":
        dtype = np.dtype(f"u{dtype.itemsize}")
    elif dtype.kind == "u" and unsigned == "false":
        dtype = np.dtype(f"i{dtype.itemsize}")
    is_integer = dtype.kind in "iu"
    packing = Packing(
        dtype=dtype,
        scale=float(encoding.get("scale_factor", 1.0)) or 1.0,
        offset=float(encoding.get("add_offset", 0.0)),
        low=float((np.iinfo if is_integer else np.finfo)(dtype).min),
        high=float((np.iinfo if is_integer else np.finfo)(dtype).max),
        fills=tuple(_fills_of(stated)),
    )
    valid = read_stated_range(stated)
    if valid is not None:
        packing = _within_range(packing, valid, stated, packing.pack(data.values))
    elif not is_integer and dtype.itemsize > 2:
        return None  # no value is too large
    low = packing.low
    high = packing.high
    if is_integer:
        low = float(np.ceil(low))
        high = float(np.floor(high))
        while low in packing.fills:
            low += 1
        while high in packing.fills:
            high -= 1
    return replace(packing, low=low, high=high) if low < high else None


def _within_range(
    packing: Packing, valid: StatedRange, stated: Mapping[str, Any], packed: Array
) -> Packing:
    """Return a packing with the limits of a stated range.

    It is one of packed values, or of measurements where it has fractions. Some programs
    state whole numbers as floats, which may be either: that counts which holds all
    ``packed`` values of the input, the narrower one of two that do.
    """
    scale = float(stated.get("scale_factor", 1.0)) or 1.0
    offset = float(stated.get("add_offset", 0.0))
    as_packed = (valid.low, valid.high)
    ends = [round((end - offset) / scale, 6) for end in as_packed]
    as_measured = (min(ends), max(ends))
    choices = [as_packed]
    if packing.dtype.kind in "iu" and not valid.is_whole:
        choices = [as_measured]
        if all(end.is_integer() or np.isinf(end) for end in as_packed):
            choices.append(as_packed)
    choices.sort(key=lambda choice: choice[1] - choice[0])
    finite = packed[np.isfinite(packed)]
    chosen = choices[0]
    for low, high in reversed(choices):
        if finite.size and low <= finite.min() and finite.max() <= high:
            chosen = (low, high)
    low, high = chosen
    return replace(packing, low=max(packing.low, low), high=min(packing.high, high))


def _fills_of(stated: Mapping[str, Any]) -> Iterable[float]:
    """Yield the finite values that stand for no data in a packed variable."""
    for name in ("_FillValue", "missing_value"):
        if stated.get(name) is not None:
            yield from _read_numbers(stated[name])[0]
