"""Heights packed into colours: red, green and blue are the three bytes of one number.

Terrain-RGB of Mapbox (-10000 m and steps of 0.1 m) and Terrarium (-32768 m and steps of
1/256 m) are; where the lower byte goes from 255 to 0, the one above rises by 1. Each byte
enlarged by itself is off by kilometres there.
"""

from __future__ import annotations

import numpy as np

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
    # bends of 24 bits take 27, and half the memory of 64-bit numbers half the time
    red, green, blue = np.moveaxis(pixels.astype(np.int32), -1, 0)
    whole = _bends(red << 16 | green << 8 | blue, valid)
    upper = _bends(red << 8 | green, valid)
    bends_of_green = _bends(green, valid)
    bends_of_blue = _bends(blue, valid)
    if _are_made_good(bends_of_blue, whole) or _are_made_good(bends_of_green, upper):
        return True
    if not bends_of_blue.size or np.ptp(red[valid]) > 1:
        return False
    is_noisy = np.median(bends_of_blue) >= _NOISY
    is_even = np.median(upper) <= _EVEN and np.ptp(upper) > 0
    return bool(is_noisy and is_even)


def _bends(layer: Array, valid: Bools) -> Array:
    """Return how far pixels (n, h, w) are from the line between their neighbours, times two."""
    across = np.abs(np.diff(layer, 2, axis=2))
    down = np.abs(np.diff(layer, 2, axis=1))
    is_across = valid[:, :, :-2] & valid[:, :, 1:-1] & valid[:, :, 2:]
    is_down = valid[:, :-2] & valid[:, 1:-1] & valid[:, 2:]
    return np.concatenate([across[is_across], down[is_down]])


def _are_made_good(bends: Array, bends_with_upper: Array) -> bool:
    """Tell if a byte's jumps vanish in the number of it and the byte above."""
    is_jump = bends > _JUMP
    if is_jump.sum() < _LEAST_JUMPS:
        return False
    are_gone = 2 * bends_with_upper[is_jump] < bends[is_jump]
    return bool(are_gone.mean() >= _SHARE)
