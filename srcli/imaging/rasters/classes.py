"""Find the bands of a raster that hold classes, flags or masks, which must not be interpolated."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from srcli.imaging.arrays import Array, Bools
from srcli.imaging.rasters.info import COLOURS, RasterInfo
from srcli.imaging.rasters.selection import BandLayout, choose_layout
from srcli.imaging.rasters.source import RasterSource, spread_windows
from srcli.ports.image import Window

ClassMode = Literal["auto", "yes", "no"]

# Words of the names of bands that hold classes, flags or masks; "land cover" is one
# word too.
_WORDS = frozenset({
    "scl", "qa", "qc", "bqa", "fmask", "cfmask", "pixelqa", "pixelreliability", "wqsf", "flag",
    "flags", "mask", "masks", "cloudmask", "bitmask", "class", "classes", "classification",
    "classified", "classi", "detfoo", "category", "categories", "label", "labels",
    "segmentation", "landcover", "landuse", "lulc", "lccs", "lcz", "igbp", "nlcd", "cdl",
    "corine", "worldcover", "mapbiomas",
})  # fmt: skip
_NUMBERED = re.compile(r"(qa|qf|clc|lctype|lcprop)\d+")
# Words of quantities: "class probability" and "mask confidence" are numbers to
# interpolate.
_QUANTITIES = frozenset({
    "probability", "prob", "confidence", "score", "scores", "fraction", "percent", "percentage",
    "distance", "uncertainty", "error", "density", "impervious", "canopy",
})  # fmt: skip
"""Landsat's ST_QA is one too: the uncertainty of a temperature in kelvin."""
# Tags of the CF conventions.
_FLAG_TAGS = frozenset({"flag_values", "flag_masks", "flag_meanings"})
_CATEGORY = re.compile(r"<Category>[^<]|<Usage>2</Usage>")  # 2: a column of names
# Formats whose palettes save room, unless georeferenced.
_PICTURES = frozenset({"PNG", "GIF", "BMP"})
_MOST = 64
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
_LEAST_TURNS = 2
"""Changes between wider and narrower gaps from which few values are codes."""


def choose_layout_by_pixels(
    info: RasterInfo,
    window: Window,
    mode: ClassMode,
    *,
    bands: Sequence[int] | None = None,
    rgb: Sequence[int] | None = None,
) -> BandLayout:
    """Choose the bands of the output by ``choose_layout``, after finding those of classes.

    Sure signs are those of ``_class_sign``, and a word such as SCL, QA_PIXEL or landcover in
    the name of a file of one band whose pixels do not contradict it. Without one a band
    of whole numbers that goes through the network alone is taken for classes if its few
    different values do not follow their order, or if they are codes or numbers of
    things (see ``are_identifiers``); three that are taken for colours, if none of them does.
    In a picture, however dark, coarse or empty, most steps from a pixel to its
    neighbour lead to the next value there is, while classes lie beside each other in
    any order. Unless no order is left at all, either the pixels must lie in patches too
    (noise does not), or the values have irregular gaps (shades do not). Two values are
    a mask if they lie in patches or both are common, but not two shades side by side.
    What follows the order of values is a picture: little is lost by it, as between
    classes 1 and 2 interpolation finds no third value.

    The modes ``yes`` and ``no`` decide for all bands.
    """
    candidates = [
        number
        for number, band in enumerate(info.bands, start=1)
        if band.interpretation != "alpha" and (bands is None or number in bands)
    ]
    if mode == "no":
        return choose_layout(info, bands=bands, rgb=rgb)
    if mode == "yes":
        return choose_layout(info, bands=bands, rgb=rgb, classes=candidates)
    signs = _sure_signs(info, window, sorted(set(candidates) - set(rgb or ())))
    findings = _Findings(signs)
    layout = choose_layout(info, bands=bands, rgb=rgb, classes=signs)
    # in the name of a file of several bands a word may be about one of them
    word = ""
    if len(candidates) == 1:
        word = _class_word(info.path.stem)
    if layout.palette is None:  # a palette that is left stands for colours
        for group in layout.groups:
            looks = {}
            for index in layout.indices(group):
                number = layout.bands[index]
                if number in candidates:
                    looks[number] = _sample_appearance(info, window, number)
            if len(group) == 1:
                for number, look in looks.items():
                    findings.add(number, look, word)
            elif rgb is None and _are_class_bands(info, looks):
                for number, look in looks.items():
                    findings.guesses[number] = look.few_values
    layout = choose_layout(
        info, bands=bands, rgb=rgb, classes=(*findings.signs, *findings.guesses)
    )
    treatment = (
        "taken for classes, enlarged by nearest neighbour; --classes no interpolates"
    )
    remarks = _band_messages(findings.signs, treatment)
    remarks += _band_messages(
        findings.pictures, "taken for a picture; --classes yes if not"
    )
    # a warning, as values alone may mislead
    notes = _band_messages(
        findings.guesses, f"{treatment}, --classes yes silences this"
    )
    return replace(layout, notes=(*layout.notes, *notes), remarks=tuple(remarks))


