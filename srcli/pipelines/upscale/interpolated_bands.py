"""Choose the bands of a raster that bicubic interpolation enlarges instead of the network.

They hold whole numbers too wide for 32-bit floats, or measurements without much detail:
a network's error is a share of the range of values. In a picture nobody sees it; in
elevation of 2,500 m it is half a metre, on a plain whose furrows have less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.arrays import Array, Bools
from srcli.imaging.rasters.info import RasterInfo
from srcli.imaging.rasters.look import BandWindow, Look
from srcli.imaging.rasters.selection import BandLayout
from srcli.imaging.rasters.source import spread_windows
from srcli.imaging.rasters.value_range import robust_range
from srcli.ports.image import ValueRange, Values

if TYPE_CHECKING:
    from srcli.imaging.photograph import Photograph
    from srcli.pipelines.upscale.options import Settled

INTERPOLATION_MODEL = "bicubic"
"""Name of the model that is bicubic interpolation."""
_NETWORK_ERROR = 2e-4
"""Share of the range by which ``g-idrn`` is off on smooth surfaces, as a root mean
square: the largest of ``benchmarks/surfaces.py``, rounded up."""
_WELL_ABOVE = 5
"""Times this error that the detail of a raster must have."""
_SMOOTHEST = 10
"""Percent of the blocks that may have less detail."""
_BLOCK = 16
_LEAST_PIXELS = 64
"""Pixels of a block whose neighbours are all valid."""
_SMOOTH_RATIO = 0.1
"""Detail of a block as a share of its slope, below which half of the blocks must be that
are not flat: height maps have up to 0.06, photographs 0.19 and more."""
_CENTRE = np.s_[1:-1, 1:-1]
_SIDES = np.s_[:-2, 1:-1], np.s_[2:, 1:-1], np.s_[1:-1, :-2], np.s_[1:-1, 2:]
"""The pixels above, below, left and right of those of ``_CENTRE``."""
_STEP_SHARE = 0.1
"""Of a step of whole numbers: an error below it is rounded away."""
_EXACT_STEPS = 2**24
"""Steps of whole numbers in a range up to which the 32-bit floats of a network tell
them apart."""


@dataclass(frozen=True)
class InterpolatedBands:
    """Bands of a raster that bicubic interpolation enlarges, and why."""

    interpolated: tuple[int, ...] = ()
    """Positions in ``BandLayout.smooth``."""
    notes: tuple[str, ...] = ()
    """Warnings of what a network loses."""
    remark: str = ""
    """Message on the choice, made by ``auto``."""


def interpolates_exactly(layout: BandLayout, options: Settled) -> bool:
    """Tell if the model ``bicubic`` enlarges all bands as they are, by no range of values.

    Not where they have 8 bits, or the range of their dtype.
    """
    if _is_corrected(options) or options.model != INTERPOLATION_MODEL:
        return False
    return layout.dtype != "uint8" and options.values != "dtype"


def _is_corrected(options: Settled) -> bool:
    """Tell if options correct the result of a network, for which there must be one."""
    engine = options.engine
    return bool(engine.back_project) or engine.denoise != 1


def choose_interpolated_bands(
    look: Look, layout: BandLayout, values: Values, options: Settled
) -> InterpolatedBands:
    """Choose the bands to interpolate: by ``auto`` those in which a network errs too much.

    A network that the user named enlarges all bands; a note says where it cannot keep
    all digits. With the model ``bicubic`` see ``interpolates_exactly``.
    """
    if layout.is_packed or interpolates_exactly(layout, options):
        return InterpolatedBands(tuple(range(len(layout.smooth))))
    if _is_corrected(options) or options.model == INTERPOLATION_MODEL:
        return InterpolatedBands()
    wide = _find_wide_bands(look.info, layout, values)
    numbers = _band_numbers(layout, wide)
    steps = f"band {numbers}: whole numbers over a range of more than 16,777,216"
    if not options.auto:
        if not wide:
            return InterpolatedBands()
        lost = f"{steps}: a network keeps 24 bits of them, -m {INTERPOLATION_MODEL} all"
        return InterpolatedBands(notes=(lost,))
    remarks = []
    if wide:
        remarks.append(f"{steps}: bicubic interpolation, which keeps all digits")
    interpolated = set(wide)
    for group in layout.groups:  # whose bands are enlarged alike
        if not interpolated.isdisjoint(group):
            interpolated.update(group)
    measured = _find_measurement_bands(look, layout, values)
    measured = [index for index in measured if index not in interpolated]
    if measured:
        remarks.append(
            f"band {_band_numbers(layout, measured)}: measurements with less detail than a network "
            f"needs, whose error is {_NETWORK_ERROR:.2%} of their range: bicubic interpolation"
        )
    remark = ""
    if remarks:
        remark = f"{'; '.join(remarks)}; -m {options.model} takes the network"
    return InterpolatedBands(tuple(sorted(interpolated.union(measured))), remark=remark)


def _band_numbers(layout: BandLayout, positions: Iterable[int]) -> str:
    """Return band numbers as text, such as ``1,4``, by positions in ``BandLayout.smooth``."""
    return ",".join(
        str(layout.bands[layout.smooth[position]]) for position in positions
    )


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
    wide = []
    for index, band in enumerate(layout.smooth):
        low, high = _range_of(values, index)
        is_whole = not info.band(layout.bands[band]).dtype.startswith("float")
        if layout.palette is None and is_whole and high - low >= _EXACT_STEPS:
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
        number = layout.bands[layout.smooth[index]]
        details = []
        # of whole numbers that become floats nothing is rounded away
        are_whole = look.info.band(number).dtype == layout.dtype
        for window in _windows_of(look, layout, number):
            details.append(_details(window.pixels, window.valid))
            values_there = window.pixels[window.valid]
            are_whole = are_whole and bool(
                (values_there == np.rint(values_there)).all()
            )
        blocks = np.concatenate(details)
        if _errs_too_much(blocks, _range_of(values, index), are_whole=are_whole):
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


def _errs_too_much(blocks: Array, value_range: ValueRange, *, are_whole: bool) -> bool:
    """Tell if the detail of blocks is not well above the error of a network."""
    low, high = value_range
    error = _NETWORK_ERROR * (high - low)
    is_rounded_away = are_whole and error < _STEP_SHARE
    if is_rounded_away or not blocks.size:
        return False
    return bool(np.percentile(blocks, _SMOOTHEST) < _WELL_ABOVE * error)


def are_measurements(photograph: Photograph, options: Settled) -> bool:
    """Tell if a gray picture of 16 bits holds measurements for which a network errs too much.

    It is judged as a raster of one band is: heights of a game or a 3-D program, depths.
    Photographs are among such pictures, with flat places where they are black or white.
    So blocks that are not flat must be smooth as well, as slopes of the ground are.
    """
    pixels = photograph.pixels
    is_gray = pixels.dtype == np.uint16 and pixels.shape[2] == 1
    if not is_gray or _is_corrected(options):
        return False
    samples = []
    details = []
    slopes = []
    height, width = pixels.shape[:2]
    for area in spread_windows(height, width, side=256, along=4):
        window = pixels[area.top : area.bottom, area.left : area.right, 0]
        valid = np.ones(window.shape, np.bool_)
        samples.append(window.ravel())
        details.append(_details(window, valid))
        slopes.append(_slopes(window, valid))
    low, high = robust_range(np.concatenate(samples))
    blocks = np.concatenate(details)
    if not _errs_too_much(blocks, (low, high), are_whole=True):
        return False
    steepness = np.concatenate(slopes)
    is_sloping = steepness >= _WELL_ABOVE * _NETWORK_ERROR * (high - low)
    ratios = blocks[is_sloping] / steepness[is_sloping]
    return bool(ratios.size and np.median(ratios) < _SMOOTH_RATIO)


def _range_of(values: Values, index: int) -> ValueRange:
    return values.ranges[index if len(values.ranges) > 1 else 0]


def _details(pixels: Array, valid: Bools) -> Array:
    """Return the detail of blocks of a window, each a root mean square."""
    if min(pixels.shape) < 3:
        return np.empty(0)
    exact = np.where(valid, pixels, 0).astype(np.float64)
    around = sum(exact[side] / len(_SIDES) for side in _SIDES)
    return _root_means((exact[_CENTRE] - around) ** 2, valid)


def _slopes(pixels: Array, valid: Bools) -> Array:
    """Return how far values rise from one pixel to the next, for the blocks of ``_details``."""
    if min(pixels.shape) < 3:
        return np.empty(0)
    exact = pixels.astype(np.float64)
    above, below, left, right = (exact[side] for side in _SIDES)
    return _root_means(((below - above) ** 2 + (right - left) ** 2) / 4, valid)


def _root_means(squares: Array, valid: Bools) -> Array:
    """Return root means of blocks of squares, one for each inner pixel of a window.

    Only pixels count that are valid, with the four beside them; blocks with few such
    pixels are left out.
    """
    are_valid = valid[_CENTRE].copy()
    for side in _SIDES:
        are_valid &= valid[side]
    counts = _sums_of_blocks(are_valid.astype(np.int64))
    has_enough = counts >= min(_LEAST_PIXELS, are_valid.size)
    sums = _sums_of_blocks(np.where(are_valid, squares, 0))
    return np.asarray(np.sqrt(sums[has_enough] / counts[has_enough]))


def _sums_of_blocks(layer: Array) -> Array:
    """Return the sums of square blocks of a layer (h, w)."""
    for axis, length in enumerate(layer.shape):
        layer = np.add.reduceat(layer, np.arange(0, length, _BLOCK), axis=axis)
    return layer
