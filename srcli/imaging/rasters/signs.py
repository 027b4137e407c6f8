"""Signs by which a band is told to hold classes, codes, a picture ...

``signs.toml`` is the table of ``docs/reference/signs.md``. To add a sign, write a row there and in
that table, the function that looks for it, if none does, and a test. Of the signs of one
evidence the first that a band has decides on it, and what the file says is asked before
what values look like.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

from srcli.files import shipped_text
from srcli.imaging.rasters.headers import numbers_in
from srcli.imaging.rasters.heights import are_packed_heights
from srcli.imaging.rasters.info import BandInfo, RasterInfo
from srcli.imaging.rasters.look import BandWindow, Look
from srcli.imaging.rasters.measures import (
    Appearance,
    fill_values_of,
    find_turn,
    is_data,
    measure_appearance,
    wraps_around,
)
from srcli.imaging.rasters.special_codes import (
    codes_at_top,
    codes_beyond_gap,
    codes_of_flags,
    has_same_units,
    range_beside,
    values_outside,
)

Meaning = Literal[
    "no data", "data", "codes", "angles", "classes", "heights", "elevation", "picture"
]
"""What a band holds: no data, codes, angles or classes, which are repeated; data where
alpha was promised, heights in bytes, elevation in whole numbers, which is interpolated; or
a picture, which goes through the network."""
Evidence = Literal["fills", "alpha", "limits", "header", "values", "colours", "bytes"]
"""What shows a sign: values that are known for no data; those of a band called alpha;
where measurements end and codes begin; what the file says of any band; the values of a
band that goes through the network alone; those of three bands that go together, as
colours or as bytes of one number."""

_TABLE = tomllib.loads(shipped_text("signs.toml", "srcli.imaging.rasters"))
TREATMENTS: dict[Meaning, str] = _TABLE["treatments"]
"""What is done with bands by their meaning, in words for the user."""
_WORDS = {kind: frozenset(text.split()) for kind, text in _TABLE["words"].items()}
_DIRECTIONS = frozenset(2.0**power for power in range(8))
"""Codes of the eight directions of flow (D8)."""
_NO_DIRECTION = frozenset({-128.0, -1.0, 0.0, 247.0, 255.0})
"""Beside them: sinks, outlets, ocean."""
_MOST_DIRECTIONS = len(_DIRECTIONS) + len(_NO_DIRECTION)
_MOST_CODES = 12
"""Different values of one band on a map up to which they are codes."""
_FLAG_TAGS = frozenset({"flag_values", "flag_masks", "flag_meanings"})
"""Tags of the CF conventions."""
_CATEGORY = re.compile(r"<Category>[^<]|<Usage>2</Usage>")  # 2: a column of names
_TEXTS = re.compile(r"<Type>2</Type>")
"""A column of text in a table of values ..."""
_OF_RANGES = re.compile(r'"athematic"|<Usage>[34]</Usage>')
"""... that is of ranges of measurements, with ends of their own."""

_PICTURES = frozenset({"PNG", "GIF", "BMP"})
"""Formats whose palettes save room, unless georeferenced."""


@dataclass(frozen=True)
class Band:
    """A band as signs see it: what the file says of it, and its values."""

    look: Look
    number: int
    is_only: bool
    """It is the only band that is enlarged, besides alpha: the file's name is its own."""

    @property
    def info(self) -> RasterInfo:
        """Header of the file that the band is of."""
        return self.look.info

    @property
    def header(self) -> BandInfo:
        """Header of the band."""
        return self.info.band(self.number)

    @property
    def is_wide(self) -> bool:
        """Its values have more than 8 bits."""
        return np.dtype(self.header.dtype).itemsize > 1

    @property
    def is_of_picture(self) -> bool:
        """The file is a picture without a place on the map, of a format for pictures."""
        is_placed = any(self.info.georeference.values())
        return self.info.driver in _PICTURES and not is_placed

    @cached_property
    def tags(self) -> dict[str, str]:
        """Tags of the band by their names in lower case, those of all namespaces."""
        tags = {}
        for items in self.header.tags.values():
            for key, text in items.items():
                tags[key.lower()] = text
        return tags

    @cached_property
    def names(self) -> list[str]:
        """Names of the band in the file: descriptions, with elements of XML, and tags of names."""
        names = [self.header.vrt_elements.get("Description", "")]
        for key, text in self.tags.items():
            if key.endswith("name") or key == "description":
                names.append(text)
        return names

    @cached_property
    def appearance(self) -> Appearance:
        """Look of its values; of huge blocks, which are not decoded, nothing is known."""
        if self.look.has_huge_blocks:
            return Appearance()
        return measure_appearance(self.look.windows(self.number, side=256, along=8))

    @property
    def unit(self) -> str:
        """Unit of the values by the file, in lower case; empty without one."""
        text = re.sub("<[^>]*>", "", self.header.vrt_elements.get("UnitType", ""))
        return text.strip().lower() or self.tags.get("units", "").lower()

    @property
    def scale(self) -> float:
        """Factor of the file by which values become those of the unit."""
        text = re.sub("<[^>]*>", "", self.header.vrt_elements.get("Scale", ""))
        try:
            return float(text)
        except ValueError:
            return 1.0

    @cached_property
    def turn(self) -> float | None:
        """Full turn of the angles that its values may be; see ``find_turn``."""
        if self.look.has_huge_blocks:
            return None
        return find_turn(*self.windows, self.scale)

    @property
    def wraps_around(self) -> bool:
        """Its values use a full turn, and neighbours meet over the ends of it."""
        turn = self.turn
        return turn is not None and wraps_around(*self.windows, turn, self.scale)

    @cached_property
    def windows(self) -> BandWindow:
        """Its pixels in all windows (n, h, w) that were looked at, not to be changed."""
        return self.look.all_pixels(self.number)

    @property
    def product_nodata(self) -> list[float]:
        """Value without data by the rules of the product that the file is of: 0 of Sentinel-2."""
        is_count = self.header.dtype.startswith("uint") and self.header.nodata is None
        in_product = self.info.driver == "SENTINEL2"
        name = self.tags.get("bandname", "") if in_product else self.info.path.stem
        is_band = re.search(
            _TABLE["sentinel_2"]["band" if in_product else "file"], name
        )
        return [0.0] if is_count and is_band else []

    @cached_property
    def fill_values(self) -> list[float]:
        """Values that stand for no data though the file does not say so."""
        found: list[float] = []
        if self.is_wide and not self.look.has_huge_blocks:
            found = fill_values_of(*self.windows)
        return [*self.product_nodata, *found]

    @cached_property
    def stated_range(self) -> tuple[float, float] | None:
        """Range of measurements that its tags state, if that is of the same units."""
        limits = self.header.limits
        if limits is None or self.look.has_huge_blocks:
            return None
        return limits if has_same_units(*self.windows, limits) else None

    @cached_property
    def flag_codes(self) -> tuple[float, ...]:
        """Codes among measurements that its flags name; none where they name classes."""
        flags = numbers_in(self.tags.get("flag_values", ""))
        if not flags or self.look.has_huge_blocks:
            return ()
        return codes_of_flags(*self.windows, flags, self.stated_range)

    @property
    def measured(self) -> tuple[float, float] | None:
        """Range of measurements by its tags: the stated one, or what codes leave."""
        if self.stated_range is None and self.flag_codes:
            return range_beside(*self.windows, self.flag_codes)
        return self.stated_range

    @cached_property
    def top_codes(self) -> tuple[float, ...]:
        """Codes among measurements, at the top of bytes; see ``codes_at_top``."""
        if self.look.has_huge_blocks:
            return ()
        return codes_at_top(*self.windows)

    @cached_property
    def gap_codes(self) -> tuple[float, ...]:
        """Codes among measurements, beyond a gap; see ``codes_beyond_gap``."""
        if self.look.has_huge_blocks:
            return ()
        return codes_beyond_gap(*self.windows)

    @property
    def special_codes(self) -> tuple[float, ...]:
        """Codes among measurements of which the file says nothing."""
        return self.gap_codes or self.top_codes


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A sign of what a band holds: a row of the table in ``docs/reference/signs.md``."""

    row: str
    """The sign, as the table names it."""
    then: str
    """What is done, as the table says it."""
    meaning: Meaning
    evidence: Evidence
    is_sure: bool = True
    """The file says so; else the user is warned, as values alone may mislead."""
    find: Callable[[Band], str | int]
    """Returns what shows the sign: a text, a number or True; nothing without it."""
    reason: str
    """Words that follow "band 1", with what shows the sign."""


def _words_of(name: str) -> list[str]:
    """Return the words of a name, those of ``BurnDate`` together, and pairs as one word."""
    words: list[str] = re.findall(r"[a-z0-9]+", name.lower())
    return [*words, *map("".join, pairwise(words))]  # "land_cover" is a pair


def _find_word(names: Iterable[str], kinds: str, unless: str) -> str:
    """Return the first word in names that is of some kinds of words; empty without one.

    Names with a word of the kind ``unless`` are left out.
    """
    searched = frozenset[str]().union(*[_WORDS[kind] for kind in kinds.split()])
    for name in names:
        words = _words_of(name)
        if not _WORDS[unless].isdisjoint(words):
            continue
        for word in words:
            if word in searched or re.sub(r"\d+$", "#", word) in searched:
                return word
    return ""


def _names_of_file(band: Band) -> list[str]:
    """Return the name of the file; none of several bands, as it may be about one of them."""
    return [band.info.path.stem] if band.is_only else []


def _word_for_angles(band: Band, names: Iterable[str]) -> str:
    word = _find_word(names, "angles", "no_angles")
    return word if word and band.turn is not None else ""


def _is_called_as_angles(band: Band) -> str:
    return _word_for_angles(band, band.names)


def _is_in_file_called_as_angles(band: Band) -> str:
    # 8 bits hold no 360 degrees; "site_phase_2" and "heading_north" are photographs, too
    return _word_for_angles(band, _names_of_file(band)) if band.is_wide else ""


def _wraps_around(band: Band) -> bool:
    is_float = band.header.dtype.startswith("float")
    return (is_float or band.unit in _TABLE["units"]["angles"]) and band.wraps_around


def _has_one_bit(band: Band) -> bool:
    return band.header.bits == 1 and not band.is_of_picture


def _has_palette(band: Band) -> bool:
    return band.header.interpretation == "palette" and not band.is_of_picture


def _has_flag_tags(band: Band) -> bool:
    is_thematic = band.tags.get("layer_type", "").lower() == "thematic"
    has_flags = not _FLAG_TAGS.isdisjoint(band.tags)
    return is_thematic or (has_flags and not band.flag_codes)


def _has_category_names(band: Band) -> bool:
    legend = "".join(band.header.vrt_elements.values())
    has_texts = _TEXTS.search(legend) and not _OF_RANGES.search(legend)
    return bool(has_texts or _CATEGORY.search(legend))


def _is_called_so(band: Band) -> str:
    return _find_word(band.names, "classes codes numbers", "quantities")


def _is_in_file_of_masks(band: Band) -> str:
    """Ask files of several masks, of which one may be confidence."""
    if band.is_only or _find_word(band.names, "quantities", "masks"):
        return ""
    return _find_word([band.info.path.stem], "masks", "quantities")


def _is_in_file_called_so(band: Band) -> str:
    values = band.appearance
    word = _word_of_file(band)
    is_open = values.few or values.are_identifiers or values.is_mixed
    # sheets of a grid are called D8, too
    if word == "d8" and values.few > _MOST_DIRECTIONS:
        return ""
    return word if is_open else ""


def _word_of_file(band: Band) -> str:
    """Return the word for classes in the name of a file, if its values are whole numbers."""
    if not band.appearance.is_whole:
        return ""
    return _find_word(_names_of_file(band), "classes codes numbers", "quantities")


def _is_in_file_of_codes(band: Band) -> str:
    word = _word_of_file(band)
    kind = _WORDS["codes"]
    if band.is_wide:
        kind |= _WORDS["numbers"]
    return word if word in kind else ""


def _is_elevation(band: Band) -> str:
    """Ask the unit and the names; 8 bits may be a hillshade, and more values are judged."""
    values = band.appearance
    if not (band.is_wide and values.is_whole and values.few):
        return ""
    if band.unit in _TABLE["units"]["lengths"]:
        return f'its unit is "{band.unit}"'
    names = [*band.names]
    for name in _names_of_file(band):
        # a folder counts by its whole name, unless the file's says something else
        folder = band.info.path.absolute().parent.name.lower()
        prefix = f"{folder} " if folder in _WORDS["elevations"] else ""
        names.append(prefix + name)
    word = _find_word(names, "elevations", "no_angles")
    return f'called "{word}"' if word else ""


def _has_nodata_of_elevation(band: Band) -> str:
    """Ask values one step from each other, as those of codes are not, and no data below 0."""
    values = band.appearance.values
    header = band.header
    is_signed = header.dtype.startswith("int") and header.dtype != "int8"
    if not (is_signed and values and band.is_only and header.nodata is not None):
        return ""
    if header.nodata >= 0 or len(values) < max(values) - min(values):
        return ""
    return f"{header.nodata:g}"


def _has_values_of_codes(band: Band) -> int:
    """Ask values at uneven steps, as those of terrain are even; grays of 8 bits may be few."""
    is_placed = band.info.georeference["transform"] is not None
    if not band.is_wide:
        return 0
    values = sorted(band.appearance.values)
    if not (band.is_only and is_placed and 2 < len(values) <= _MOST_CODES):
        return 0
    steps = np.diff(values)
    return band.appearance.few if steps.max() > 2 * steps.min() else 0


def _has_powers_of_two(band: Band) -> bool:
    directions = band.appearance.values - _NO_DIRECTION
    return len(directions) >= 5 and directions <= _DIRECTIONS


def _has_directions(band: Band) -> bool:
    return band.appearance.ends_meet


def _has_one_value(band: Band) -> str:
    """Ask for one value beside no data; a zero in samples may be dry land beside rain."""
    if band.look.has_huge_blocks:
        return ""
    pixels, valid = band.windows
    values = pixels[valid]
    if valid.all() or not values.size or values.min() < values.max():
        return ""
    return f"{values[0]:g}" if values[0] or band.look.is_whole else ""


def _has_values_in_any_order(band: Band) -> int:
    return band.appearance.few if band.appearance.is_unordered else 0


def _has_codes_with_gaps(band: Band) -> int:
    return band.appearance.few if band.appearance.have_gaps else 0


def _has_numbers_of_things(band: Band) -> bool:
    return band.appearance.are_identifiers


def _has_few_values(band: Band) -> int:
    return band.appearance.few


def _are_bytes_of_heights(band: Band) -> bool:
    """Look at a band that is red, and at the two behind it."""
    if band.look.has_huge_blocks or band.header.dtype != "uint8":
        return False
    bands = [replace(band, number=band.number + step).windows for step in range(3)]
    pixels = np.moveaxis(np.stack([window.pixels for window in bands]), 0, -1)
    valid = bands[0].valid & bands[1].valid & bands[2].valid
    for number, header in enumerate(band.info.bands, 1):
        if header.interpretation == "alpha":
            opacity = replace(band, number=number).windows.pixels
            valid &= opacity > 0
    return are_packed_heights(pixels, valid)


def _has_nodata_of_product(band: Band) -> bool:
    return bool(band.product_nodata)


def _has_fills(band: Band) -> str:
    is_measured = band.header.interpretation not in ("alpha", "palette")
    if not is_measured:
        return ""
    texts = ", ".join(f"{value:.9g}" for value in band.fill_values)
    if not texts:
        return ""
    if band.header.nodata in band.fill_values:
        return f"{texts}, as the file declares it beside a mask"
    return f"{texts}, which the file does not say"


def _is_data_in_alpha(band: Band) -> bool:
    # in formats of pictures alpha is transparency by definition
    is_picture = band.info.driver in ("PNG", "WEBP")
    return not is_picture and is_data(band.look.opacity(band.number), band.header.bits)


def _has_values_outside_stated_range(band: Band) -> str:
    limits = band.stated_range
    if limits is None or not values_outside(*band.windows, limits).size:
        return ""
    return f"{limits[0]:g} to {limits[1]:g}"


def _listed(codes: Iterable[float]) -> str:
    return ", ".join(f"{code:g}" for code in codes)


def _has_flags_beside_measurements(band: Band) -> str:
    return _listed(band.flag_codes)


def _has_codes_at_top(band: Band) -> str:
    return _listed(band.top_codes)


def _has_codes_beyond_gap(band: Band) -> str:
    return _listed(band.gap_codes)


def _read_signs() -> tuple[Sign, ...]:
    signs = []
    for row in _TABLE["signs"]:
        find = globals()[f"_{row['find']}"]
        signs.append(Sign(**{**row, "find": find}))
    return tuple(signs)


SIGNS = _read_signs()
"""All signs of what one band holds; of those of one evidence the first that a band has."""


@dataclass(frozen=True)
class Finding:
    """A sign that a band has, and the reason in words that follow "band 1"."""

    sign: Sign
    reason: str


def find_sign(
    band: Band, evidence: Evidence, *, is_stated: bool = False
) -> Finding | None:
    """Return the first sign of a band that this evidence shows; None without any.

    Only what the file says counts if it must be one that ``is_stated``.
    """
    for sign in SIGNS:
        if sign.evidence == evidence and (sign.is_sure or not is_stated):
            shown = sign.find(band)
            if shown:
                return Finding(sign, sign.reason.format(shown))
    return None
