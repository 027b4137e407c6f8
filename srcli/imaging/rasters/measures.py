"""Measures of a band's values, by which signs tell what it holds: functions of arrays alone.

How values look (few, in their order, in patches); alpha or data that is called alpha;
angles, whose highest value is followed by their lowest; codes beside measurements; values
that stand for no data though the file does not say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools
from srcli.imaging.pixels.values import are_at
from srcli.imaging.rasters.look import BandWindow
from srcli.imaging.rasters.names import TABLES
from srcli.imaging.rasters.nodata import is_nodata

FEW = 16
"""Most different values of alpha, of codes beside measurements, of a mask or of classes."""
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
_FAINT = 0.1
"""Share of the highest possible value below which alpha would let nothing be seen."""
_OPAQUE = 255
"""In 16 bits as well, where programs have copied 8."""
_ROUGH = 0.35
"""Changes of slope over slopes: 0.25 of alpha feathered over 12 pixels, 1 and more of
pictures."""
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
_CLOSE_IN_NOISE = 0.3
"""The same of values that fill the turn evenly: 0.28 with phase noise of a radian, 0.35
where noise is all there is."""
_PARTS = 50
"""Of a turn, whose first and last are looked at."""
_LEAST_AT_ENDS = 0.3
"""Values in these, over those of all parts in the mean."""
_FILL_VALUES: list[float] = TABLES["fill_values"]
"""Values that many programs write for no data, below and above those of most measurements."""
_FILLS_OF_INDEX = (-3000, -9999)
"""Those of MODIS (MOD13, valid from -2000) and of Landsat's spectral indices ..."""
_BESIDE_INDEX = 500
"""... and how far below the index they are."""
_HUGE = 1e19
"""Least size of floats that may be fills whatever their digits are, such as -3.4e38."""
_LEAST_AREA = 16
"""Pixels of a fill in the midst of other values."""
_CLIFF = 4
"""Step at the border of such a fill, over the largest usual step between neighbours."""


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
    ends_meet: bool = False
    """Eight of the few values follow each other in a circle; see ``_ends_meet``."""
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
    pairs = pairs.reshape(count, count)
    few_values: list[float] = values.tolist()
    is_unordered = _is_unordered(few_values, counts, pairs)
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
        ends_meet=_ends_meet(few_values, pairs),
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


def _ends_meet(values: list[float], pairs: Array) -> bool:
    """Tell if few values are eight directions, 1 to 8 or 0 to 7: the last is beside the first.

    In a picture of eight shades the lightest hardly ever touches the darkest. ``pairs``
    as in ``_is_unordered``; two values more may stand for sinks and the like. GRASS makes
    those negative that leave the map.
    """
    lowest = 1.0 if 8 in values else 0.0
    sizes = {abs(value) for value in values}
    if len(sizes) > 10 or not {lowest + step for step in range(8)} <= {*values}:
        return False
    first = values.index(lowest)
    circle = pairs[first : first + 8, first : first + 8]
    beside = np.median(circle.diagonal(1))
    apart = np.median([*circle.diagonal(2), *circle.diagonal(3)])
    return bool(circle[0, 7] >= beside / 2 > apart)


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


