"""Measure how the values of a band look, by windows of it: few, in their order, in patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools
from srcli.imaging.rasters.look import BandWindow

MOST = 64
"""Most different values of a band that may be classes by its values: few values."""
_LEAST_WINDOWS = 4
"""Windows that are looked at before a band is known to have many values."""
_MIXED = 0.6
"""Mean distance of neighbours that differ, as a share of that of any two pixels, from
which values have no order; see ``_disorder``."""
_NUMBERED_ANYHOW = 0.3
"""The same, from which plateaus are numbers of things and no coarse measurement."""
_DENSE = 0.5
"""Share of the whole numbers from the lowest to the highest value that numbers of things
use."""
NEIGHBOURS = ((np.s_[:, :, :-1], np.s_[:, :, 1:]), (np.s_[:, :-1], np.s_[:, 1:]))
"""Slices of windows (n, h, w): pixels, and those beside them in rows and in columns."""
_JUMPS = 0.3
"""Share of borders between plateaus that are jumps; 0 on slopes, about 1 between
numbers of things."""
_LEAST_BORDERS = 16
"""Borders by which that share can be told."""
_MOST_PLATEAUS = 1.5
"""Most plateaus for each value: a number belongs to one thing, a height to many places."""
_PLATEAUS = 0.5
"""Share of equal neighbours from which a band consists of plateaus."""
_EVEN_PLATEAUS = 0.9
"""The same of 8 bits, where codes have gaps."""
_LONGEST_TABLE = 2**16
"""Most numbers from the lowest to the highest value that are looked up in a table."""
_LEAST_TURNS = 2
"""Changes between wider and narrower gaps from which few values are codes."""


class Appearance(NamedTuple):
    """Appearance of a band, by some windows of it."""

    is_whole: bool = True
    """All values are whole numbers."""
    few: int = 0
    """Number of different values, if it is small and each is there often enough, else
    0."""
    values: frozenset[float] = frozenset()
    """The few values."""
    is_unordered: bool = False
    """The few values lie beside each other in any order, as classes do; see
    ``_is_unordered``."""
    have_gaps: bool = False
    """The few values are codes by gaps as no scale of shades has them; see
    ``are_codes``."""
    are_identifiers: bool = False
    """The many values look like numbers of things, such as parcels."""
    is_mixed: bool = False
    """The many values lie beside each other in any order, as bit flags do and no picture
    does."""

    @property
    def are_codes(self) -> bool:
        """The few values are classes without a name, by their order or by their gaps."""
        return self.is_unordered or self.have_gaps


def measure_appearance(windows: Sequence[BandWindow]) -> Appearance:
    """Measure windows of one band, of one size, until it proves to have many values."""
    values: Array = np.empty(0, windows[0].pixels.dtype)
    seen: list[BandWindow] = []
    for window in windows:
        seen.append(window)
        samples = window.pixels[window.valid]
        if samples.dtype.kind == "f" and (samples != np.floor(samples)).any():
            return Appearance(is_whole=False)
        values = np.union1d(values, samples)
        if len(values) > MOST and len(seen) >= _LEAST_WINDOWS:
            break
    pixels = np.stack([window.pixels for window in seen])
    valid = np.stack([window.valid for window in seen])
    return _appearance_of(pixels, valid)


def _appearance_of(pixels: Array, valid: Array) -> Appearance:
    """Return what windows of one band (n, h, w) look like by their valid pixels."""
    pairs_of_values = neighbours(pixels, valid)
    values, counts = np.unique(pixels[valid], return_counts=True)
    count = len(values)
    if count > MOST:
        disorder = _disorder(_indices_of(pairs_of_values, values), counts)
        # in rows of numbers neighbours are near each other, but hardly one is left out
        is_dense = count >= _DENSE * (float(values[-1]) - float(values[0]))
        may_be_numbers = disorder >= _NUMBERED_ANYHOW or is_dense
        return Appearance(
            are_identifiers=may_be_numbers and are_identifiers(pixels, valid),
            is_mixed=disorder >= _MIXED,
        )
    if count < 2 or counts.sum() < 16 * count:  # of fewer pixels nothing can be told
        return Appearance()
    low, high = np.sort(_indices_of(pairs_of_values, values), axis=0)
    pairs = np.bincount(low * count + high, minlength=count * count)
    few_values: list[float] = values.tolist()
    is_unordered = _is_unordered(few_values, counts, pairs.reshape(count, count))
    # shades of 8 bits have gaps: of pictures cut to 6 and more levels up to 0.84 of
    # neighbours were equal where gaps turned as those of codes do
    least_equal = _PLATEAUS if pixels.dtype.itemsize > 1 else _EVEN_PLATEAUS
    may_be_codes = count > 4 and low.size > 0
    have_gaps = False
    if may_be_codes and not is_unordered and (low == high).mean() >= least_equal:
        have_gaps = are_codes(pixels, valid, few_values)
    return Appearance(
        few=count,
        values=frozenset(few_values),
        is_unordered=is_unordered,
        have_gaps=have_gaps,
    )


def _indices_of(pixels: Array, values: Array) -> Array:
    """Return the index of each pixel among sorted values, of which it has one."""
    lowest = values[0]
    is_narrow = values.dtype.kind in "iu" and values.dtype.itemsize <= 4
    if is_narrow and int(values[-1]) - int(lowest) < _LONGEST_TABLE:
        # a search takes ten times as long
        table = np.zeros(int(values[-1]) - int(lowest) + 1, np.intp)
        table[values.astype(np.int64) - int(lowest)] = np.arange(len(values))
        return np.asarray(table[pixels.astype(np.int64) - int(lowest)])
    return np.searchsorted(values, pixels)


def _disorder(indices: Array, counts: Array) -> float:
    """Return how far neighbours that differ are apart, in terms of any two pixels.

    ``indices`` (2, n) are those of neighbours in the order of values, ``counts`` the
    values' pixels.
    """
    steps = np.abs(indices[0] - indices[1])
    is_change = steps > 0
    changes = steps[is_change]
    if not changes.size:
        return 0.0
    below = np.cumsum(counts / counts.sum())
    usual_step = float(2 * (below * (1 - below)).sum())
    return float(changes.mean()) / usual_step


def _is_unordered(values: list[float], counts: Array, pairs: Array) -> bool:
    """Tell if few values lie beside each other like classes.

    In a picture, however dark, coarse or empty, most steps from a pixel to its
    neighbour lead to the next value there is, while classes lie beside each other in
    any order. Unless no order is left at all, either the pixels must lie in patches too
    (noise does not), or the values have irregular gaps (shades do not). Two values are
    a mask if they lie in patches or both are common, but not two shades side by side.
    ``pairs`` (n, n) counts neighbours by the indices of the lower and of the higher
    value.
    """
    # how much likelier than by chance a neighbour has the same value (Cohen's kappa)
    touching = pairs.sum(axis=0) + pairs.sum(axis=1)
    agreement = 2 * pairs.diagonal() / touching.clip(1)
    chance = counts / counts.sum()
    are_patches = bool(((agreement - chance) / (1 - chance)).mean() >= 0.35)
    is_common = counts >= 0.005 * counts.sum()
    common = [values[index] for index in np.flatnonzero(is_common)]
    if len(values) == 2:
        # 254 and 255: an empty page
        are_shades = values[0] > 1 and values[1] - values[0] == 1
        return not are_shades and (are_patches or len(common) == 2)
    # how many steps between neighbours pass over other values; 1 in a random order.
    # Photographs and scanned text cut to 3 to 64 levels (to 5 and more if they got a
    # gamma too) stay below 0.6 or are no patches; segmented pictures with random numbers
    # are above and patches
    steps = np.triu(pairs, 1).sum()
    wide_steps = np.triu(pairs, 2).sum()
    disorder = float(wide_steps / max(steps, 1) / (1 - 2 / len(values)))
    are_few = len(values) <= 16
    is_irregular = are_few and _has_irregular_gaps(common)
    if are_patches and is_irregular and len(values) <= 4:
        return True  # which even a coarse picture has not
    if are_patches or is_irregular:
        return disorder >= 0.6
    return are_few and disorder >= 0.9


def _has_irregular_gaps(values: list[float]) -> bool:
    """Tell if sorted values are no regular sequence, nor nearly all of one."""
    gaps = [int(high - low) for low, high in pairwise(values)]
    if len(gaps) < 2 or max(gaps) <= 1.5 * min(gaps):
        return False
    return len(values) < 2 / 3 * (sum(gaps) // math.gcd(*gaps) + 1)


def neighbours(windows: Array, valid: Bools) -> Array:
    """Return the values (2, n) of valid pixels beside each other, in rows and in columns."""
    pairs = []
    for before, after in NEIGHBOURS:
        are_valid = valid[before] & valid[after]
        pairs.append((windows[before][are_valid], windows[after][are_valid]))
    return np.concatenate(pairs, axis=1)


def are_identifiers(windows: Array, valid: Bools) -> bool:
    """Tell if many values (n, h, w) are identifiers: numbers of parcels, segments, regions.

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


def are_codes(windows: Array, valid: Bools, values: list[float]) -> bool:
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
    borders = []
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
    from skimage.measure import label

    _, ranks = np.unique(window, return_inverse=True)
    # the background of 0 counts as no area
    numbers = np.where(valid, ranks.reshape(window.shape) + 1, 0)
    return int(label(numbers, connectivity=1).max())  # type: ignore[no-untyped-call]
