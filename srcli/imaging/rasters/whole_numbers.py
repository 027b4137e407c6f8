"""Smooth surfaces that were rounded to whole numbers, such as elevation in metres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.pixels.arrays import Array, Bools

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
