"""Heights: packed into colours, or rounded to whole numbers.

Packed, red, green and blue are the three bytes of one number: Terrain-RGB of Mapbox
(-10000 m and steps of 0.1 m) and Terrarium (-32768 m and steps of 1/256 m). Where the
lower byte goes from 255 to 0, the one above rises by 1. Each byte enlarged by itself is
off by kilometres there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.pixels.arrays import Array, Bools

DTYPE = "uint32"
"""Of the numbers."""
MOST = float(2**24 - 1)
_JUMP = 128
"""Bend of a byte, from pixel to pixel, that is a wrap or noise."""
_LEAST_JUMPS = 64
_SHARE = 0.8
"""Share of the jumps of a byte that the byte above makes good in heights."""
_EVEN = 2
_NOISY = 40
"""Median bends of a byte: of metres at most, of fractions of a metre at least."""


def pack(pixels: Array) -> Array:
    """Return the numbers (..., 1) of colours (..., 3) of 8 bits."""
    red, green, blue = np.moveaxis(pixels.astype(DTYPE), -1, 0)
    return np.asarray((red << 16 | green << 8 | blue)[..., None])


def unpack(numbers: Array) -> Array:
    """Return the colours (..., 3) of 8 bits of numbers (..., 1)."""
    number = numbers[..., 0]
    return np.stack([number >> 16, number >> 8 & 255, number & 255], -1).astype("uint8")


def are_packed_heights(pixels: Array, valid: Bools) -> bool:
    """Tell if colours (n, h, w, 3) of 8 bits are heights, by their valid pixels (n, h, w).

    Where a byte jumps, the byte above must make good for it, so that the number of both
    hardly bends: that of the lower two, or of the upper two where heights are steep. Or
    the lowest byte is noise, as fractions of a metre are, below even metres.
    """
    if pixels.dtype != np.uint8:
        return False
    if _are_jumps_made_good(pixels, valid, 2) or _are_jumps_made_good(pixels, valid, 1):
        return True
    red, green, blue = np.moveaxis(pixels, -1, 0)
    if not valid.any() or np.ptp(red[valid]) > 1:
        return False
    bends_of_blue = _bends(blue.astype(np.int16), valid)
    if not bends_of_blue.size:
        return False
    upper = _bends(red.astype(np.int32) << 8 | green, valid)
    is_noisy = np.median(bends_of_blue) >= _NOISY
    is_even = np.median(upper) <= _EVEN and np.ptp(upper) > 0
    return bool(is_noisy and is_even)


def _are_jumps_made_good(pixels: Array, valid: Bools, byte: int) -> bool:
    """Tell if a byte's jumps vanish in the number of it and those above; see the caller.

    One window after the other, which stays in the processor's cache: few pixels of a
    picture jump, and only there numbers are put together.
    """
    jump_count = 0
    gone_count = 0
    for window, shown in zip(pixels, valid, strict=True):
        layer = window[..., byte].astype(np.int16)
        for axis in (0, 1):
            bends = _bends_along(layer, axis)
            is_jump = _valid_along(shown, axis) & (bends > _JUMP)
            places = np.nonzero(is_jump)
            gone = 2 * _bends_of_numbers(window, places, axis, byte) < bends[places]
            jump_count += gone.size
            gone_count += int(gone.sum())
    return jump_count >= _LEAST_JUMPS and gone_count / jump_count >= _SHARE


def _bends_of_numbers(
    window: Array, places: tuple[Array, ...], axis: int, byte: int
) -> Array:
    """Return bends (m,) along an axis of the numbers that a byte makes with those above.

    They are of a window (h, w, 3), at places, m rows and m columns, and the next two.
    """
    numbers = np.zeros((3, len(places[0])), np.int32)
    for step, number in enumerate(numbers):
        moved = [*places]
        moved[axis] = moved[axis] + step
        for colour in window[*moved].T[: byte + 1]:
            number[:] = number << 8 | colour
    return np.asarray(np.abs(np.diff(numbers, 2, axis=0)[0]))


def _bends(layer: Array, valid: Bools) -> Array:
    """Return the valid bends (m,) of pixels (n, h, w), across and down."""
    across = _bends_along(layer, 2)[_valid_along(valid, 2)]
    down = _bends_along(layer, 1)[_valid_along(valid, 1)]
    return np.concatenate([across, down])


def _bends_along(layer: Array, axis: int) -> Array:
    """Return how far pixels are from the line between their neighbours, times two."""
    return np.asarray(np.abs(np.diff(layer, 2, axis=axis)))


def _valid_along(valid: Bools, axis: int) -> Bools:
    """Mark where a pixel and its neighbours along an axis are valid."""
    shown = valid.swapaxes(axis, 0)
    marks = shown[:-2] & shown[1:-1] & shown[2:]
    return np.asarray(marks.swapaxes(axis, 0))


Doubles = NDArray[np.float64]

_WIDTHS = (1, 2, 4, 8, 16)
"""Standard deviations of Gaussians in pixels; terraces up to twice the last vanish."""
_TAPS = 3
"""Times its standard deviation, half the taps of a Gaussian."""
_UNLIKELY = 0.7
"""Share of pixels within half a unit of their mean up to which it is no surface of theirs."""
_LIKELY = 0.9
"""Such a share from which on it is one."""
_FINEST = 2**-12
"""Of a unit, to which shifts are rounded: a plateau stays one to the last digit."""
REACH = 2 * _TAPS * _WIDTHS[-1]
"""Pixels around one on which its smoothed value depends."""


def smooth_steps(pixels: Array, valid: Bools) -> Doubles:
    """Return a surface that rounds to the whole numbers ``pixels`` (H, W), as 64-bit floats.

    Each pixel moves by at most 0.5, towards the mean around it, of the widest Gaussian by
    which nearly all pixels around it do: on slopes that rise by less than a unit a pixel.
    Others, such as rock and noise, stay. No invalid pixel counts, and no pixel more than
    ``REACH`` away; so windows with such a margin come out as the whole, bit for bit.
    """
    stored = np.where(valid, pixels, 0).astype(np.float64)
    shifts = np.zeros(stored.shape)
    for width in _WIDTHS:
        share_of_valid = np.maximum(_blur(valid, width), np.finfo(float).tiny)
        shift = _blur(stored, width) / share_of_valid - stored
        is_near = valid & (np.abs(shift) <= 0.5)
        share = _blur(is_near, width) / share_of_valid
        weight = ((share - _UNLIKELY) / (_LIKELY - _UNLIKELY)).clip(0, 1)
        shifts += weight * (shift.clip(-0.5, 0.5) - shifts)
    return stored + np.rint(shifts / _FINEST) * _FINEST


def _blur(pixels: Array, width: int) -> Doubles:
    """Blur (H, W) by a Gaussian; beyond its edges are zeros."""
    from scipy import ndimage

    steps = np.arange(-_TAPS * width, _TAPS * width + 1)
    taps = np.exp(-0.5 * (steps / width) ** 2)
    taps /= taps.sum()
    blurred = pixels.astype(np.float64)
    for axis in (0, 1):
        blurred = ndimage.correlate1d(blurred, taps, axis, mode="constant")
    return np.asarray(blurred)
