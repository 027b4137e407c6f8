"""Tell the bands in which a network would be further from the truth than bicubic interpolation.

A network's error is a share of the range of values. In a picture nobody sees it; in
elevation of 2,500 m it is half a metre, on a plain whose furrows have less.
"""

from __future__ import annotations

import numpy as np

from srcli.imaging.arrays import Array, Bools
from srcli.imaging.rasters.info import RasterInfo
from srcli.imaging.rasters.selection import BandLayout
from srcli.imaging.rasters.source import RasterSource, spread_windows
from srcli.ports.image import Values, Window

NETWORK_ERROR = 2e-4
"""Share of the range by which ``g-idrn`` is off on smooth surfaces, as a root mean
square: the largest of ``benchmarks/surfaces.py``, rounded up."""
_WELL_ABOVE = 5
"""Least detail of a raster for a network, in units of this error."""
_SMOOTHEST = 10
"""Percent of the blocks that may have less detail."""
_BLOCK = 16
"""Side of a block in pixels."""
_LEAST_PIXELS = 64
"""Least pixels with valid neighbours of a block that counts."""
_STEP_SHARE = 0.1
"""Of a step of whole numbers: an error below it is rounded away."""
EXACT_STEPS = 2**24
"""Range of whole numbers below which 32-bit floats tell all of them apart."""


def find_wide_bands(info: RasterInfo, layout: BandLayout, values: Values) -> list[int]:
    """Return positions in ``layout.smooth`` of whole numbers too wide for 32-bit floats."""
    wide: list[int] = []
    for position, index in enumerate(layout.smooth):
        low, high = _range_of(values, position)
        is_whole = not info.band(layout.bands[index]).dtype.startswith("float")
        if layout.palette is None and is_whole and high - low >= EXACT_STEPS:
            wide.append(position)
    return wide


def find_measurement_bands(
    info: RasterInfo, layout: BandLayout, window: Window, values: Values
) -> list[int]:
    """Return positions in ``layout.smooth`` of measurements that a network gets too wrong.

    Looked at are bands of more than 8 bits that go through the network alone. Their
    detail is how far pixels are from the mean of the four beside them. In nine of ten
    blocks it must be well above the network's error, unless that vanishes when whole
    numbers are rounded.
    """
    candidates = [group[0] for group in layout.groups if len(group) == 1]
    is_picture = layout.dtype in ("uint8", "int8") or layout.palette is not None
    if is_picture or not candidates:
        return []
    details: dict[int, list[Array]] = {index: [] for index in candidates}
    fractional: set[int] = set()
    with RasterSource(info, layout, window) as source:
        for area in spread_windows(source, side=256, along=4):
            decoded = source.decode(area)
            for index in candidates:
                pixels = decoded.pixels[:, :, layout.smooth[index]]
                valid = decoded.valid[:, :, layout.smooth[index]]
                details[index].append(_details(pixels, valid))
                if (pixels[valid] != np.rint(pixels[valid])).any():
                    fractional.add(index)
    measurements: list[int] = []
    for index in candidates:
        low, high = _range_of(values, index)
        error = NETWORK_ERROR * (high - low)
        blocks = np.concatenate(details[index])
        is_rounded_away = index not in fractional and error < _STEP_SHARE
        if is_rounded_away or not blocks.size:
            continue
        if np.percentile(blocks, _SMOOTHEST) < _WELL_ABOVE * error:
            measurements.append(index)
    return measurements


def _range_of(values: Values, index: int) -> tuple[float, float]:
    return values.ranges[index if len(values.ranges) > 1 else 0]


def _details(pixels: Array, valid: Bools) -> Array:
    """Return the detail of blocks of a window, each a root mean square."""
    if min(pixels.shape) < 3:
        return np.empty(0)
    exact = np.where(valid, pixels, 0).astype(np.float64)
    centre = np.s_[1:-1, 1:-1]
    sides = np.s_[:-2, 1:-1], np.s_[2:, 1:-1], np.s_[1:-1, :-2], np.s_[1:-1, 2:]
    around = np.zeros_like(exact[centre])
    are_valid = valid[centre].copy()
    for side in sides:
        around += exact[side] / len(sides)
        are_valid &= valid[side]
    squares = np.where(are_valid, exact[centre] - around, 0) ** 2
    counts = _sums_of_blocks(are_valid.astype(np.int64))
    has_enough = counts >= min(_LEAST_PIXELS, are_valid.size)
    means = _sums_of_blocks(squares)[has_enough] / counts[has_enough]
    return np.asarray(np.sqrt(means))


def _sums_of_blocks(layer: Array) -> Array:
    """Return the sums of square blocks of a layer (h, w)."""
    for axis, length in enumerate(layer.shape):
        layer = np.add.reduceat(layer, np.arange(0, length, _BLOCK), axis=axis)
    return layer
