"""Tell numbers of things from measurements where neighbouring pixels are equal.

Elevation in whole metres has plateaus as well, but beside one of 853 lies one of 852 or
854.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Bools = NDArray[np.bool_]

_JUMPS = 0.3
"""Share of borders between plateaus that are jumps; 0 on slopes, about 1 between
numbers."""
_LEAST_BORDERS = 16
_MOST_COMPONENTS = 1.5
"""Plateaus of each value: a number belongs to one thing, a height to many places."""
_PLATEAUS = 0.5
"""Share of equal neighbours from which there are plateaus."""
_LEAST_TURNS = 2


def are_numbers(windows: Array, known: Bools) -> bool:
    """Tell if many values (n, h, w) are numbers of things: of parcels, segments, regions.

    Each value covers one place of at least some pixels, and most borders are jumps.
    """
    equal, pairs = 0, 0
    for axis in (1, 2):
        near, far = _beside(axis)
        both = known[near] & known[far]
        pairs += int(both.sum())
        equal += int((both & (windows[near] == windows[far])).sum())
    if not pairs or equal < _PLATEAUS * pairs:
        return False
    if jump_share(windows, known) < _JUMPS:
        return False
    components, values = 0, 0
    for window, mask in zip(windows, known, strict=True):
        components += _count_plateaus(window, mask)
        values += len(np.unique(window[mask]))
    return components <= _MOST_COMPONENTS * values


def have_gaps(windows: Array, known: Bools, values: list[float]) -> bool:
    """Tell if few values (in their order) are codes by gaps as no scale of shades has them.

    The gaps are now wider, now narrower, and most borders between plateaus are jumps,
    also where codes beside each other lie beside each other.
    """
    gaps = [high - low for low, high in pairwise(values)]
    turns = 0
    direction = 0.0
    for first, second in pairwise(gaps):
        change = second - first
        # a scale that was rounded turns too, by little
        if abs(change) > max(max(first, second) / 2, 2 * min(gaps)):
            turns += change * direction < 0
            direction = change
    return turns >= _LEAST_TURNS and jump_share(windows, known) >= _JUMPS


def jump_share(windows: Array, known: Bools) -> float:
    """Return the share of borders between plateaus of 2 pixels and more that are jumps.

    A jump is twice the smallest step that there is between neighbours, or more.
    """
    borders: list[Array] = []
    smallest = math.inf
    for axis in (1, 2):
        pixels = windows.swapaxes(axis, 2).astype(np.float64)
        valid = known.swapaxes(axis, 2)
        steps = np.abs(np.diff(pixels, axis=2))
        steps[~(valid[:, :, 1:] & valid[:, :, :-1])] = 0
        nonzero = steps[steps > 0]
        if nonzero.size:
            smallest = min(smallest, float(nonzero.min()))
        if pixels.shape[2] < 4:
            continue
        inside = (
            valid[:, :, :-3] & valid[:, :, 1:-2] & valid[:, :, 2:-1] & valid[:, :, 3:]
        )
        flat = (steps[:, :, :-2] == 0) & (steps[:, :, 2:] == 0) & inside
        middle = steps[:, :, 1:-1]
        borders.append(middle[flat & (middle > 0)])
    found = np.concatenate(borders) if borders else np.empty(0)
    if found.size < _LEAST_BORDERS:
        return 0.0
    return float((found >= 2 * smallest).mean())


def _beside(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return slices of the pixels that have a neighbour along an axis, and of these."""
    near = [slice(None)] * 3
    far = [slice(None)] * 3
    near[axis], far[axis] = slice(None, -1), slice(1, None)
    return tuple(near), tuple(far)


def _count_plateaus(window: Array, known: Bools) -> int:
    """Count the connected areas of equal known pixels."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    places = np.arange(window.size).reshape(window.shape)
    rows: list[Array] = []
    columns: list[Array] = []
    for near, far in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        same = (window[near] == window[far]) & known[near] & known[far]
        rows.append(places[near][same])
        columns.append(places[far][same])
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = coo_matrix(
        (np.ones(len(row), bool), (row, column)), shape=(window.size,) * 2
    )
    count, _ = connected_components(graph, directed=False)
    return int(count) - int((~known).sum())
