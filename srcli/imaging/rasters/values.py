"""Decide from a sample of a raster's pixels: bands of classes, black and white, its condition.

Classes, flags and masks must not be interpolated; all other values get a range for the
network.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from srcli.errors import PictureError
from srcli.imaging.colour import are_gray
from srcli.imaging.condition import Condition, judge
from srcli.imaging.rasters.info import COLOURS
from srcli.imaging.rasters.plateaus import are_numbers, have_gaps
from srcli.imaging.rasters.reading import DecodedWindow, RasterSource, spread_windows
from srcli.imaging.rasters.selection import BandLayout, choose_layout
from srcli.ports.image import Values, Window, are_units

if TYPE_CHECKING:
    from srcli.imaging.rasters.info import RasterInfo

    Array = NDArray[Any]

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
_FLAG_TAGS = frozenset(
    {"flag_values", "flag_masks", "flag_meanings"}
)  # of the CF conventions
_CATEGORY = re.compile(r"<Category>[^<]|<Usage>2</Usage>")  # 2: a column of names
_PICTURES = frozenset(
    {"PNG", "GIF", "BMP"}
)  # whose palettes save room, unless georeferenced
_MOST = 64
"""Most different values of a band that is taken for classes by its values."""
_LEAST_WINDOWS = 4
"""Windows of a band of many values that are looked at."""
_MIXED = 0.6
"""Distance of neighbours over that of any two pixels, from which values have no
order."""
_NUMBERED_ANYHOW = 0.3
"""The same from which plateaus are no coarse measurement."""
_DENSE = 0.5
"""Share of the whole numbers in between that are there."""
MOST_SAMPLES = 2**22
"""Values sampled for the range, all bands together."""


def choose_bands(
    info: RasterInfo,
    window: Window,
    mode: ClassMode,
    *,
    bands: Sequence[int] | None = None,
    rgb: Sequence[int] | None = None,
) -> BandLayout:
    """Choose the bands of the output by ``choose_layout``, after finding those of classes.

    Sure signs are those of ``_sign``, and a word such as SCL, QA_PIXEL or landcover in
    the name of a file of one band whose pixels do not contradict it. Without one a band
    of whole numbers that goes through the network alone is taken for classes if its few
    different values do not follow their order, or if they are codes or numbers of
    things (see ``plateaus``); three that are taken for colours, if none of them does.
    In a picture, however dark, coarse or empty, most steps from a pixel to its
    neighbour lead to the next value there is, while classes lie beside each other in
    any order. Unless no order is left at all, either the pixels must lie in patches too
    (noise does not), or the values have irregular gaps (shades do not). Two values are
    a mask if they lie in patches or both are common, but not two shades side by side.
    What follows the order of values is a picture: little is lost by it, as between
    classes 1 and 2 interpolation finds no third value.

    The modes ``yes`` and ``no`` decide for all bands.
    """
    known = [n for n in range(1, len(info.bands) + 1) if bands is None or n in bands]
    kept = [band for band in known if info.bands[band - 1].interpretation != "alpha"]
    if mode != "auto":
        return choose_layout(
            info, bands=bands, rgb=rgb, classes=kept if mode == "yes" else ()
        )
    sure = _sure_signs(info, window, [band for band in kept if band not in (rgb or ())])
    found = _FoundClasses(signs=sure)
    layout = choose_layout(info, bands=bands, rgb=rgb, classes=sure)
    word = _class_word(info.path.stem) if len(kept) == 1 else ""
    # a palette stands for colours
    for group in layout.groups if layout.palette is None else ():
        members = [layout.bands[layout.smooth[place]] for place in group]
        looks = {band: _look(info, window, band) for band in members if band in kept}
        if len(group) == 1:
            for band, look in looks.items():
                found.add(band, look, word)
        elif rgb is None and _are_class_bands(info, looks):
            for band, look in looks.items():
                found.guesses[band] = look.few_values
    layout = choose_layout(
        info, bands=bands, rgb=rgb, classes=(*found.signs, *found.guesses)
    )
    repeated = (
        "taken for classes, enlarged by nearest neighbour; --classes no interpolates"
    )
    remarks = _tell(found.signs, repeated)
    remarks += _tell(found.pictures, "taken for a picture; --classes yes if not")
    # values alone may mislead
    guess = _tell(found.guesses, f"{repeated}, --classes yes silences this")
    return replace(layout, notes=(*layout.notes, *guess), remarks=tuple(remarks))


@dataclass
class _FoundClasses:
    """Bands by number, each with what it is told by."""

    signs: dict[int, str]
    """Classes by what the file says."""
    guesses: dict[int, str] = field(default_factory=dict)
    """Classes by their values alone."""
    pictures: dict[int, str] = field(default_factory=dict)
    """Pictures that look a little like classes."""

    def add(self, band: int, look: _Look, word: str) -> None:
        """Decide on a band that goes alone; a word in the file's name counts if values agree."""
        is_named = word and look.is_whole
        if is_named and (look.few or look.are_numbers or look.is_mixed):
            self.signs[band] = f'("{word}" in the file\'s name)'
        elif look.is_unordered:
            self.guesses[band] = look.few_values
        elif look.are_numbers:
            self.guesses[band] = "looks like numbers of things"
        elif look.few or is_named:
            self.pictures[band] = (
                look.few_values if look.few else f'("{word}" in its name)'
            )


