"""Tell angles by their values: after the highest comes the lowest, as north after north-west."""

from __future__ import annotations

import math

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools
from srcli.imaging.rasters.appearance import neighbours

_TURNS = (360.0, 2 * math.pi)
"""A full turn in degrees and in radians."""
_FLAT = -1
"""Aspect of plains among degrees, where programs of Esri have written it."""
_FULL = 0.97
"""Share of a turn that angles of all directions use at least."""
_SLACK = 0.002
"""Share of a turn by which rounding may exceed its ends."""
_LEAST_WRAPS = 16
"""Steps between neighbours over the ends, by which angles can be told."""
_CLOSE = 1 / 6
"""Share of a turn below which such steps are, mostly, the other way round; a third of a
turn and more in noise."""


def find_turn(pixels: Array, valid: Bools, scale: float = 1.0) -> float | None:
    """Return the full turn of angles, in values times ``scale``, if valid pixels fit into one.

    They lie from 0 to a turn, or half a turn on each side of 0.
    """
    values = pixels[valid]
    if values.size and values.max() > _TURNS[1]:
        values = values[values != _FLAT]
    if not values.size:
        return None
    low = float(values.min()) * scale
    high = float(values.max()) * scale
    for turn in sorted(_TURNS):
        slack = _SLACK * turn
        is_from_zero = low >= 0 and high <= turn + slack
        is_around_zero = low >= -turn / 2 - slack and high <= turn / 2 + slack
        if (is_from_zero or is_around_zero) and high - low > turn / 2:
            return turn
    return None


def wraps_around(pixels: Array, valid: Bools, turn: float, scale: float = 1.0) -> bool:
    """Tell if valid pixels (n, h, w) use all of a turn, and neighbours meet over its ends."""
    values = pixels[valid].astype(np.float64) * scale
    if np.ptp(values) < _FULL * turn:
        return False
    before, after = neighbours(pixels, valid).astype(np.float64) * scale
    steps = np.abs(after - before)
    wide = steps[steps > turn / 2]
    return wide.size >= _LEAST_WRAPS and float(np.median(turn - wide)) < _CLOSE * turn
