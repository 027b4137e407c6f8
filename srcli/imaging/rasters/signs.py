"""Signs by which a band is told to hold classes, codes, a picture ...: each one function, one row.

``SIGNS`` is the table of ``docs/rasters.md``. To add a sign, write a function that returns the
reason in words, or nothing, give it a row here and in that table, and a test. Of the
signs of one evidence the first that a band has decides on it, and what the file says is
asked before what values look like.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from srcli.imaging.rasters.alpha_bands import is_data
from srcli.imaging.rasters.band import Band
from srcli.imaging.rasters.packed_heights import are_packed_heights
from srcli.imaging.rasters.special_codes import values_outside

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

# Words of the names of bands that hold classes, flags or masks; "land cover" is one
# word too.
_CLASSES = frozenset({
    "scl", "qa", "qc", "bqa", "fmask", "cfmask", "pixelqa", "pixelreliability", "wqsf", "flag",
    "flags", "mask", "masks", "cloudmask", "bitmask", "class", "classes", "classification",
    "classified", "classi", "detfoo", "category", "categories", "label", "labels",
    "segmentation", "landcover", "landuse", "lulc", "lccs", "lcz", "igbp", "nlcd", "cdl",
    "corine", "worldcover", "mapbiomas", "d8", "severity", "burnseverity",
})  # fmt: skip
# Words of codes that may be many and lie in their order; "flow direction" is one too.
# Not D8, as sheets of a grid are called so, and not severity, of which there are indices.
_CODES = frozenset({
    "fdr", "fdir", "flowdir", "flowdirection", "flowdirections", "draindir", "ldd",
    "burndate", "burnday", "dayofburn", "soiltype", "soilgroup", "soilunit",
})  # fmt: skip
_ANGLES = frozenset({
    "aspect", "azimuth", "bearing", "heading", "phase", "wrapped", "winddir", "winddirection",
    "wavedirection", "orientation", "hillaspect",
})  # fmt: skip
_NO_ANGLES = frozenset({
    "ratio", "slope", "unwrapped", "noise", "height", "change", "contrast", "velocity", "speed",
    "capacity", "date", "day", "doy", "hillshade", "shade", "shaded", "shading", "relief",
})  # fmt: skip
_UNITS_OF_ANGLES = frozenset({
    "degree", "degrees", "deg", "°", "degree_true", "degrees_true", "radian", "radians", "rad",
})  # fmt: skip
_NUMBERED = re.compile(r"(qa|qf|clc|lctype|lcprop)\d+")
# Words of quantities: "class probability" and "mask confidence" are numbers to
# interpolate.
_QUANTITIES = frozenset({
    "probability", "prob", "confidence", "score", "scores", "fraction", "percent", "percentage",
    "distance", "uncertainty", "error", "density", "impervious", "canopy",
})  # fmt: skip
# Tags of the CF conventions.
_FLAG_TAGS = frozenset({"flag_values", "flag_masks", "flag_meanings"})
_DIRECTIONS = frozenset(2.0**power for power in range(8))
"""Codes of the eight directions of flow (D8)."""
_NO_DIRECTION = frozenset({-128.0, -1.0, 0.0, 247.0, 255.0})
"""Beside them: sinks, outlets, ocean."""
_MOST_DIRECTIONS = len(_DIRECTIONS) + len(_NO_DIRECTION)
_ELEVATIONS = frozenset({
    "dem", "dsm", "dtm", "dgm", "dom", "mnt", "mns", "mde", "srtm", "nasadem", "gmted", "etopo",
    "gebco", "elevation", "elevations", "altitude", "bathymetry", "topography",
})  # fmt: skip
_UNITS_OF_LENGTH = frozenset({
    "m", "metre", "metres", "meter", "meters", "ft", "foot", "feet", "us survey foot",
    "us_survey_foot", "ftus", "dm", "cm", "decimeter", "decimetre",
})  # fmt: skip
_MOST_CODES = 12
"""Different values of one band on a map up to which they are codes."""
_CATEGORY = re.compile(r"<Category>[^<]|<Usage>2</Usage>")  # 2: a column of names


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A sign of what a band holds: a row of the table in ``docs/rasters.md``."""

    row: str
    """The sign, as the table names it."""
    then: str
    """What is done, as the table says it."""
    meaning: Meaning
    evidence: Evidence
    is_sure: bool = True
    """The file says so; else the user is warned, as values alone may mislead."""
    find: Callable[[Band], str]
    """Returns the reason in words that follow "band 1"; empty without the sign."""