def _sure_signs(
    info: RasterInfo, window: Window, bands: Sequence[int]
) -> dict[int, str]:
    """Return what the file says of bands of classes, by number; floats must be whole numbers."""
    signs: dict[int, str] = {}
    for band in bands:
        sign = _sign(info, band)
        is_float = info.bands[band - 1].dtype.startswith("float")
        # others are probabilities
        if sign and (not is_float or _look(info, window, band).is_whole):
            signs[band] = sign
    return signs


def _are_class_bands(info: RasterInfo, looks: Mapping[int, _Look]) -> bool:
    """Tell if three bands taken for red, green and blue hold classes, as those of three years do.

    None may follow the order of its values. Where the file itself calls them colours
    they must share one set of values, without white, and differ: a drawing has other
    values in each band, or the same gray in all.
    """
    if not all(look.is_unordered for look in looks.values()):
        return False
    if not any(info.bands[band - 1].interpretation in COLOURS for band in looks):
        return True
    every = frozenset[float]().union(*(look.values for look in looks.values()))
    shared = frozenset[float](every).intersection(
        *(look.values for look in looks.values())
    )
    white = (
        255 if all(info.bands[band - 1].dtype == "uint8" for band in looks) else 65535
    )
    return len(shared) > 4 and len(shared) >= 0.75 * len(every) and white not in every


def _sign(info: RasterInfo, number: int) -> str:
    """Return what the file says of a band that makes it one of classes; empty without."""
    band = info.bands[number - 1]
    if band.interpretation in COLOURS:
        return ""
    is_picture = info.driver in _PICTURES and not any(info.place.values())
    if not is_picture and (band.bits == 1 or band.interpretation == "palette"):
        return "(one bit a pixel)" if band.bits == 1 else "(a palette)"
    tags = {
        key.lower(): text for group in band.tags.values() for key, text in group.items()
    }
    if tags.get("layer_type", "").lower() == "thematic" or _FLAG_TAGS & set(tags):
        return "(marked so in its tags)"
    if _CATEGORY.search("".join(band.about.values())):
        return "(names of categories)"
    names = [
        text
        for key, text in tags.items()
        if key.endswith("name") or key == "description"
    ]
    words = map(_class_word, (band.about.get("Description", ""), *names))
    return next((f'(called "{word}")' for word in words if word), "")


