"""Types and parsers of options' values: sizes, areas, bands, ranges and others."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from srcli.imaging.resize import Box

LONGEST_SIDE = 8192
LARGEST_DPI = 65_535
PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)
SHARE = click.FloatRange(0, 1)
POSITIVE = click.IntRange(1)
NOT_NEGATIVE = click.IntRange(0)
SECONDS = click.FloatRange(0)
QUALITY = click.IntRange(1, 100)
TILE = click.IntRange(16)
PRECISION = click.Choice(["auto", "fp32", "bf16", "fp16"])
AUTO_YES_NO = click.Choice(["auto", "yes", "no"])


def complete_models(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a model: those with weights if there are any; else a file name."""
    from srcli.models import MODELS
    from srcli.models.weights import shipped_scales

    names = [name for name in MODELS if name.startswith(incomplete)]
    usable = list(filter(shipped_scales, names)) or names
    files = CompletionItem(incomplete, type="file")
    return list(map(CompletionItem, usable)) or [files]


class AutoOrInt(click.IntRange):
    """A whole number of a range, or ``auto`` or ``all``, which are None."""

    def convert(self, value: Any, *context: Any) -> Any:  # noqa: ANN401 - as click has it
        """Return the number, or None."""
        return None if value in ("auto", "all") else super().convert(value, *context)


def parse_names(text: str) -> tuple[str, ...]:
    """Read names with commas between them, each of them once."""
    names = map(str.strip, text.split(","))
    return tuple(dict.fromkeys(filter(None, names)))


def parse_box(text: str) -> Box:
    """Read bounds such as ``3840x2160``, ``3840x`` (the width alone) or ``x2160``."""
    from srcli.imaging.resize import Box

    match = re.fullmatch(r"([1-9]\d*)?[xX×]([1-9]\d*)?", text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is no size such as 3840x2160, 3840x or x2160")
    return Box(width=int(match[1] or 0) or None, height=int(match[2] or 0) or None)


def parse_dpi(text: str) -> float | str:
    """Read ``keep``, ``scale``, or pixels per inch that JPEG holds, 1 to 65,535."""
    if text in ("keep", "scale"):
        return text
    if not re.fullmatch(r"[1-9]\d{0,4}", text) or int(text) > LARGEST_DPI:
        raise ValueError(f"{text!r} is not keep, scale or 1 to {LARGEST_DPI}")
    return float(text)


def parse_size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT in pixels, as (height, width)."""
    match = re.fullmatch(r"([0-9]{1,4})[xX]([0-9]{1,4})", text)
    if match:
        width, height = map(int, match.groups())
        if 1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE:
            return height, width
    raise ValueError(
        f"{text!r} is not WIDTHxHEIGHT of an LR picture, such as 256x256, "
        f"with sides from 1 to {LONGEST_SIDE}"
    )


def parse_area(text: str) -> tuple[int, ...]:
    """Read X,Y,W,H: left, top, width and height in pixels."""
    if re.fullmatch(r"[0-9]+(,[0-9]+){3}", text):
        area = tuple(map(int, text.split(",")))
        if area[2] and area[3]:
            return area
    example = "such as 1200,340,120,120; width and height must be above 0"
    raise ValueError(f"{text!r} is not X,Y,W,H, {example}")


def parse_bands(text: str) -> tuple[int, ...]:
    """Read band numbers such as ``4,3,2``."""
    if re.fullmatch(r"[0-9]+([,\s]+[0-9]+)*", text.strip()):
        bands = tuple(map(int, re.findall("[0-9]+", text)))
        if 0 not in bands and len({*bands}) == len(bands):
            return bands
    raise ValueError(f"{text!r} is no list of different bands from 1, such as 4,3,2")


def parse_rgb(text: str) -> tuple[int, ...]:
    """Read the numbers of three bands; ``none`` is no band."""
    if text.strip() == "none":
        return ()
    bands = parse_bands(text)
    if len(bands) != 3:
        raise ValueError(f"{text!r}: give 3 bands, such as 1,2,3, or none")
    return bands


def parse_range(text: str) -> str | tuple[float, float]:
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


def parse_nodata(text: str) -> float | tuple[float, ...] | str:
    """Read a number (also ``nan``), several between commas, ``none`` or ``file``."""
    if text in ("none", "file"):
        return text
    try:
        first, *further = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor 'none'") from None
    return (first, *further) if further else first


def parse_type(text: str) -> str:
    """Read a type of floats, as GDAL calls it, and return numpy's name of it."""
    name = text.lower()
    if name not in ("float32", "float64"):
        raise ValueError(
            f"{text!r}: values keep their type, or become Float32 or Float64; "
            "gdal_translate -ot changes that of the result"
        )
    return name


def parse_creation(text: str) -> tuple[str, str]:
    """Read a creation option of GDAL, ``KEY=VALUE``."""
    key, _, value = text.partition("=")
    key = key.strip()
    value = value.strip()
    if not key or not value:
        raise ValueError(f"{text!r} is not KEY=VALUE, such as COMPRESS=ZSTD")
    return key.upper(), value