@dataclass
class _Findings:
    """Bands that look like classes or pictures, by number, each with the sign for it."""

    signs: dict[int, str]
    """Classes by what the file says."""
    guesses: dict[int, str] = field(default_factory=dict)
    """Classes by their values alone."""
    pictures: dict[int, str] = field(default_factory=dict)
    """Pictures that look a little like classes."""

    def add(self, band: int, look: _Appearance, word: str) -> None:
        """Decide on a band that goes alone; a word in the file's name counts if values agree."""
        is_named = word and look.is_whole
        if is_named and (look.few or look.are_identifiers or look.is_mixed):
            self.signs[band] = f'("{word}" in the file\'s name)'
        elif look.is_unordered:
            self.guesses[band] = look.few_values
        elif look.are_identifiers:
            self.guesses[band] = "looks like numbers of things"
        elif look.few:
            self.pictures[band] = look.few_values
        elif is_named:
            self.pictures[band] = f'("{word}" in its name)'


def _sure_signs(
    info: RasterInfo, window: Window, bands: Sequence[int]
) -> dict[int, str]:
    """Return what the file says of bands of classes, by number; floats must be whole numbers."""
    signs = {}
    for number in bands:
        sign = _class_sign(info, number)
        is_float = info.band(number).dtype.startswith("float")
        # floats that are no whole numbers are probabilities
        if sign and (not is_float or _sample_appearance(info, window, number).is_whole):
            signs[number] = sign
    return signs


def _are_class_bands(info: RasterInfo, looks: Mapping[int, _Appearance]) -> bool:
    """Tell if three bands taken for red, green and blue hold classes, as those of three years do.

    None may follow the order of its values. Where the file itself calls them colours
    they must share one set of values, without white, and differ: a drawing has other
    values in each band, or the same gray in all.
    """
    if not all(look.is_unordered for look in looks.values()):
        return False
    bands = [info.band(number) for number in looks]
    if not any(band.interpretation in COLOURS for band in bands):
        return True
    values_of_bands = [look.values for look in looks.values()]
    all_values = frozenset[float]().union(*values_of_bands)
    shared = all_values.intersection(*values_of_bands)
    is_8_bit = all(band.dtype == "uint8" for band in bands)
    white = 255 if is_8_bit else 65535
    is_shared = len(shared) >= max(5, 0.75 * len(all_values))
    return is_shared and white not in all_values


def _class_sign(info: RasterInfo, number: int) -> str:
    """Return what the file says of a band that makes it one of classes; empty without."""
    band = info.band(number)
    if band.interpretation in COLOURS:
        return ""
    is_picture = info.driver in _PICTURES and not any(info.georeference.values())
    if band.bits == 1 and not is_picture:
        return "(one bit a pixel)"
    if band.interpretation == "palette" and not is_picture:
        return "(a palette)"
    tags = {}
    for items in band.tags.values():
        for key, text in items.items():
            tags[key.lower()] = text
    if tags.get("layer_type", "").lower() == "thematic" or _FLAG_TAGS & set(tags):
        return "(marked so in its tags)"
    if _CATEGORY.search("".join(band.vrt_elements.values())):
        return "(names of categories)"
    names = [band.vrt_elements.get("Description", "")]
    for key, text in tags.items():
        if key.endswith("name") or key == "description":
            names.append(text)
    for name in names:
        word = _class_word(name)
        if word:
            return f'(called "{word}")'
    return ""