def _class_word(name: str) -> str:
    """Return the word of a name that stands for classes; empty if there is none."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    if _QUANTITIES & set(words) or ("st", "qa") in pairwise(words):
        return ""
    pairs = map("".join, pairwise(words))  # "land_cover"
    return next(
        (one for one in (*words, *pairs) if one in _WORDS or _NUMBERED.fullmatch(one)),
        "",
    )


def _tell(signs: Mapping[int, str], what: str) -> list[str]:
    """Say what is done with bands, by number, and the sign for it; nothing without any."""
    text = "; ".join(f"band {band} {sign}" for band, sign in sorted(signs.items()))
    return [f"{text}: {what}"] if text else []


class _Look(NamedTuple):
    """What some windows of a band look like."""

    is_whole: bool = True
    """All values are whole numbers."""
    equal: float = 0
    """Share of neighbours that are equal."""
    few: int = 0
    """Different values, if they are few and each is there often enough, else 0."""
    values: frozenset[float] = frozenset()
    """These values."""
    is_unordered: bool = False
    """These look like classes without a name; see ``choose_bands``."""
    are_numbers: bool = False
    """Many values look like numbers of things, such as parcels."""
    is_mixed: bool = False
    """Many values lie beside each other in any order, as bit flags do and no picture
    does."""

    @property
    def few_values(self) -> str:
        """What is told of a band of few values."""
        return f"holds only {self.few} different values"


def _look(info: RasterInfo, window: Window, band: int) -> _Look:
    """Look at windows of a band, until it proves to have many values; not at impossible blocks."""
    only = choose_layout(info, bands=(band,), classes=(band,))
    found: Array = np.empty(0, only.dtype)
    pieces: list[DecodedWindow] = []
    with RasterSource(info, only, window) as source:
        if math.prod(source.dataset.block_shapes[0]) > 2**28:  # as few bytes may claim
            return _Look()
        for place in spread_windows(source, side=256, along=8):
            pieces.append(piece := source.decode(place))
            there = piece.pixels[piece.valid]
            if there.dtype.kind == "f" and not bool((there == np.floor(there)).all()):
                return _Look(is_whole=False)
            found = np.union1d(found, there)
            if len(found) > _MOST and len(pieces) >= _LEAST_WINDOWS:
                break
    pixels = np.stack([piece.pixels[:, :, 0] for piece in pieces])
    known = np.stack([piece.valid[:, :, 0] for piece in pieces])
    sides = (np.s_[:, :, :-1], np.s_[:, :, 1:]), (np.s_[:, :-1], np.s_[:, 1:])
    pairs = [
        (pixels[a][known[a] & known[b]], pixels[b][known[a] & known[b]])
        for a, b in sides
    ]
    steps = np.concatenate(pairs, axis=1)
    equal = float((steps[0] == steps[1]).mean()) if steps.size else 0.0
    found, counts = np.unique(pixels[known], return_counts=True)
    few = len(found)
    if few > _MOST:
        disorder = _disorder(np.searchsorted(found, steps), counts)
        # in rows of numbers neighbours are near each other, but hardly one is left out
        is_dense = few >= _DENSE * (float(found[-1]) - float(found[0]))
        are_any = disorder >= _NUMBERED_ANYHOW or is_dense
        return _Look(
            equal=equal,
            are_numbers=are_any and are_numbers(pixels, known),
            is_mixed=disorder >= _MIXED,
        )
    if few < 2 or counts.sum() < 16 * few:  # of fewer pixels nothing can be told
        return _Look(equal=equal)
    low, high = np.sort(np.searchsorted(found, steps), axis=0)
    beside = np.bincount(low * few + high, minlength=few * few).reshape(few, few)
    is_unordered = _is_unordered(found.tolist(), counts, beside)
    if (
        not is_unordered and few > 4 and pixels.dtype.itemsize > 1
    ):  # shades of 8 bits have gaps
        is_unordered = equal >= 0.5 and have_gaps(pixels, known, found.tolist())
    return _Look(
        equal=equal,
        few=few,
        values=frozenset(found.tolist()),
        is_unordered=is_unordered,
    )


def _disorder(places: Array, counts: Array) -> float:
    """Return how far neighbours that differ are apart, in terms of any two pixels.

    ``places`` (2, n) are those of neighbours in the order of values, ``counts`` the
    values' pixels.
    """
    steps = np.abs(places[0] - places[1])
    shares = counts / counts.sum()
    below = np.cumsum(shares)
    usual = float(2 * (below * (1 - below)).sum())
    changes = steps[steps > 0]
    return float(changes.mean()) / usual if changes.size else 0.0


def _is_unordered(values: list[float], counts: Array, pairs: Array) -> bool:
    """Tell if few values lie beside each other like classes; see ``choose_bands``.

    ``pairs`` (n, n) counts neighbours by the places of the lower and of the higher
    value.
    """
    # how much likelier than by chance a neighbour has the same value (Cohen's kappa)
    both = 2 * pairs.diagonal()
    touching = pairs.sum(axis=0) + pairs.sum(axis=1)
    chance = counts / counts.sum()
    alike = bool(((both / touching.clip(1) - chance) / (1 - chance)).mean() >= 0.35)
    common = [values[place] for place in np.flatnonzero(counts >= 0.005 * counts.sum())]
    if len(values) == 2:
        shades = (
            values[0] > 1 and values[1] - values[0] == 1
        )  # 254 and 255: an empty page
        return not shades and (alike or len(common) == 2)
    # how many steps between neighbours pass over other values; 1 in a random order.
    # Photographs and scanned text cut to 3 to 64 levels (to 5 and more if they got a
    # gamma too) stay below 0.6 or are not alike; segmented pictures with random numbers
    # are above and alike
    steps, wide = np.triu(pairs, 1).sum(), np.triu(pairs, 2).sum()
    disorder = float(wide / max(steps, 1) / (1 - 2 / len(values)))
    few, irregular = len(values) <= 16, False
    gaps = [int(high - low) for low, high in pairwise(common)]
    if (
        few and len(gaps) > 1 and max(gaps) > 1.5 * min(gaps)
    ):  # and not nearly a whole sequence
        irregular = len(common) < 2 / 3 * (sum(gaps) // math.gcd(*gaps) + 1)
    if alike and irregular and len(values) <= 4:  # which even a coarse picture has not
        return True
    return disorder >= 0.6 if alike or irregular else few and disorder >= 0.9


def choose_value_range(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    spec: Literal["auto", "dtype"] | tuple[float, float],
) -> tuple[Values, str]:
    """Choose the values that become 0 and 1 for the network, the same for all tiles and runs.

    ``auto`` takes 0 to 255 for uint8, 0 to 1 for floats in this range, otherwise the
    range of nearly all valid pixels: of red, green and blue together and of every other
    band alone, so that heights in metres do not swamp an index of -1 to 1. ``dtype`` is
    the full range of the dtype (0 to 1 for floats). A note for the user is empty if the
    range was not found from pixels.
    """
    dtype = np.dtype(layout.dtype)
    if dtype.kind != "f" and dtype.itemsize > 4:
        raise PictureError(
            f"{info.path}: {dtype} values are enlarged as classes only (--classes yes); convert "
            "them to integers of up to 32 bits, or to floats"
        )
    most = _highest_value(layout)
    ends = spec if isinstance(spec, tuple) else (0.0, 1.0)
    if dtype.kind != "f" and isinstance(spec, str):
        ends = float(np.iinfo(dtype).min), most or float(np.iinfo(dtype).max)
    if spec != "auto" or dtype == np.uint8:
        return Values(dtype=dtype, ranges=(ends,), most=most), ""
    samples = _sample_groups(info, layout, window)
    found = [_robust_range(group) if group.size else ends for group in samples]
    ranges: tuple[tuple[float, float], ...] = (found[0],)
    shown = _range_text(*found[0])
    if len(set(found)) > 1:
        places = dict(zip(layout.groups, found, strict=True))
        ranges = tuple(
            each for _, each in sorted((p, places[g]) for g in places for p in g)
        )
        numbers = [str(layout.bands[place]) for place in layout.smooth]
        texts = [
            f"{','.join(numbers[p] for p in g)}: {_range_text(*places[g])}"
            for g in places
        ]
        more = [f"{len(texts) - 4} more"] if len(texts) > 4 else []
        shown = f"of bands {'; '.join(texts[:4] + more)}"
    values = Values(dtype=dtype, ranges=ranges, most=most)
    why = (
        "found from the pixels"
        if any(map(len, samples))
        else "no valid pixel was found"
    )
    return values, f"values {shown} are black to white ({why}); --range changes that"


def _highest_value(layout: BandLayout) -> float | None:
    """Return what the bits of a value hold (NBITS), where these are fewer than the dtype's."""
    bits = {layout.outputs[place].bits for place in layout.smooth}
    fewest = bits.pop() if len(bits) == 1 else None
    if fewest is None or not layout.dtype.startswith("uint"):
        return None
    return float(2**fewest - 1)


