"""Choose the bands of a raster that bicubic interpolation enlarges instead of the network.

They hold whole numbers too wide for 32-bit floats, or measurements without much detail:
a network's error is a share of the range of values. In a picture nobody sees it; in
elevation of 2,500 m it is half a metre, on a plain whose furrows have less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.rasters.info import RasterInfo
from srcli.imaging.rasters.look import BandWindow, Look
from srcli.imaging.rasters.meanings import Reasons
from srcli.imaging.rasters.selection import BandLayout
from srcli.pipelines.upscale.choosing import (
    INTERPOLATION_MODEL,
    NETWORK_ERROR,
    details_of_blocks,
    errs_too_much,
)
from srcli.ports import ValueRange, Values

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled

_EXACT_STEPS = 2**24
"""Steps of whole numbers in a range up to which the 32-bit floats of a network tell
them apart."""


def interpolates_exactly(layout: BandLayout, options: Settled) -> bool:
    """Tell if the model ``bicubic`` enlarges all bands as they are, by no range of values.

    Not where they have 8 bits, or the range of their dtype.
    """
    if options.engine.is_corrected or options.model != INTERPOLATION_MODEL:
        return False
    return layout.dtype != "uint8" and options.values != "dtype"


def choose_interpolated_bands(
    look: Look, layout: BandLayout, values: Values, options: Settled, reasons: Reasons
) -> tuple[int, ...]:
    """Choose the bands to interpolate: by ``auto`` those in which a network errs too much.

    Returned are positions in ``BandLayout.smooth``. A network that the user named
    enlarges all bands; a note says where it cannot keep all digits. With the model
    ``bicubic`` see ``interpolates_exactly``.
    """
    if layout.is_packed or interpolates_exactly(layout, options):
        return tuple(range(len(layout.smooth)))
    if options.engine.is_corrected or options.model == INTERPOLATION_MODEL:
        return ()
    wide = _find_wide_bands(look.info, layout, values)
    numbers = _band_numbers(layout, wide)
    what_is_wide = f"band {numbers}: whole numbers over a range of more than 16,777,216"
    measured = _find_measurement_bands(look, layout, values)
    if not options.auto:
        if wide:
            reasons.notes.append(
                f"{what_is_wide}: a network keeps 24 bits of them, "
                f"-m {INTERPOLATION_MODEL} all"
            )
        if measured:
            reasons.notes.append(
                f"{_tell_measurements(layout, measured)}; -m {INTERPOLATION_MODEL} "
                "interpolates them"
            )
        return ()
    texts = []
    if wide:
        texts.append(f"{what_is_wide}: bicubic interpolation, which keeps all digits")
    interpolated = set(wide)
    for group in layout.groups:  # whose bands are enlarged alike
        if not interpolated.isdisjoint(group):
            interpolated.update(group)
    measured = [index for index in measured if index not in interpolated]
    if measured:
        texts.append(f"{_tell_measurements(layout, measured)}: bicubic interpolation")
    if texts:
        reasons.remarks.append(
            f"{'; '.join(texts)}; -m {options.model} takes the network"
        )
    return tuple(sorted(interpolated.union(measured)))


def _tell_measurements(layout: BandLayout, positions: Iterable[int]) -> str:
    """Return why bands that are measurements are not for a network."""
    return (
        f"band {_band_numbers(layout, positions)}: measurements with less detail than a network "
        f"needs, whose error is {NETWORK_ERROR:.2%} of their range"
    )


def _band_numbers(layout: BandLayout, positions: Iterable[int]) -> str:
    """Return band numbers as text, such as ``1,4``, by positions in ``BandLayout.smooth``."""
    return ",".join(map(str, layout.numbers(positions)))


def keep_interpolated_values(
    values: Values, interpolated: tuple[int, ...], band_count: int
) -> Values:
    """Return values with the range 0 to 1, which changes none, for interpolated bands."""
    if not interpolated:
        return values
    ranges = list(values.ranges)
    if len(ranges) == 1:
        ranges *= band_count
    for position in interpolated:
        ranges[position] = (0.0, 1.0)
    return replace(values, ranges=tuple(ranges))


def _find_wide_bands(info: RasterInfo, layout: BandLayout, values: Values) -> list[int]:
    """Return indices in ``layout.smooth`` of whole numbers of more steps than networks know."""
    if layout.palette is not None:  # whose colours have 8 bits
        return []
    wide = []
    for index, number in enumerate(layout.numbers(range(len(layout.smooth)))):
        low, high = _range_of(values, index)
        is_whole = not info.band(number).dtype.startswith("float")
        if is_whole and high - low >= _EXACT_STEPS:
            wide.append(index)
    return wide


def _find_measurement_bands(
    look: Look, layout: BandLayout, values: Values
) -> list[int]:
    """Return indices in ``layout.smooth`` of measurements for which a network errs too much.

    Looked at are bands of more than 8 bits that go through the network alone. Their
    detail is how far pixels are from the mean of the four beside them. In nine of ten
    blocks it must be well above the network's error, unless that vanishes when whole
    numbers are rounded.
    """
    candidates = [group[0] for group in layout.groups if len(group) == 1]
    is_picture = layout.dtype in ("uint8", "int8") or layout.palette is not None
    if is_picture or not candidates:
        return []
    measurements = []
    for index in candidates:
        (number,) = layout.numbers([index])
        if number in layout.elevations:
            measurements.append(index)
            continue
        details = []
        # of whole numbers that become floats nothing is rounded away
        are_whole = look.info.band(number).dtype == layout.dtype
        for window in _windows_of(look, layout, number):
            details.append(details_of_blocks(window.pixels, window.valid))
            values_there = window.pixels[window.valid]
            are_whole = are_whole and bool(
                (values_there == np.rint(values_there)).all()
            )
        blocks = np.concatenate(details)
        if errs_too_much(blocks, _range_of(values, index), are_whole=are_whole):
            measurements.append(index)
    return measurements


def _windows_of(look: Look, layout: BandLayout, number: int) -> list[BandWindow]:
    """Return windows of a band, in which pixels under an alpha of 0 are not valid."""
    windows = look.windows(number, side=256, along=4)
    if not layout.alpha:
        return windows
    alphas = look.windows(layout.alpha, side=256, along=4)
    seen = []
    for window, alpha in zip(windows, alphas, strict=True):
        seen.append(BandWindow(window.pixels, window.valid & (alpha.pixels > 0)))
    return seen


def _range_of(values: Values, index: int) -> ValueRange:
    """Return the range of a band by its index in ``layout.smooth``; one may be all bands'."""
    return values.ranges[index if len(values.ranges) > 1 else 0]
