"""Choose the bands of a raster that bicubic interpolation enlarges instead of the network.

They hold whole numbers too wide for 32-bit floats, or measurements without much detail:
a network's error is a share of the range of values. In a picture nobody sees it; in
elevation of 2,500 m it is half a metre, on a plain whose furrows have less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.rasters.info import RasterInfo
from srcli.imaging.rasters.look import BandWindow, Look
from srcli.imaging.rasters.meanings import Reasons
from srcli.imaging.rasters.selection import BandLayout
from srcli.imaging.rasters.signs import Band
from srcli.pipelines.upscale.choosing import (
    INTERPOLATION_MODEL,
    NETWORK_ERROR,
    details_of_blocks,
    errs_too_much,
    is_rounded_away,
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
    numbers = ",".join(map(str, layout.numbers(wide)))
    what_is_wide = f"band {numbers}: whole numbers over a range of more than 16,777,216"
    judged = _judge_measurements(look, layout, values)
    measured = [band for band in judged if band.is_smooth]
    if not options.auto:
        if wide:
            reasons.notes.append(
                f"{what_is_wide}: a network keeps 24 bits of them, "
                f"-m {INTERPOLATION_MODEL} all"
            )
        if measured:
            reasons.notes.append(
                f"{_tell_smooth(measured)}; -m {INTERPOLATION_MODEL} interpolates them"
            )
        return ()
    texts = []
    if wide:
        texts.append(f"{what_is_wide}: bicubic interpolation, which keeps all digits")
    interpolated = set(wide)
    # the bands of a group are enlarged alike
    groups = [group for group in layout.groups if not interpolated.isdisjoint(group)]
    interpolated.update(*groups)
    measured = [band for band in measured if band.position not in interpolated]
    if measured:
        texts.append(f"{_tell_smooth(measured)}, so they are interpolated")
    if texts:
        reasons.remarks.append(
            f"{'; '.join(texts)}; -m {options.model} takes the network"
        )
    interpolated.update(band.position for band in measured)
    for band in judged:
        if band.elevation and band.position not in interpolated:
            reasons.remarks.append(
                f"{_tell_bands([band])}: {options.model}, because {band.reason}; "
                f"-m {INTERPOLATION_MODEL} interpolates"
            )
    return tuple(sorted(interpolated))


def _tell_smooth(bands: Sequence[_Judged]) -> str:
    """Return why bands that are smooth measurements are not for a network."""
    return (
        f"{_tell_bands(bands)}: smooth measurements: a network's error "
        f"({NETWORK_ERROR:.2%} of the range) would exceed their detail"
    )


def _tell_bands(bands: Sequence[_Judged]) -> str:
    """Return numbers of bands as text, and what calls a single one elevation."""
    text = f"band {','.join(str(band.number) for band in bands)}"
    if len(bands) == 1 and bands[0].elevation:
        text += f" (elevation, {bands[0].elevation})"
    return text


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


@dataclass(frozen=True)
class _Judged:
    """A band that goes through the network alone, judged as measurements."""

    number: int
    position: int
    """In ``layout.smooth``."""
    elevation: str
    """What calls it elevation; empty for others."""
    is_smooth: bool
    """A network errs too much."""
    reason: str
    """Why it does not, in words."""


def _judge_measurements(
    look: Look, layout: BandLayout, values: Values
) -> list[_Judged]:
    """Judge bands of more than 8 bits that go through the network alone.

    Their detail is how far pixels are from the mean of the four beside them. In nine of
    ten blocks it must be well above the network's error, unless that vanishes when whole
    numbers are rounded.
    """
    if layout.dtype in ("uint8", "int8") or layout.palette is not None:
        return []
    judged = []
    for position, *others in layout.groups:
        if others:
            continue
        (number,) = layout.numbers([position])
        band = Band(look, number, is_only=layout.channels == 1)
        elevation = band.elevation_by_name
        details = []
        # of whole numbers that become floats nothing is rounded away
        are_whole = band.header.dtype == layout.dtype
        for window in visible_windows(look, layout, number, 256, 4):
            details.append(details_of_blocks(window.pixels, window.valid))
            values_there = window.pixels[window.valid]
            are_whole = are_whole and bool(
                (values_there == np.rint(values_there)).all()
            )
        low, high = _range_of(values, position)
        if elevation:
            # from the sea on: what was cut out of a larger file is judged as that is
            low = min(low, 0.0)
            high = max(high, 0.0)
        blocks = np.concatenate(details)
        is_smooth = errs_too_much(blocks, (low, high), are_whole=are_whole)
        reason = "its detail is well above a network's error"
        if are_whole and is_rounded_away((low, high)):
            reason = "a network's error disappears in rounding"
        # few values, of which it was said that they are interpolated
        is_smooth |= number in layout.elevations
        judged.append(_Judged(number, position, elevation, is_smooth, reason))
    return judged


def visible_windows(
    look: Look, layout: BandLayout, number: int, side: int, along: int
) -> list[BandWindow]:
    """Return ``Look.windows`` of a band, in which pixels under an alpha of 0 are not valid."""
    windows = look.windows(number, side, along)
    if not layout.alpha:
        return windows
    alphas = look.windows(layout.alpha, side, along)
    seen = []
    for window, alpha in zip(windows, alphas, strict=True):
        seen.append(BandWindow(window.pixels, window.valid & (alpha.pixels > 0)))
    return seen


def _range_of(values: Values, index: int) -> ValueRange:
    """Return the range of a band by its index in ``layout.smooth``; one may be all bands'."""
    return values.ranges[index if len(values.ranges) > 1 else 0]