def judge_raster(
    info: RasterInfo, layout: BandLayout, window: Window
) -> Condition | Literal[""]:
    """Say in one word what most of an aerial picture has gone through: RGB of 8 bits, no palette.

    Of nine parts all over it, those with holes and drawings do not count. It is empty
    for all other
    rasters: their values are measurements, in which no network may mend anything.
    """
    rgb = [
        [layout.smooth[place] for place in group]
        for group in layout.groups
        if len(group) == 3
    ]
    if not rgb or layout.dtype != "uint8" or layout.palette is not None:
        return ""
    found: Counter[Condition] = Counter()
    with RasterSource(info, layout, window) as source:
        for place in spread_windows(source, side=512, along=3):
            piece = source.decode(place)
            if piece.valid.all():
                found[judge(piece.pixels[:, :, rgb[0]])] += 1
    del found["drawing"]
    if 2 * found["clean"] >= found.total():
        return "clean"
    del found["clean"]
    return found.most_common(1)[0][0]


def is_gray_raster(info: RasterInfo, layout: BandLayout, window: Window) -> bool:
    """Return True if red, green and blue are equal wherever there is data.

    A raster in colours is mostly left after the first sample; one that is gray is read
    completely.
    """
    rgb = [
        [layout.smooth[place] for place in group]
        for group in layout.groups
        if len(group) == 3
    ]
    if not rgb:
        return False
    height = 256
    with RasterSource(info, layout, window, height) as source:
        strips = (
            Window(
                top=top,
                left=0,
                height=min(height, source.height - top),
                width=source.width,
            )
            for top in range(0, source.height, height)
        )
        for place in chain(spread_windows(source, side=64, along=3), strips):
            piece = source.decode(place)
            pixels, valid = piece.pixels[:, :, rgb[0]], piece.valid[:, :, rgb[0]]
            if not are_gray(valid) or not are_gray(np.where(valid, pixels, 0)):
                return False
    return True