def is_data(pixels: Array, bits: int | None) -> bool:
    """Tell if pixels (n, h, w) are no alpha; ``bits`` as in ``BandInfo``.

    Data have many values, none of them frequent. Alpha changes slowly where it is soft,
    and most of what is seen has one value.
    """
    is_seen = pixels > 0
    values, counts = np.unique(pixels[is_seen], return_counts=True)
    if not len(values):
        return False
    highest = float(values[-1])
    if pixels.dtype.kind != "f" and len(values) > 1 and highest != _OPAQUE:
        most = 2 ** (bits or pixels.dtype.itemsize * 8) - 1
        if highest < _FAINT * most:
            return True
    if len(values) <= FEW or 2 * counts.max() > counts.sum():
        return False
    rounding = highest / 255
    slopes = 0.0
    turns = 0.0
    for lines in (pixels, pixels.swapaxes(1, 2)):
        slope = np.diff(lines.astype(np.float64), axis=2)
        turn = np.abs(np.diff(slope, axis=2))
        slopes += float(np.abs(slope).sum())
        is_turn = turn > rounding
        turns += float(turn[is_turn].sum())
    return turns > _ROUGH * slopes


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
    # wrapped phases have all values alike, those at the ends too, and noise
    counts = np.histogram(values, _PARTS)[0]
    is_even = min(counts[0], counts[-1]) >= _LEAST_AT_ENDS * counts.mean()
    close = _CLOSE_IN_NOISE if is_even else _CLOSE
    before, after = neighbours(pixels, valid).astype(np.float64) * scale
    steps = np.abs(after - before)
    wide = steps[steps > turn / 2]
    return wide.size >= _LEAST_WRAPS and float(np.median(turn - wide)) < close * turn


def fill_values_of(pixels: Array, valid: Bools, *, of_index: bool) -> list[float]:
    """Return the fills among valid pixels (n, h, w), the most extreme first.

    A known fill counts if it lies further from all other values than these from each
    other; or, below zero, if it covers areas whose borders are cliffs such as the data
    have nowhere else; or, ``of_index`` such as NDVI times 10000, as many lowest values with
    none near them. A value of -9999 among others near it is a value.
    """
    fill_values = []
    while valid.any():
        fill_value = _find_fill_value(pixels, valid, of_index=of_index)
        if fill_value is None:
            break
        fill_values.append(fill_value)
        valid = valid & ~is_nodata(pixels, fill_value)
    return fill_values


def _find_fill_value(pixels: Array, valid: Bools, *, of_index: bool) -> float | None:
    """Return one fill among valid pixels (n, h, w); None if there is none."""
    values = pixels[valid]
    lowest = float(values.min())
    for end in (lowest, float(values.max())):
        if _is_apart(values, end):
            return end
    are_near = (values > lowest) & (values < lowest + _BESIDE_INDEX)
    is_fill = of_index and lowest in _FILLS_OF_INDEX and not are_near.any()
    if is_fill and are_at(values, lowest):
        return lowest
    for fill_value in _FILL_VALUES:
        if fill_value < 0 and _has_cliffs(pixels, valid, fill_value):
            return fill_value
    return None


def _is_apart(values: Array, end: float) -> bool:
    """Tell if the lowest or highest of the values is a known fill, far from all others."""
    is_huge = values.dtype.kind == "f" and abs(end) >= _HUGE
    if not (is_huge or end in _FILL_VALUES):
        return False
    data = values[~is_nodata(values, end)]
    if not data.size:
        return False
    low = float(data.min())
    high = float(data.max())
    if min(abs(end - low), abs(end - high)) <= high - low:
        return False
    if is_huge or end < 0:
        return True
    thinned = data[:: max(data.size // 10_000, 1)]
    return len(np.unique(thinned)) > FEW


def _has_cliffs(pixels: Array, valid: Bools, value: float) -> bool:
    """Tell if a value covers areas that end in steps as there are nowhere else."""
    is_float = pixels.dtype.kind == "f"
    limits = np.finfo(pixels.dtype) if is_float else np.iinfo(pixels.dtype)
    if value < float(limits.min):
        return False
    filled = valid & is_nodata(pixels, value)
    if filled.sum() < _LEAST_AREA:
        return False
    before, after = neighbours(pixels, valid)
    are_filled_before, are_filled_after = neighbours(filled, valid)
    steps = np.abs(before.astype(np.float64) - after)
    cliffs = steps[are_filled_before != are_filled_after]
    slopes = steps[~(are_filled_before | are_filled_after)]
    inside = (are_filled_before & are_filled_after).sum()
    if not (cliffs.size and slopes.size) or inside < cliffs.size:
        return False
    return bool(np.percentile(cliffs, 25) > _CLIFF * np.percentile(slopes, 99))
