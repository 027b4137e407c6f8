"""Tell measurements on smooth surfaces from pictures, by their pixels.

A network's error is a share of the range of values. In a picture nobody sees it; in
elevation of 2,500 m it is half a metre, on a plain whose furrows have less.
"""

from __future__ import annotations

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools
from srcli.imaging.pixels.samples import robust_range, spread_windows
from srcli.ports.image import ValueRange

NETWORK_ERROR = 2e-4
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
_LARGEST_SQUARED = 1e150
"""Values up to which sums of squares are no larger than floats are."""
_STEP_SHARE = 0.1
"""Of a step of whole numbers: an error below it is rounded away."""


def errs_too_much(blocks: Array, value_range: ValueRange, *, are_whole: bool) -> bool:
    """Tell if the detail of blocks is not well above the error of a network."""
    low, high = value_range
    error = NETWORK_ERROR * (high - low)
    is_rounded_away = are_whole and error < _STEP_SHARE
    if is_rounded_away or not blocks.size:
        return False
    return bool(np.percentile(blocks, _SMOOTHEST) < _WELL_ABOVE * error)


def are_measurements(pixels: Array) -> bool:
    """Tell if a photograph's pixels are measurements for which a network errs too much.

    ``pixels`` are (H, W, C); those of gray pictures of 16 bits may be.

    It is judged as a raster of one band is: heights of a game or a 3-D program, depths.
    Photographs are among such pictures, with flat places where they are black or white.
    So blocks that are not flat must be smooth as well, as slopes of the ground are.
    """
    is_gray = pixels.dtype == np.uint16 and pixels.shape[2] == 1
    if not is_gray:
        return False
    samples = []
    details = []
    slopes = []
    height, width = pixels.shape[:2]
    for area in spread_windows(height, width, side=256, along=4):
        window = pixels[area.top : area.bottom, area.left : area.right, 0]
        valid = np.ones(window.shape, np.bool_)
        samples.append(window.ravel())
        details.append(details_of_blocks(window, valid))
        slopes.append(_slopes(window, valid))
    low, high = robust_range(np.concatenate(samples))
    blocks = np.concatenate(details)
    if not errs_too_much(blocks, (low, high), are_whole=True):
        return False
    steepness = np.concatenate(slopes)
    is_sloping = steepness >= _WELL_ABOVE * NETWORK_ERROR * (high - low)
    ratios = blocks[is_sloping] / steepness[is_sloping]
    return bool(ratios.size and np.median(ratios) < _SMOOTH_RATIO)


def details_of_blocks(pixels: Array, valid: Bools) -> Array:
    """Return the detail of blocks of a window, each a root mean square."""
    if min(pixels.shape) < 3:
        return np.empty(0)
    exact = np.where(valid, pixels, 0).astype(np.float64)
    unit = 1.0
    largest = float(np.abs(exact).max())
    if largest > _LARGEST_SQUARED:
        unit = largest
        exact /= unit
    around = sum(exact[side] / len(_SIDES) for side in _SIDES)
    details = _root_means((exact[_CENTRE] - around) ** 2, valid)
    # between the lowest and the highest float there is more than a float holds
    most = np.finfo(np.float64).max / unit
    return np.asarray(np.minimum(details, most) * unit)


def _slopes(pixels: Array, valid: Bools) -> Array:
    """Return how far values rise from one pixel to the next, for each block."""
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