def _class_word(name: str) -> str:
    """Return the word of a name that stands for classes; empty if there is none."""
    words: list[str] = re.findall(r"[a-z0-9]+", name.lower())
    pairs = list(pairwise(words))
    if _QUANTITIES & set(words) or ("st", "qa") in pairs:
        return ""
    for word in (*words, *map("".join, pairs)):  # "land_cover" is a pair
        if word in _WORDS or _NUMBERED.fullmatch(word):
            return word
    return ""


def _band_messages(signs: Mapping[int, str], treatment: str) -> list[str]:
    """Say what is done with bands, by number, and the sign for it; nothing without any."""
    if not signs:
        return []
    text = "; ".join(f"band {band} {sign}" for band, sign in sorted(signs.items()))
    return [f"{text}: {treatment}"]


class _Appearance(NamedTuple):
    """Appearance of a band, by some windows of it."""

    is_whole: bool = True
    """All values are whole numbers."""
    few: int = 0
    """Number of different values, if it is small and each is there often enough, else
    0."""
    values: frozenset[float] = frozenset()
    """The few values."""
    is_unordered: bool = False
    """The few values look like classes without a name; see ``choose_layout_by_pixels``."""
    are_identifiers: bool = False
    """The many values look like numbers of things, such as parcels."""
    is_mixed: bool = False
    """The many values lie beside each other in any order, as bit flags do and no picture
    does."""

    @property
    def few_values(self) -> str:
        """What the user is told of a band of few values."""
        return f"holds only {self.few} different values"


def _sample_appearance(info: RasterInfo, window: Window, band: int) -> _Appearance:
    """Look at windows of a band until it proves to have many values; huge blocks tell nothing."""
    layout = choose_layout(info, bands=(band,), classes=(band,))
    values: Array = np.empty(0, layout.dtype)
    decoded = []
    with RasterSource(info, layout, window) as source:
        if source.has_huge_blocks:
            return _Appearance()
        for area in spread_windows(source, side=256, along=8):
            decoded.append(source.decode(area))
            samples = decoded[-1].pixels[decoded[-1].valid]
            if samples.dtype.kind == "f" and (samples != np.floor(samples)).any():
                return _Appearance(is_whole=False)
            values = np.union1d(values, samples)
            if len(values) > _MOST and len(decoded) >= _LEAST_WINDOWS:
                break
    pixels = np.stack([sample.pixels[:, :, 0] for sample in decoded])
    valid = np.stack([sample.valid[:, :, 0] for sample in decoded])
    return _appearance_of(pixels, valid)


def _appearance_of(pixels: Array, valid: Array) -> _Appearance:
    """Return what windows of one band (n, h, w) look like by their valid pixels."""
    pairs_of_values = neighbours(pixels, valid)
    values, counts = np.unique(pixels[valid], return_counts=True)
    count = len(values)
    if count > _MOST:
        disorder = _disorder(np.searchsorted(values, pairs_of_values), counts)
        # in rows of numbers neighbours are near each other, but hardly one is left out
        is_dense = count >= _DENSE * (float(values[-1]) - float(values[0]))
        may_be_numbers = disorder >= _NUMBERED_ANYHOW or is_dense
        return _Appearance(
            are_identifiers=may_be_numbers and are_identifiers(pixels, valid),
            is_mixed=disorder >= _MIXED,
        )
    if count < 2 or counts.sum() < 16 * count:  # of fewer pixels nothing can be told
        return _Appearance()
    low, high = np.sort(np.searchsorted(values, pairs_of_values), axis=0)
    pairs = np.bincount(low * count + high, minlength=count * count)
    few_values: list[float] = values.tolist()
    is_unordered = _is_unordered(few_values, counts, pairs.reshape(count, count))
    # shades of 8 bits have gaps
    may_be_codes = count > 4 and pixels.dtype.itemsize > 1 and low.size > 0
    if may_be_codes and not is_unordered and (low == high).mean() >= 0.5:
        is_unordered = are_codes(pixels, valid, few_values)
    return _Appearance(
        few=count, values=frozenset(few_values), is_unordered=is_unordered
    )


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
    """Tell if few values lie beside each other like classes; see ``choose_layout_by_pixels``.

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
