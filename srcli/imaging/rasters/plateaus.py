"""Tell numbers of things from measurements where neighbouring pixels are equal.

Elevation in whole metres has plateaus as well, but beside one of 853 lies one of 852 or
854.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from srcli.imaging.arrays import Array, Bools

NEIGHBOURS = (
    (np.s_[:, :, :-1], np.s_[:, :, 1:]),
    (np.s_[:, :-1], np.s_[:, 1:]),
)
"""Slices of windows (n, h, w): pixels, and those beside them in rows and in columns."""
_JUMPS = 0.3
"""Share of borders between plateaus that are jumps; 0 on slopes, about 1 between
numbers."""
_LEAST_BORDERS = 16
_MOST_PLATEAUS = 1.5
"""Plateaus of each value: a number belongs to one thing, a height to many places."""
_PLATEAUS = 0.5
"""Share of equal neighbours from which there are plateaus."""
_LEAST_TURNS = 2


def neighbours(windows: Array, valid: Bools) -> Array:
    """Return the values (2, n) of valid pixels beside each other, in rows and in columns."""
    pairs = []
    for before, after in NEIGHBOURS:
        are_valid = valid[before] & valid[after]
        pairs.append((windows[before][are_valid], windows[after][are_valid]))
    return np.concatenate(pairs, axis=1)


def are_numbers(windows: Array, valid: Bools) -> bool:
    """Tell if many values (n, h, w) are numbers of things: of parcels, segments, regions.

    Each value covers one place of at least some pixels, and most borders are jumps.
    """
    values_before, values_after = neighbours(windows, valid)
    equal = (values_before == values_after).sum()
    if not values_before.size or equal < _PLATEAUS * values_before.size:
        return False
    if jump_share(windows, valid) < _JUMPS:
        return False
    plateaus = 0
    values = 0
    for window, mask in zip(windows, valid, strict=True):
        plateaus += _count_plateaus(window, mask)
        values += len(np.unique(window[mask]))
    return plateaus <= _MOST_PLATEAUS * values


def have_gaps(windows: Array, valid: Bools, values: list[float]) -> bool:
    """Tell if few values (in their order) are codes by gaps as no scale of shades has them.

    The gaps are now wider, now narrower, and most borders between plateaus are jumps,
    also where codes beside each other lie beside each other.
    """
    gaps = [high - low for low, high in pairwise(values)]
    turns = 0
    direction = 0.0
    for gap, following in pairwise(gaps):
        change = following - gap
        # a scale that was rounded turns too, by little
        if abs(change) > max(max(gap, following) / 2, 2 * min(gaps)):
            if change * direction < 0:
                turns += 1
            direction = change
    return turns >= _LEAST_TURNS and jump_share(windows, valid) >= _JUMPS


def jump_share(windows: Array, valid: Bools) -> float:
    """Return the share of borders between plateaus of 2 pixels and more that are jumps.

    A jump is twice the smallest step that there is between neighbours, or more.
    """
    borders: list[Array] = []
    smallest = math.inf
    for axis in (1, 2):
        pixels = windows.swapaxes(axis, 2).astype(np.float64)
        mask = valid.swapaxes(axis, 2)
        pairs = mask[:, :, 1:] & mask[:, :, :-1]
        steps = np.abs(np.diff(pixels, axis=2))
        steps[~pairs] = 0
        nonzero = steps[np.nonzero(steps)]
        if nonzero.size:
            smallest = min(smallest, float(nonzero.min()))
        if pixels.shape[2] < 4:
            continue
        # two equal pixels, a step, and two equal pixels
        middle = steps[:, :, 1:-1]
        is_border = pairs[:, :, :-2] & pairs[:, :, 2:] & (middle > 0)
        is_border &= (steps[:, :, :-2] == 0) & (steps[:, :, 2:] == 0)
        borders.append(middle[is_border])
    heights = np.concatenate(borders) if borders else np.empty(0)
    if heights.size < _LEAST_BORDERS:
        return 0.0
    return float((heights >= 2 * smallest).mean())


def _count_plateaus(window: Array, valid: Bools) -> int:
    """Count the connected areas of equal valid pixels."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    positions = np.arange(window.size).reshape(window.shape)
    pairs = []
    for before, after in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        is_equal = (window[before] == window[after]) & valid[before] & valid[after]
        pairs.append((positions[before][is_equal], positions[after][is_equal]))
    links = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(len(links[0]), bool), links), shape=(window.size,) * 2)
    count, _ = connected_components(graph, directed=False)
    return int(count) - int((~valid).sum())
