"""Declarations of options: names, help, values, inputs, and what outputs record of them.

Functions that read a value as it is typed raise ValueError for a wrong word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from srcli.imaging.pixels.geometry import Box

Inputs = Literal["all", "photographs", "rasters"]
"""Inputs that an option is for."""
_DECLARATION = "declaration"
LARGEST_DPI = 65_535
_FASTEST = 1000
"""Frames a second."""
_RATES_OF_TELEVISION = (24, 30, 48, 60, 120)
"""Frames in 1.001 seconds."""
_ROUNDING_OF_RATES = 0.005
"""By which decimals of these differ at most, such as 23.98."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """Numbers of a range, ends included, and a word that stands for None."""

    least: int | None = None
    most: int | None = None
    is_whole: bool = True
    word: str = ""


@dataclass(frozen=True)
class Words:
    """The values that may be chosen from."""

    choices: tuple[str | int, ...]


@dataclass(frozen=True)
class File:
    """A path; ``is_text`` keeps it as it is typed, as a folder may be told by its slash."""

    is_text: bool = False


Takes = Number | Words | File | Callable[[str], Any]
"""Values of an option; a function reads them from a word, and raises ValueError."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """Record that outputs keep of an option that changes their pixels."""

    name: str = ""
    """As earlier versions have called it; empty is that of the field."""
    value: Callable[[Any], object] = lambda value: value
    """Makes what is recorded from the value; nothing is recorded of what is false."""


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """An option, as the command line, Python and records of outputs need it."""

    field: str = ""
    """The field of the class of options that it declares."""
    default: Any
    names: tuple[str, ...] = ()
    """Such as ``-b`` and ``--bidx``, for messages the last one. Empty for an option that
    several commands have: ``cli/options.py`` declares it."""
    help: str = ""
    heading: str = ""
    """Above this option and those that follow."""
    takes: Takes | None = None
    """None is any text; a flag, for a field that is True or False."""
    metavar: str | None = None
    count: int = 1
    """Words that follow the option."""
    joins: Callable[[tuple[Any, ...]], Any] | None = None
    """Makes one value of several, for an option that is given repeatedly."""
    changes_pixels: bool | Record | Literal["settled"] = False
    """Outputs are made again if it is given with another value. ``settled``: the record
    depends on other options, too; see ``Settled._own_records``."""
    inputs: Inputs = "all"
    only: object = None
    """The one value that shows what the inputs are; None for all but the default."""
    python: str = ""
    """Argument of ``srcli.upscale``; empty for an option that it lacks."""

    @property
    def name(self) -> str:
        """The name for messages; empty for an option that several commands have."""
        return self.names[-1].partition("/")[0] if self.names else ""

    def is_given(self, options: object) -> bool:
        """Tell if options have another value than the default."""
        return bool(getattr(options, self.field) != self.default)

    def shows_inputs(self, options: object) -> bool:
        """Tell if a value that is given shows that inputs are of the option's kind."""
        if self.only is None:
            return self.is_given(options)
        return bool(getattr(options, self.field) == self.only)

    def record(self, options: object) -> tuple[str, object]:
        """Return name and value of what outputs record; a value is false for nothing."""
        record = self.changes_pixels
        if not isinstance(record, Record):
            record = Record()
        if not self.is_given(options):
            return self.field, None
        return record.name or self.field, record.value(getattr(options, self.field))


def declare(names: str = "", *, default: Any = False, **about: Any) -> Any:  # noqa: ANN401 - of any option
    """Return the field of an option; see ``Declaration`` for what is said ``about`` it.

    ``names`` are written as in the help: ``-b, --bidx``. What has no other ``default`` is a
    flag.
    """
    words = tuple(filter(None, names.split(", ")))
    option = Declaration(names=words, default=default, **about)
    metadata = {_DECLARATION: option}
    if isinstance(default, dict):  # dataclasses want one for each object
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def declared_fields(options_type: type[Any]) -> tuple[Declaration, ...]:
    """Return the declared fields of a class of options, in the order of its help."""
    declared = []
    for entry in fields(options_type):
        if _DECLARATION in entry.metadata:
            declared.append(replace(entry.metadata[_DECLARATION], field=entry.name))
    return tuple(declared)


def read_box(text: str) -> Box:
    """Read bounds such as ``3840x2160``, ``3840x`` (the width alone) or ``x2160``."""
    from srcli.imaging.pixels.geometry import Box

    match = re.fullmatch(r"([1-9]\d*)?[xX×]([1-9]\d*)?", text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is no size such as 3840x2160, 3840x or x2160")
    return Box(width=int(match[1] or 0) or None, height=int(match[2] or 0) or None)


def read_bounds(text: str) -> Box:
    """Read bounds as ``read_box`` does, or one number for both sides, ``3840``."""
    number = text.strip()
    return read_box(f"{number}x{number}" if number.isdecimal() else text)


def read_rate(text: str) -> Fraction:
    """Read frames a second, ``24`` or ``30000/1001``; 23.976, 29.97 and the like are fractions.

    These are decimals of 24, 30, 48, 60 or 120 times 1000 by 1001.
    """
    try:
        rate = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= _FASTEST:
        raise ValueError(
            f"{text!r} is no rate such as 24, 29.97 or 30000/1001, up to {_FASTEST}"
        )
    for whole in _RATES_OF_TELEVISION:
        exact = Fraction(whole * 1000, 1001)
        if "." in text and abs(rate - exact) < _ROUNDING_OF_RATES:
            return exact
    return rate.limit_denominator(1001)


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