def words_of(name: str) -> list[str]:
    """Return the words of a name, those of ``BurnDate`` together, and pairs as one word."""
    words: list[str] = re.findall(r"[a-z0-9]+", name.lower())
    return [*words, *map("".join, pairwise(words))]  # "land_cover" is a pair


def class_word(name: str) -> str:
    """Return the word of a name that stands for classes; empty if there is none."""
    words = words_of(name)
    # Landsat's ST_QA is an uncertainty, of a temperature in kelvin
    if not _QUANTITIES.isdisjoint(words) or "stqa" in words:
        return ""
    for word in words:
        if word in _CLASSES or word in _CODES or _NUMBERED.fullmatch(word):
            return word
    return ""


def _angle_word(name: str) -> str:
    """Return the word of a name that stands for angles; empty if there is none."""
    words = words_of(name)
    if not _NO_ANGLES.isdisjoint(words):
        return ""
    for word in words:
        if word in _ANGLES:
            return word
    return ""


def _is_called_as_angles(band: Band) -> str:
    for name in band.names:
        word = _angle_word(name)
        if word and band.turn is not None:
            return f'(called "{word}")'
    return ""


def _is_in_file_called_as_angles(band: Band) -> str:
    # 8 bits hold no 360 degrees; "site_phase_2" and "heading_north" are photographs, too
    is_wide = np.dtype(band.header.dtype).itemsize > 1
    word = _angle_word(band.info.path.stem) if band.is_only and is_wide else ""
    if word and band.turn is not None:
        return f'("{word}" in the file\'s name)'
    return ""


def _wraps_around(band: Band) -> str:
    is_float = band.header.dtype.startswith("float")
    if not (is_float or band.unit in _UNITS_OF_ANGLES) or not band.wraps_around:
        return ""
    return "goes on at its lowest value after its highest, as angles do"


def _has_one_bit(band: Band) -> str:
    is_mask = band.header.bits == 1 and not band.is_of_picture
    return "(one bit a pixel)" if is_mask else ""


def _has_palette(band: Band) -> str:
    has_palette = band.header.interpretation == "palette" and not band.is_of_picture
    return "(a palette)" if has_palette else ""


def _has_flag_tags(band: Band) -> str:
    is_thematic = band.tags.get("layer_type", "").lower() == "thematic"
    if is_thematic or _FLAG_TAGS & set(band.tags):
        return "(marked so in its tags)"
    return ""


def _has_category_names(band: Band) -> str:
    has_names = _CATEGORY.search("".join(band.header.vrt_elements.values()))
    return "(names of categories)" if has_names else ""


def _is_called_so(band: Band) -> str:
    for name in band.names:
        word = class_word(name)
        if word:
            return f'(called "{word}")'
    return ""


def _is_in_file_called_so(band: Band) -> str:
    values = band.appearance
    word = _word_of_file(band)
    is_open = values.few or values.are_identifiers or values.is_mixed
    # sheets of a grid are called D8, too
    if word == "d8" and values.few > _MOST_DIRECTIONS:
        return ""
    return f'("{word}" in the file\'s name)' if word and is_open else ""


def _word_of_file(band: Band) -> str:
    """Return the word for classes in the name of a file, if its values are whole numbers.

    In the name of a file of several bands it may be about one of them.
    """
    if not band.is_only or not band.appearance.is_whole:
        return ""
    return class_word(band.info.path.stem)


def _is_in_file_of_codes(band: Band) -> str:
    word = _word_of_file(band)
    return f'("{word}" in the file\'s name)' if word in _CODES else ""


