"""Signs by which a band is told to hold classes, codes, a picture ...

``signs.toml`` is the table of ``docs/reference/signs.md``. To add a sign, write a row there, the
property of ``Band`` that shows it, if none does, and a test. Of the signs of one
evidence the first that a band has decides on it, and what the file says is asked before
what values look like.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from typing import Literal

import numpy as np

from srcli.files import shipped_text
from srcli.imaging.pixels.arrays import Limits
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
UNITS: dict[str, list[str]] = _TABLE["units"]
"""Units in lower case, by what they measure."""
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
_OF_RANGES = re.compile(r'"athematic"|<Usage>[34]</Usage>')
"""In a table of values: it is one of ranges of measurements, with ends of their own."""
_CLASSES = "classes codes numbers"
"""Kinds of words for classes."""

_PICTURES = frozenset({"PNG", "GIF", "BMP"})
"""Formats whose palettes save room, unless georeferenced."""


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


@dataclass(frozen=True)
class Band:
    """A band as signs see it: what the file says of it, and its values."""

    look: Look
    number: int
    is_only: bool = False
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
        # GRIB: "Total precipitation [kg/(m^2)]"
        names.append(self.tags.get("grib_comment", "").partition("[")[0])
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
        tag = self.tags.get("units") or self.tags.get("grib_unit", "").strip("[]")
        return (text.strip() or tag).lower()

    @property
    def scale(self) -> float:
        """Factor of the file by which values become those of the unit."""
        return self.header.packing[0]

    @cached_property
    def turn(self) -> float | None:
        """Full turn of the angles that its values may be; see ``find_turn``."""
        return find_turn(*self.windows, self.scale)

    @property
    def wraps_around(self) -> bool:
        """It may hold angles, use a full turn, and its neighbours meet over the ends of that."""
        is_float = self.header.dtype.startswith("float")
        if self.turn is None or not (is_float or self.unit in UNITS["angles"]):
            return False
        return wraps_around(*self.windows, self.turn, self.scale)

    @cached_property
    def windows(self) -> BandWindow:
        """Its pixels in all windows (n, h, w), not to be changed; none of huge blocks."""
        if self.look.has_huge_blocks:
            nothing = np.empty((0, 1, 1), self.header.dtype)
            return BandWindow(nothing, nothing > 0)
        return self.look.all_pixels(self.number)

    @property
    def product_nodata(self) -> list[float]:
        """Value without data by the rules of the product that the file is of: 0 of Sentinel-2."""
        is_count = self.header.dtype.startswith("uint") and self.header.nodata is None
        in_product = self.info.driver == "SENTINEL2"
        path = self.info.path
        name = f"{path.absolute().parent.name}_{path.stem}"
        if in_product:
            name = self.tags.get("bandname", "")
        is_band = re.search(
            _TABLE["sentinel_2"]["band" if in_product else "file"], name
        )
        return [0.0] if is_count and is_band else []

    @cached_property
    def fill_values(self) -> list[float]:
        """Values that stand for no data though the file does not say so."""
        found = []
        if self.is_wide:
            is_index = self.called("indices further_indices", "no_amounts")
            found = fill_values_of(*self.windows, of_index=bool(is_index))
        return [*self.product_nodata, *found]

    @cached_property
    def stated_range(self) -> Limits | None:
        """Range of measurements that its tags state, if that is of the same units."""
        limits = self.header.limits
        if limits is None or self.look.has_huge_blocks:
            return None
        return limits if has_same_units(*self.windows, limits) else None

    @cached_property
    def flag_codes(self) -> tuple[float, ...]:
        """Codes among measurements that its flags name; none where they name classes."""
        flags = numbers_in(self.tags.get("flag_values", ""))
        return codes_of_flags(*self.windows, flags, self.stated_range)

    @property
    def measured(self) -> Limits | None:
        """Range of measurements: as its tags state it, or as codes leave it."""
        if self.stated_range is None and self.flag_codes:
            return range_beside(*self.windows, self.flag_codes)
        return self.stated_range or self.header.measured

    @cached_property
    def top_codes(self) -> tuple[float, ...]:
        """Codes among measurements, at the top of bytes; see ``codes_at_top``."""
        called = self.called("indices fractions amounts", "no_amounts")
        return codes_at_top(*self.windows, may_be_light=not called)

    @cached_property
    def gap_codes(self) -> tuple[float, ...]:
        """Codes among measurements, beyond a gap; see ``codes_beyond_gap``."""
        return codes_beyond_gap(*self.windows)

    # signs, as rows of signs.toml name them: what shows one, or nothing

    @property
    def names_of_file(self) -> list[str]:
        """Name of the file; none of several bands, as it may be about one of them."""
        return [self.info.path.stem] if self.is_only else []

    @property
    def word_for_angles(self) -> str:
        """Word for angles in its names, where its values lie in a turn."""
        return self._find_angles(self.names)

    @property
    def word_for_angles_of_file(self) -> str:
        """The same in the name of a file, of more than the 8 bits that photographs have."""
        return self._find_angles(self.names_of_file) if self.is_wide else ""

    def _find_angles(self, names: Iterable[str]) -> str:
        word = _find_word(names, "angles", "no_angles")
        return word if word and self.turn is not None else ""

    @property
    def has_one_bit(self) -> bool:
        """Its values are of one bit, and it is no picture."""
        return self.header.bits == 1 and not self.is_of_picture

    @property
    def has_palette(self) -> bool:
        """It has a palette, and is no picture."""
        return self.header.interpretation == "palette" and not self.is_of_picture

    @property
    def has_flag_tags(self) -> bool:
        """Its tags name classes."""
        is_thematic = self.tags.get("layer_type", "").lower() == "thematic"
        has_flags = not _FLAG_TAGS.isdisjoint(self.tags)
        return is_thematic or (has_flags and not self.flag_codes)

    @property
    def has_category_names(self) -> bool:
        """It has names of categories, or a table of values with texts."""
        legend = "".join(self.header.vrt_elements.values())
        has_texts = "<Type>2</Type>" in legend and not _OF_RANGES.search(legend)
        return has_texts or bool(_CATEGORY.search(legend))

    @property
    def word_for_classes(self) -> str:
        """Word for classes in its names."""
        return _find_word(self.names, _CLASSES, "quantities")

    @property
    def word_of_masks(self) -> str:
        """Word in the name of a file of several masks, of which one may be confidence."""
        if self.is_only or _find_word(self.names, "quantities", "masks"):
            return ""
        return _find_word([self.info.path.stem], "masks", "quantities")

    @property
    def word_of_file(self) -> str:
        """Word for classes in the name of a file, if its values are whole numbers."""
        if not self.appearance.is_whole:
            return ""
        return _find_word(self.names_of_file, _CLASSES, "quantities")

    @property
    def open_word_of_file(self) -> str:
        """The same where the values leave it open."""
        values = self.appearance
        # sheets of a grid are called D8, too
        if self.word_of_file == "d8" and values.few > _MOST_DIRECTIONS:
            return ""
        is_open = values.few or values.are_identifiers or values.is_mixed
        return self.word_of_file if is_open else ""

    @property
    def word_of_codes(self) -> str:
        """The same if it is one for codes that may be many and lie in their order."""
        kind = _WORDS["codes"]
        if self.is_wide:
            kind |= _WORDS["numbers"]
        return self.word_of_file if self.word_of_file in kind else ""

    @property
    def elevation(self) -> str:
        """Unit or name of elevation; 8 bits may be a hillshade, and more values are judged."""
        if not (self.is_wide and self.appearance.few):
            return ""
        if self.unit in UNITS["lengths"]:
            return f'its unit is "{self.unit}"'
        return self.elevation_by_name

    @property
    def few_counts(self) -> str:
        """Unit or name of counts, where whole numbers are few: as of people in each pixel."""
        return self.called("counts", "no_amounts") if self.appearance.few else ""

    @property
    def elevation_by_name(self) -> str:
        """Word for elevation in its names, of more than 8 bits; a folder is a name as well."""
        names = [*self.names]
        for name in self.names_of_file:
            # a folder counts by its whole name, unless the file's says something else
            folder = self.info.path.absolute().parent.name.lower()
            prefix = f"{folder} " if folder in _WORDS["elevations"] else ""
            names.append(prefix + name)
        word = _find_word(names, "elevations", "no_angles")
        return f'called "{word}"' if word and self.is_wide else ""

    def called(self, kinds: str, unless: str) -> str:
        """Return what calls it so: a word of some kinds as its unit, or in names of it."""
        for kind in kinds.split():
            if self.unit in _WORDS[kind]:
                return f'its unit is "{self.unit}"'
        word = _find_word([*self.names, *self.names_of_file], kinds, unless)
        return f'called "{word}"' if word else ""

    @property
    def nodata_of_elevation(self) -> str:
        """No data below 0, of values one step from each other, as those of codes are not."""
        values = self.appearance.values
        header = self.header
        is_signed = header.dtype.startswith("int") and header.dtype != "int8"
        if not (is_signed and values and self.is_only and header.nodata is not None):
            return ""
        if header.nodata >= 0 or len(values) < max(values) - min(values):
            return ""
        return f"{header.nodata:g}"

    @property
    def has_values_of_codes(self) -> bool:
        """Its steps are uneven, as those of terrain are not; grays of 8 bits may be few."""
        is_placed = self.info.georeference["transform"] is not None
        values = sorted(self.appearance.values)
        is_few = self.is_only and is_placed and 2 < len(values) <= _MOST_CODES
        if not (is_few and self.is_wide):
            return False
        steps = np.diff(values)
        return bool(steps.max() > 2 * steps.min())

    @property
    def has_powers_of_two(self) -> bool:
        """Its values are the codes of flow directions."""
        directions = self.appearance.values - _NO_DIRECTION
        return len(directions) >= 5 and directions <= _DIRECTIONS

    @property
    def only_value(self) -> str:
        """One value beside no data; a zero in samples may be dry land beside rain."""
        pixels, valid = self.windows
        values = pixels[valid]
        if valid.all() or not values.size or values.min() < values.max():
            return ""
        return f"{values[0]:g}" if values[0] or self.look.is_whole else ""

    @property
    def has_bytes_of_heights(self) -> bool:
        """It is red, and goes with the two bands behind it."""
        if self.header.dtype != "uint8":
            return False
        bands = [replace(self, number=self.number + step).windows for step in range(3)]
        pixels = np.moveaxis(np.stack([window.pixels for window in bands]), 0, -1)
        valid = bands[0].valid & bands[1].valid & bands[2].valid
        for number, header in enumerate(self.info.bands, 1):
            if header.interpretation == "alpha":
                opacity = replace(self, number=number).windows.pixels
                valid &= opacity > 0
        return are_packed_heights(pixels, valid)

    @property
    def fills(self) -> str:
        """Values that stand for no data, and what the file says of them."""
        if self.header.interpretation in ("alpha", "palette") or not self.fill_values:
            return ""
        texts = ", ".join(f"{value:.9g}" for value in self.fill_values)
        if self.header.nodata in self.fill_values:
            return f"{texts}, as the file declares it beside a mask"
        return f"{texts}, which the file does not say"

    @property
    def is_data_in_alpha(self) -> bool:
        """Its values are none of alpha, which in formats of pictures is transparency."""
        is_picture = self.info.driver in ("PNG", "WEBP")
        opacity = self.look.opacity(self.number)
        return not is_picture and is_data(opacity, self.header.bits)

    @property
    def passed_range(self) -> str:
        """Stated range beyond which values lie."""
        limits = self.stated_range
        if limits is None or not values_outside(*self.windows, limits).size:
            return ""
        return f"{limits[0]:g} to {limits[1]:g}"


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
    find: str
    """Property of ``Band`` that shows it: a text, codes or True; nothing without it."""
    reason: str
    """Words that follow "band 1", with what shows the sign, or of the ``band``."""


SIGNS = tuple(Sign(**row) for row in _TABLE["signs"])
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
            shown = attrgetter(sign.find)(band)
            if isinstance(shown, tuple):  # codes
                shown = ", ".join(f"{code:g}" for code in shown)
            if shown:
                return Finding(sign, sign.reason.format(shown, band=band))
    return None
