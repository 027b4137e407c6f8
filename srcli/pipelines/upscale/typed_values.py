"""Read values of options of ``srx upscale`` as they are typed, and record them in outputs.

Functions that read raise ValueError for a wrong word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srcli.imaging.pixels.resize import Box

LARGEST_DPI = 65_535


def read_box(text: str) -> Box:
    """Read bounds such as ``3840x2160``, ``3840x`` (the width alone) or ``x2160``."""
    from srcli.imaging.pixels.resize import Box

    match = re.fullmatch(r"([1-9]\d*)?[xX×]([1-9]\d*)?", text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is no size such as 3840x2160, 3840x or x2160")
    return Box(width=int(match[1] or 0) or None, height=int(match[2] or 0) or None)


def read_bounds(text: str) -> Box:
    """Read bounds as ``read_box`` does, or one number for both sides, ``3840``."""
    number = text.strip()
    return read_box(f"{number}x{number}" if number.isdecimal() else text)


def read_dpi(text: str) -> float | str:
    """Read ``keep``, ``scale``, or pixels per inch that JPEG holds, 1 to 65,535."""
    if text in ("keep", "scale"):
        return text
    if not re.fullmatch(r"[1-9]\d{0,4}", text) or int(text) > LARGEST_DPI:
        raise ValueError(f"{text!r} is not keep, scale or 1 to {LARGEST_DPI}")
    return float(text)


def read_bands(text: str) -> tuple[int, ...]:
    """Read band numbers such as ``4,3,2``."""
    if re.fullmatch(r"[0-9]+([,\s]+[0-9]+)*", text.strip()):
        bands = tuple(map(int, re.findall("[0-9]+", text)))
        if 0 not in bands and len({*bands}) == len(bands):
            return bands
    raise ValueError(f"{text!r} is no list of different bands from 1, such as 4,3,2")


def join_bands(lists: tuple[tuple[int, ...], ...]) -> tuple[int, ...] | None:
    """Return the bands of an option that is given several times; None without any."""
    return tuple(chain.from_iterable(lists)) or None


def read_rgb(text: str) -> tuple[int, ...]:
    """Read the numbers of three bands; ``none`` is no band."""
    if text.strip() == "none":
        return ()
    bands = read_bands(text)
    if len(bands) != 3:
        raise ValueError(f"{text!r}: give 3 bands, such as 1,2,3, or none")
    return bands


def read_range(text: str) -> str | tuple[float, float]:
    """Read ``auto``, ``dtype`` or two numbers."""
    word = text.strip()
    if word in ("auto", "dtype"):
        return word
    try:
        low, high = map(float, word.split(","))
    except ValueError:
        low = high = math.nan
    if not (low < high and math.isfinite(high - low)):
        raise ValueError(f"{text!r} is not auto, dtype or LO,HI with LO below HI")
    return low, high


def read_nodata(text: str) -> float | tuple[float, ...] | str:
    """Read a number (also ``nan``), several between commas, ``none`` or ``file``."""
    if text in ("none", "file"):
        return text
    try:
        first, *further = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor 'none'") from None
    return (first, *further) if further else first


def read_type(text: str) -> str:
    """Read a type of floats, as GDAL calls it, and return numpy's name of it."""
    name = text.lower()
    if name not in ("float32", "float64"):
        raise ValueError(
            f"{text!r}: values keep their type, or become Float32 or Float64; "
            "gdal_translate -ot changes that of the result"
        )
    return name


def read_creation(text: str) -> tuple[str, str]:
    """Read a creation option of GDAL, ``KEY=VALUE``."""
    key, _, value = text.partition("=")
    key = key.strip()
    value = value.strip()
    if not key or not value:
        raise ValueError(f"{text!r} is not KEY=VALUE, such as COMPRESS=ZSTD")
    return key.upper(), value


def record_rgb(bands: tuple[int, ...]) -> object:
    """Return what outputs record of the bands of a colour, or of none."""
    return bands or "none"


def record_creation(creation: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the options of GDAL that change a file, in order of their names."""
    return [pair for pair in sorted(creation.items()) if "THREADS" not in pair[0]]