def _is_elevation(band: Band) -> str:
    """Ask the unit and the names; 8 bits may be a hillshade, and more values are judged."""
    values = band.appearance
    is_wide = np.dtype(band.header.dtype).itemsize > 1
    if not (is_wide and values.is_whole and values.few):
        return ""
    if band.unit in _UNITS_OF_LENGTH:
        return f'(its unit is "{band.unit}")'
    names = list(band.names)
    if band.is_only:
        folder = band.info.path.absolute().parent.name
        prefix = f"{folder} " if folder.lower() in _ELEVATIONS else ""
        names.append(prefix + band.info.path.stem)
    for name in names:
        for word in words_of(name):
            if word in _ELEVATIONS and _NO_ANGLES.isdisjoint(words_of(name)):
                return f'(called "{word}")'
    return ""


def _has_nodata_of_elevation(band: Band) -> str:
    """Ask values one step from each other, as those of codes are not, and no data below 0."""
    values = band.appearance.values
    header = band.header
    is_signed = header.dtype.startswith("int") and header.dtype != "int8"
    if not (is_signed and values and band.is_only and header.nodata is not None):
        return ""
    if header.nodata >= 0 or len(values) < max(values) - min(values):
        return ""
    return f"has every value in between, and {header.nodata:g} for no data"


def _has_values_of_codes(band: Band) -> str:
    """Ask values at uneven steps, as those of terrain are even; grays of 8 bits may be few."""
    is_placed = band.info.georeference["transform"] is not None
    if np.dtype(band.header.dtype).itemsize == 1:
        return ""
    values = sorted(band.appearance.values)
    if not (band.is_only and is_placed and 2 < len(values) <= _MOST_CODES):
        return ""
    steps = np.diff(values)
    return _tell_few_values(band) if steps.max() > 2 * steps.min() else ""


def _has_powers_of_two(band: Band) -> str:
    directions = band.appearance.values - _NO_DIRECTION
    if len(directions) < 5 or not directions <= _DIRECTIONS:
        return ""
    return "holds the codes of flow directions: 1, 2, 4 ... 128"


def _has_values_in_any_order(band: Band) -> str:
    return _tell_few_values(band) if band.appearance.is_unordered else ""


def _has_codes_with_gaps(band: Band) -> str:
    return _tell_few_values(band) if band.appearance.have_gaps else ""


def _has_numbers_of_things(band: Band) -> str:
    are_numbers = band.appearance.are_identifiers
    return "looks like numbers of things" if are_numbers else ""


def _has_few_values(band: Band) -> str:
    return _tell_few_values(band) if band.appearance.few else ""


def _tell_few_values(band: Band) -> str:
    return f"holds only {band.appearance.few} different values"


def _has_many_values_in_file_called_so(band: Band) -> str:
    word = _word_of_file(band)
    return f'("{word}" in its name)' if word else ""


def _are_bytes_of_heights(band: Band) -> str:
    """Look at a band that is red, and at the two behind it."""
    if band.look.has_huge_blocks or band.header.dtype != "uint8":
        return ""
    bands = [replace(band, number=band.number + step).windows for step in range(3)]
    pixels = np.moveaxis(np.stack([window.pixels for window in bands]), 0, -1)
    valid = bands[0].valid & bands[1].valid & bands[2].valid
    for number, header in enumerate(band.info.bands, 1):
        if header.interpretation == "alpha":
            opacity = replace(band, number=number).windows.pixels
            valid &= opacity > 0
    return (
        "hold heights packed into colours" if are_packed_heights(pixels, valid) else ""
    )


def _has_fills(band: Band) -> str:
    is_measured = band.header.interpretation not in ("alpha", "palette")
    is_wide = np.dtype(band.header.dtype).itemsize > 1
    if not is_measured or not is_wide or band.look.has_huge_blocks:
        return ""
    return ", ".join(f"{value:.9g}" for value in band.fill_values)


