"""Decide which bands of a raster hold classes, flags or masks, which must not be interpolated."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from srcli.imaging.rasters.reading import RasterDecoder
from srcli.imaging.rasters.selection import BandLayout, choose_layout
from srcli.ports.image import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from srcli.imaging.rasters.info import RasterInfo

    Array = NDArray[Any]

ClassMode = Literal["auto", "yes", "no"]

# Words of the names of bands that hold classes, flags or masks; "land cover" is one word too.
_WORDS = frozenset(
    {
        "scl", "qa", "qc", "bqa", "fmask", "cfmask", "pixelqa", "pixelreliability", "wqsf", "flag",
        "flags", "mask", "masks", "cloudmask", "bitmask", "class", "classes", "classification",
        "classified", "classi", "detfoo", "category", "categories", "label", "labels",
        "segmentation", "landcover", "landuse", "lulc", "lccs", "lcz", "igbp", "nlcd", "cdl",
        "corine", "worldcover", "mapbiomas",
    }
)  # fmt: skip
_NUMBERED = re.compile(r"(qa|qf|clc|lctype|lcprop)\d+")
# Words of quantities: "class probability" and "mask confidence" are numbers to interpolate.
_QUANTITIES = frozenset(
    {
        "probability", "prob", "confidence", "score", "scores", "fraction", "percent", "percentage",
        "distance", "uncertainty", "error", "density", "impervious", "canopy",
    }
)  # fmt: skip
_FLAG_TAGS = frozenset({"flag_values", "flag_masks", "flag_meanings"})  # of the CF conventions
_CATEGORY = re.compile(r"<Category>[^<]|<Usage>2</Usage>")  # 2: a column of names
_PICTURES = frozenset({"PNG", "GIF", "BMP"})  # whose palettes save room, unless georeferenced
_COLOURS = frozenset({"red", "green", "blue"})
_REPEATED = "taken for classes, enlarged by nearest neighbour"
_PICTURE = "taken for a picture; --classes yes if not"
_NO = "--classes no interpolates"

_SIDE, _ALONG = 256, 8
"""Pixels a side of the windows that are sampled, and the most of them along each axis."""
_LARGEST_BLOCK = 2**28
"""Pixels of a block; a larger one is not unpacked to be looked at, as few bytes may claim it."""
_MOST = 64
"""Most different values of a band that is taken for classes by its values."""
_MOST_SCATTERED = 16
"""The same where neighbours are not alike either."""
_FEWEST_SHADES = 4
"""Most values, with irregular gaps, that even a coarse picture does not have."""
_DISORDER, _FULL_DISORDER = 0.6, 0.9
"""Least share of the steps that pass over other values, relative to a random order of classes; that
from which nothing else counts. Photographs and scanned text cut to 3 to 64 levels (to
5 and more if they got a gamma too) stay below it or below ``_ALIKE``; segmented pictures with
random numbers are above both."""
_PIXELS_EACH = 16
"""Pixels for each different value, at least: of fewer nothing can be told."""
_COMMON = 0.005
"""Share of the pixels from which a value counts for the gaps between values."""
_ALIKE = 0.35
"""Least agreement of neighbours beyond chance (Cohen's kappa, mean of all values)."""
_ALIKE_BY_NAME = 0.5
"""Least share of equal neighbours where the file's name speaks of classes."""


@dataclass(frozen=True, kw_only=True)
class ClassChoice:
    """The bands that are enlarged by nearest neighbour, and why."""

    bands: frozenset[int] = frozenset()
    """Numbered from 1, as in the file."""
    remarks: tuple[str, ...] = ()
    """Decisions by what the file says, for the user."""
    warnings: tuple[str, ...] = ()
    """Decisions by the values alone, which may be wrong."""


def find_classes(
    info: RasterInfo,
    window: Window,
    mode: ClassMode,
    *,
    bands: Sequence[int] | None = None,
    rgb: Sequence[int] | None = None,
) -> ClassChoice:
    """Find the bands whose values are names, not quantities.

    Sure signs are a palette, one bit a pixel, category names, flags or a thematic layer in the
    metadata, and a word such as SCL, QA_PIXEL or landcover in the name of a band, or of a file of
    one band (whose pixels must not contradict it). Red, green and blue are never classes.

    Without such a sign an integer band that goes through the network alone is taken for classes by
    a sample of its pixels: if it holds few different values, and these do not follow their order.
    In a picture, however dark, coarse or empty, most steps from a pixel to its neighbour lead to
    the next value there is, while classes lie beside each other in any order. Unless no order is
    left at all, either the pixels must lie in patches too (noise does not), or the values have
    irregular gaps (shades do not). Two values are a mask if they lie in patches or both are common,
    but not two shades side by side.

    What follows the order of values is taken for a picture. There little is lost by it: between
    classes 1 and 2 interpolation finds no third value.

    Args:
        info: The file.
        window: The part to enlarge.
        mode: ``auto``, or ``yes`` or ``no`` for all bands.
        bands: As for ``choose_layout``.
        rgb: As for ``choose_layout``.

    Raises:
        UsageError, PictureError: As for ``choose_layout``, or if the file is damaged.
    """
    wanted = range(1, len(info.bands) + 1) if bands is None else bands
    kept = [band for band in wanted if not _is_alpha(info, band)]
    if mode != "auto":
        return ClassChoice(bands=frozenset(kept) if mode == "yes" else frozenset())
    signs = {band: sign for band in kept if band not in (rgb or ()) and (sign := _sign(info, band))}
    for band in [band for band in signs if _is_float(info, band)]:
        if not _sample(info, window, band).is_whole:  # probabilities
            del signs[band]
    layout = choose_layout(info, bands=bands, rgb=rgb, classes=signs)
    word = _word(info.path.stem) if len(kept) == 1 else ""
    few: dict[bool, dict[int, int]] = {True: {}, False: {}}
    remarks: list[str] = []
    for band in _lonely_bands(info, layout, floats=bool(word)):
        sample = _sample(info, window, band)
        if word and sample.looks_named:
            signs[band] = f'"{word}" in the file\'s name'
        elif word and sample.is_whole:
            remarks.append(f'"{word}" in its name, but pixels like those of a picture: {_PICTURE}')
        elif sample.is_small:
            few[sample.looks_classified][band] = len(sample.counts)
    if signs:
        remarks.insert(0, f"{_bands_text(signs)}: {_REPEATED}; {_NO}")
    if few[False]:
        remarks.append(f"{_few_text(few[False])}: {_PICTURE}")
    warnings = []
    if few[True]:
        known = "--classes yes silences this"
        warnings.append(f"{_few_text(few[True])}: {_REPEATED}; {_NO}, {known}")
    return ClassChoice(
        bands=frozenset((*signs, *few[True])), remarks=tuple(remarks), warnings=tuple(warnings)
    )


def _is_alpha(info: RasterInfo, band: int) -> bool:
    """Tell if a band is alpha; numbers that are no bands are refused elsewhere."""
    return 0 < band <= len(info.bands) and info.bands[band - 1].interpretation == "alpha"


def _is_float(info: RasterInfo, band: int) -> bool:
    return info.bands[band - 1].dtype.startswith("float")


def _lonely_bands(info: RasterInfo, layout: BandLayout, *, floats: bool) -> list[int]:
    """Return the bands that go through the network alone; a palette stands for colours."""
    bands = [layout.bands[group[0]] for group in layout.groups if len(group) == 1]
    return [band for band in bands if not layout.palette and (floats or not _is_float(info, band))]


def _sign(info: RasterInfo, number: int) -> str:
    """Return what the file says of a band that makes it one of classes; empty without."""
    if not 0 < number <= len(info.bands):
        return ""
    band = info.bands[number - 1]
    if band.interpretation in _COLOURS:
        return ""
    is_picture = info.driver in _PICTURES and not info.is_georeferenced
    if band.bits == 1 and not is_picture:
        return "one bit a pixel"
    if band.interpretation == "palette" and not is_picture:
        return "a palette"
    tags = {key.lower(): text for group in band.tags.values() for key, text in group.items()}
    if tags.get("layer_type", "").lower() == "thematic" or _FLAG_TAGS & set(tags):
        return "marked so in its tags"
    if _CATEGORY.search(band.legend):
        return "names of categories"
    names = [text for key, text in tags.items() if key.endswith("name") or key == "description"]
    words = (_word(name) for name in (band.description or "", *names))
    return next((f'called "{word}"' for word in words if word), "")


def _word(name: str) -> str:
    """Return the word of a name that stands for classes; empty if there is none."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    if _QUANTITIES & set(words):
        return ""
    pairs = map("".join, pairwise(words))  # "land_cover"
    return next((one for one in (*words, *pairs) if one in _WORDS or _NUMBERED.fullmatch(one)), "")


def _bands_text(signs: Mapping[int, str]) -> str:
    by_sign: dict[str, list[int]] = {}
    for band, sign in sorted(signs.items()):
        by_sign.setdefault(sign, []).append(band)
    return "; ".join(f"{_numbers(bands)} ({sign})" for sign, bands in by_sign.items())


def _few_text(counts: Mapping[int, int]) -> str:
    most = max(counts.values())
    return f"{_numbers(sorted(counts))} hold{'s' * (len(counts) == 1)} only {most} different values"


def _numbers(bands: Sequence[int]) -> str:
    return f"band{'s' * (len(bands) > 1)} {','.join(map(str, bands))}"


@dataclass(kw_only=True)
class _Sample:
    """What some windows of a band hold."""

    counts: Counter[float] = field(default_factory=Counter)
    """Pixels of each value, invalid ones left out; of more than ``_MOST`` values not all."""
    pairs: Counter[tuple[float, float]] = field(default_factory=Counter)
    """Pairs of neighbours, the lower value first."""
    equal: int = 0
    """Pairs of equal neighbours, as ``neighbours`` of the last windows too."""
    neighbours: int = 0
    """All pairs."""
    is_whole: bool = True
    """All values are whole numbers."""

    @property
    def is_small(self) -> bool:
        """True if it holds few different values, each often enough."""
        enough = self.counts.total() >= _PIXELS_EACH * len(self.counts)
        return self.is_whole and enough and 1 < len(self.counts) <= _MOST

    @property
    def looks_named(self) -> bool:
        """True if the values do not contradict a name of classes; flags may have many of them."""
        alike = self.equal >= _ALIKE_BY_NAME * self.neighbours
        return self.is_whole and (alike or self.is_small)

    @property
    def looks_classified(self) -> bool:
        """True if it looks like classes without a name; see ``find_classes``."""
        if not self.is_small:
            return False
        values = sorted(self.counts)
        alike = self._agreement(values) >= _ALIKE
        common = [one for one in values if self.counts[one] >= _COMMON * self.counts.total()]
        if len(values) == 2:
            shades = values[0] > 1 and values[1] - values[0] == 1  # 254 and 255: an empty page
            return not shades and (alike or len(common) == 2)
        disorder, few = self._disorder(values), len(values) <= _MOST_SCATTERED
        irregular = few and _has_irregular_gaps(common)
        if alike and irregular and len(values) <= _FEWEST_SHADES:
            return True
        if alike or irregular:
            return disorder >= _DISORDER
        return few and disorder >= _FULL_DISORDER

    def _agreement(self, values: Sequence[float]) -> float:
        """Return how much likelier than by chance a neighbour has the same value; mean of all."""
        total, found = self.counts.total(), []
        for value in values:
            both = self.pairs[value, value]
            touching = 2 * both + sum(n for pair, n in self.pairs.items() if _one_is(pair, value))
            chance = self.counts[value] / total
            found.append((2 * both / max(touching, 1) - chance) / (1 - chance))
        return sum(found) / len(found)

    def _disorder(self, values: Sequence[float]) -> float:
        """Return how many steps between neighbours pass over other values; 1 in a random order."""
        rank = {value: place for place, value in enumerate(values)}
        steps = {pair: n for pair, n in self.pairs.items() if pair[0] != pair[1]}
        wide = sum(n for pair, n in steps.items() if rank[pair[1]] - rank[pair[0]] > 1)
        return wide / max(sum(steps.values()), 1) / (1 - 2 / len(values))


def _one_is(pair: tuple[float, float], value: float) -> bool:
    return pair[0] != pair[1] and value in pair


def _has_irregular_gaps(values: Sequence[float]) -> bool:
    """Tell if values are neither evenly spaced nor nearly all of a sequence."""
    gaps = [int(high - low) for low, high in pairwise(values)]
    if len(gaps) < 2 or max(gaps) <= 1.5 * min(gaps):
        return False
    return len(values) < 2 / 3 * (sum(gaps) // math.gcd(*gaps) + 1)


def _sample(info: RasterInfo, window: Window, band: int) -> _Sample:
    """Read windows of a band, until it proves to have many values; none of impossible blocks.

    Raises:
        PictureError: If the file is damaged.
    """
    dtype = info.bands[band - 1].dtype
    only = BandLayout(bands=(band,), groups=((0,),), interpretations=("gray",), dtype=dtype)
    sample = _Sample()
    if info.block_height * info.block_width > _LARGEST_BLOCK:
        return sample
    decoder = RasterDecoder(info, only)
    try:
        for place in _windows(window):
            piece = decoder.interpret(*decoder.load(place))
            values = piece.pixels[:, :, 0]
            valid = np.ones_like(values, np.bool_) if piece.valid is None else piece.valid[:, :, 0]
            if not _count(sample, values, valid):
                break
    finally:
        decoder.close()
    return sample


def _count(sample: _Sample, values: Array, valid: Array) -> bool:
    """Add a window to a sample; return False once there are too many values."""
    there = values[valid]
    if there.dtype.kind == "f" and not bool((there == np.floor(there)).all()):
        sample.is_whole = False
        return False
    found, counts = np.unique(there, return_counts=True)
    for value, count in zip(found.tolist(), counts.tolist(), strict=True):
        sample.counts[value] += count
    few = len(sample.counts) <= _MOST
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        both = valid[a] & valid[b]
        one, other = values[a][both], values[b][both]
        sample.equal += int((one == other).sum())
        sample.neighbours += one.size
        if few:
            ranks = np.searchsorted(found, np.minimum(one, other)) * len(found)
            ranks += np.searchsorted(found, np.maximum(one, other))
            for code, count in enumerate(np.bincount(ranks).tolist()):
                if count:
                    low, high = divmod(code, len(found))
                    sample.pairs[found[low].item(), found[high].item()] += count
    return few


def _windows(window: Window) -> Iterator[Window]:
    """Yield windows of all pixels, spread evenly, which cover all of a small raster."""
    height, width = min(window.height, _SIDE), min(window.width, _SIDE)
    for top in _starts(window.height, height):
        for left in _starts(window.width, width):
            yield Window(top=window.top + top, left=window.left + left, height=height, width=width)


def _starts(length: int, side: int) -> list[int]:
    count = min(-(-length // side), _ALONG)
    return [int(start) for start in np.linspace(0, length - side, count)]