def _sample_groups(info: RasterInfo, layout: BandLayout, window: Window) -> list[Array]:
    """Read samples of each group of bands.

    A small window is read completely; a large one from an overview, unless a mask
    (which may have no overviews) or fills mark its pixels; otherwise by smaller windows
    all over it.
    """
    groups: list[Array] = []
    bands = [[layout.smooth[place] for place in group] for group in layout.groups]
    with RasterSource(info, layout, window) as source:
        most = MOST_SAMPLES // source.channels
        # overviews may be averages of values and of fills that the file does not
        # declare
        is_mixed = source.masked or any(band.fills for band in info.bands)
        factors = (1, *(() if is_mixed else sorted(source.dataset.overviews(1))))
        sizes = (
            (max(source.height // f, 1), max(source.width // f, 1)) for f in factors
        )
        whole = next((size for size in sizes if math.prod(size) <= most), None)
        side = max(source.height, source.width) if whole else 128
        for along in (
            (1,) if whole else (16, 48)
        ):  # more where few pixels turn out to be valid
            places = [*spread_windows(source, side=side, along=along)]
            height, width = places[0].height, places[0].width
            kept = min(math.sqrt(most / len(places) / (height * width)), 1.0)
            shape = whole or (max(int(height * kept), 1), max(int(width * kept), 1))
            pieces = (source.decode(place, shape) for place in places)
            found = [
                [p.pixels[:, :, g][p.valid[:, :, g]] for g in bands] for p in pieces
            ]
            groups = [np.concatenate(samples) for samples in zip(*found, strict=True)]
            if min(map(len, groups)) >= 10_000 // source.channels:
                break
    return groups


def _robust_range(samples: Array) -> tuple[float, float]:
    """Range of nearly all samples, slightly widened; never empty, never beyond the samples.

    Values outside are kept, but the network does not work on them; the margin leaves
    most of the outliers to it, at little cost in contrast.
    """
    is_float = samples.dtype.kind == "f"
    # the same numbers as integers or as floats have the same range
    whole = not is_float or bool((samples == np.rint(samples)).all())
    if is_float and are_units(float(samples.min()), float(samples.max())):
        return 0.0, 1.0
    most = np.finfo(np.float64).max / 4  # which keeps differences finite
    samples = samples.astype(np.float64, copy=False).clip(-most, most)
    bottom, top = samples.min(), samples.max()
    low, high = np.percentile(samples, [0.1, 99.9])
    margin = 0.1 * (high - low)
    low, high = max(low - margin, bottom), min(high + margin, top)
    if not low < high:  # nearly all pixels are equal
        low, high = bottom, top
    if not low < high:  # all are
        # narrow, so that whatever the network adds to a constant picture vanishes
        return float(low), float(low + (max(abs(low), 1.0) * 1e-6 if is_float else 1.0))
    if whole:
        low, high = math.floor(low), math.ceil(high)
    return float(low), float(high)


def _range_text(low: float, high: float) -> str:
    digits = 6 if high - low > 1e-4 * max(abs(low), abs(high)) else 16
    return " to ".join(
        f"{one:.{16 if one == int(one) else digits}g}" for one in (low, high)
    )