def _is_data_in_alpha(band: Band) -> str:
    # in formats of pictures alpha is transparency by definition
    if band.info.driver in ("PNG", "WEBP") or not is_data(
        band.opacity, band.header.bits
    ):
        return ""
    return "is called alpha, but has the values of data, such as near infrared"


def _has_values_outside_stated_range(band: Band) -> str:
    limits = band.measured
    if limits is None or not values_outside(*band.windows, limits).size:
        return ""
    return f"holds codes outside of {limits[0]:g} to {limits[1]:g} (its valid range)"


def _has_codes_beyond_gap(band: Band) -> str:
    codes = band.special_codes
    if not codes:
        return ""
    return f"holds {', '.join(f'{code:g}' for code in codes)} far from all other values"


SIGNS = (
    Sign(
        row=(
            "-9999, -3000, -32768, 65535, -3.4e38 and the like, further from all other values "
            "than these from each other, or, if negative, in areas with cliffs around them"
        ),
        then="no data, with a warning",
        meaning="no data",
        evidence="fills",
        is_sure=False,
        find=_has_fills,
    ),
    Sign(
        row=(
            "a band called alpha of many values, none of them frequent, that changes as fast "
            "as pictures do"
        ),
        then="data, with a warning: near infrared",
        meaning="data",
        evidence="alpha",
        is_sure=False,
        find=_is_data_in_alpha,
    ),
    Sign(
        row=(
            "values outside of `valid_range`, or of `valid_min` and `valid_max`, unless the "
            "range is that of other units"
        ),
        then="codes beside measurements, repeated as they are",
        meaning="codes",
        evidence="limits",
        find=_has_values_outside_stated_range,
    ),
    Sign(
        row=(
            "a band that goes alone, of many values, and up to 16 that cover areas beyond a "
            "gap as wide as all others: 0 to 100, and 250 for cloud"
        ),
        then="the same, with a warning",
        meaning="codes",
        evidence="limits",
        is_sure=False,
        find=_has_codes_beyond_gap,
    ),
    Sign(
        row=(
            "a band called aspect, azimuth, phase, wind direction, heading ..., of values "
            "within one turn and over half of one"
        ),
        then="angles, repeated: between 359 and 1 degrees lies no 180",
        meaning="angles",
        evidence="header",
        find=_is_called_as_angles,
    ),
    Sign(
        row="one bit a pixel",
        then="classes",
        meaning="classes",
        evidence="header",
        find=_has_one_bit,
    ),
    Sign(
        row="a palette, but of a PNG or GIF without a place on the map",
        then="classes",
        meaning="classes",
        evidence="header",
        find=_has_palette,
    ),
    Sign(
        row="`flag_values`, `flag_masks`, `flag_meanings`, `LAYER_TYPE=thematic`",
        then="classes",
        meaning="classes",
        evidence="header",
        find=_has_flag_tags,
    ),
    Sign(
        row="category names",
        then="classes",
        meaning="classes",
        evidence="header",
        find=_has_category_names,
    ),
    Sign(
        row=(
            "a band called SCL, QA_PIXEL, Fmask, class, land cover, LULC, mask, labels, "
            "flow direction, burn date ... (whole words, any case)"
        ),
        then="classes, if its values are whole numbers",
        meaning="classes",
        evidence="header",
        find=_is_called_so,
    ),
    Sign(
        row="such a word for angles in the name of a file of one band of more than 8 bits",
        then="angles",
        meaning="angles",
        evidence="values",
        find=_is_in_file_called_as_angles,
    ),
    Sign(
        row=(
            "floats, or values in degrees or radians, that use a full turn, and whose "
            "neighbours meet over its ends: gdaldem aspect"
        ),
        then="angles, with a warning",
        meaning="angles",
        evidence="values",
        is_sure=False,
        find=_wraps_around,
    ),
    Sign(
        row=(
            "the words fdr, flowdir, flow direction, LDD, burn date, soil type in the name of "
            "a file of one band"
        ),
        then="classes, if its values are whole numbers",
        meaning="classes",
        evidence="values",
        find=_is_in_file_of_codes,
    ),
    Sign(
        row=(
            "a word for classes in the name of a file of one band: `*_SCL_20m.jp2`, "
            "`*_QA_PIXEL.TIF`"
        ),
        then=(
            "classes where its values leave it open: few, or in any order; Landsat's "
            "ST_QA is an uncertainty"
        ),
        meaning="classes",
        evidence="values",
        find=_is_in_file_called_so,
    ),
    Sign(
        row=(
            "red, green and blue of 8 bits that are bytes of one number, which hardly bends "
            "where they jump: terrain tiles of Mapbox and Terrarium"
        ),
        then="heights: unpacked, interpolated, packed again",
        meaning="heights",
        evidence="bytes",
        find=_are_bytes_of_heights,
    ),
    Sign(
        row=(
            "red, green and blue that share one set of few values in any order, without "
            "white, or three bands of such values without colours"
        ),
        then="classes of three years, with a warning",
        meaning="classes",
        evidence="colours",
        is_sure=False,
        # asked only of bands of which ``are_three_bands_of_classes`` is true
        find=_tell_few_values,
    ),
    Sign(
        row=(
            "few whole numbers of more than 8 bits in metres or feet, or called DEM, DSM, DTM, "
            "SRTM, elevation ..., also in the name of a file of one band or of its folder"
        ),
        then="elevation: `auto` interpolates it",
        meaning="elevation",
        evidence="values",
        find=_is_elevation,
    ),
    Sign(
        row=(
            "five and more of the values 1, 2, 4, 8, 16, 32, 64, 128, and no others but 0, -1, "
            "247, 255"
        ),
        then="flow directions, as classes, with a warning",
        meaning="classes",
        evidence="values",
        is_sure=False,
        find=_has_powers_of_two,
    ),
    Sign(
        row=(
            "whole numbers of at most 64 different values that lie beside each other in "
            "any order"
        ),
        then="classes, with a warning",
        meaning="classes",
        evidence="values",
        is_sure=False,
        find=_has_values_in_any_order,
    ),
    Sign(
        row=(
            "the same in their order, but with gaps now wide, now narrow, over which most "
            "borders jump: 7011, 7016, 7019, 7050 (of 8 bits in large areas only)"
        ),
        then="classes, with a warning",
        meaning="classes",
        evidence="values",
        is_sure=False,
        find=_has_codes_with_gaps,
    ),
    Sign(
        row=(
            "many values, each forming connected regions with abrupt borders: parcel IDs"
        ),
        then="classes, with a warning that says so",
        meaning="classes",
        evidence="values",
        is_sure=False,
        find=_has_numbers_of_things,
    ),
    Sign(
        row=(
            "few signed whole numbers of one band without gaps, and a negative value of no data"
        ),
        then="elevation: `auto` interpolates it",
        meaning="elevation",
        evidence="values",
        find=_has_nodata_of_elevation,
    ),
    Sign(
        row=(
            "at most 12 values of more than 8 bits at uneven steps, of one band with a place on "
            "the map"
        ),
        then="classes, with a warning",
        meaning="classes",
        evidence="values",
        is_sure=False,
        find=_has_values_of_codes,
    ),
    Sign(
        row=(
            "few values, but neighbours differ by one step mostly: a dark picture, a scan"
        ),
        then="a picture, with a message",
        meaning="picture",
        evidence="values",
        find=_has_few_values,
    ),
    Sign(
        row="a word for classes in the file's name, but many values in their order",
        then="a picture, with a message",
        meaning="picture",
        evidence="values",
        find=_has_many_values_in_file_called_so,
    ),
)
"""All signs of what one band holds; of those of one evidence the first that a band has."""


@dataclass(frozen=True)
class Finding:
    """A sign that a band has, and the reason in words that follow "band 1"."""

    sign: Sign
    reason: str


def find_sign(band: Band, evidence: Evidence) -> Finding | None:
    """Return the first sign of a band that this evidence shows; None without any."""
    for sign in SIGNS:
        if sign.evidence == evidence:
            reason = sign.find(band)
            if reason:
                return Finding(sign, reason)
    return None
