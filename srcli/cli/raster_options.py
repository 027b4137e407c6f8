"""Options of ``srx upscale`` for rasters, in the words of GDAL and rasterio."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click

from srcli.cli.options import GroupedCommand, pick
from srcli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from srcli.pipelines.upscale.options import RasterOptions

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_WINDOWS = frozenset({"--bounds", "-te", "--srcwin", "-srcwin", "-projwin"})
# options of gdal_translate and gdalwarp that click would read as -o with the name of an output
_FOREIGN = frozenset({"-ot", "-oo", "-outsize", "-ovr", "-order"})
_RESAMPLING = frozenset({"near", "nearest", "bilinear", "cubic", "cubicspline", "lanczos"})


def parse_bands(text: str) -> tuple[int, ...]:
    """Read band numbers such as ``4,3,2``."""
    parts = re.split(r"[,\s]+", text.strip())
    numbers = tuple(int(part) if part.isascii() and part.isdigit() else 0 for part in parts)
    if min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise ValueError(f"{text!r} is no list of different bands from 1, such as 4,3,2")
    return numbers


def parse_rgb(text: str) -> tuple[int, ...]:
    """Read three band numbers."""
    numbers = parse_bands(text)
    if len(numbers) != 3:
        raise ValueError(f"{text!r}: give 3 bands, such as 1,2,3")
    return numbers


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


def parse_nodata(text: str) -> float | str:
    """Read a number (also ``nan``), ``none`` or ``file``."""
    if text in ("none", "file"):
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor 'none'") from None


def parse_memory(text: str) -> int:
    """Read an amount of memory such as ``2G`` or ``800M``; return bytes."""
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([KMGT]?)(?:i?B)?", text.strip(), re.I)
    size = int(float(found[1]) * UNITS[found[2].upper()]) if found else 0
    if size <= 0:
        raise ValueError(f"{text!r} is no amount of memory, such as 2G or 800M")
    return size


def parse_creation(text: str) -> tuple[str, str]:
    """Read a creation option, ``KEY=VALUE``."""
    key, _, value = (part.strip() for part in text.partition("="))
    if not key or not value:
        raise ValueError(f"{text!r} is not KEY=VALUE, such as COMPRESS=ZSTD")
    return key.upper(), value


RASTER_KINDS = {
    "bidx": parse_bands,
    "rgb": parse_rgb,
    "range": parse_range,
    "nodata": parse_nodata,
    "srcwin": click.INT,
    "bounds": click.FLOAT,
    "projwin": click.FLOAT,
    "co": parse_creation,
    "max-memory": parse_memory,
}
"""What reads the values of the options of rasters."""


def raster_settings(given: Mapping[str, Any]) -> RasterOptions:
    """Return the options of rasters.

    Raises:
        UsageError: If several windows are given, or the corners of ``-projwin`` are no rectangle.
    """
    from srcli.pipelines.upscale.options import RasterOptions

    windows = {"--srcwin": "srcwin", "--bounds (-te)": "bounds", "-projwin": "projwin"}
    named = [option for option, key in windows.items() if given[key]]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} each name a window; give one of them")
    bounds = given["bounds"]
    if given["projwin"]:
        left, top, right, bottom = bounds = given["projwin"]
        if not (left < right and bottom < top):
            raise UsageError(
                f"-projwin {' '.join(f'{one:.12g}' for one in bounds)}: give the upper left corner "
                "(x y), then the lower right one"
            )
        bounds = left, bottom, right, top
    return RasterOptions(
        bands=sum(given["bidx"], ()) or None,
        values=given["range"],
        bounds=bounds,
        creation=dict(given["co"]),
        cog=given["cog"] or given["format"].lower() == "cog",
        resume=not given["no_resume"],
        **pick(given, "rgb", "classes", "nodata", "srcwin", "overviews", "max_memory"),
    )


class GdalCommand(GroupedCommand):
    """A command whose options of one dash and several letters are GDAL's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse words with two meanings, and take windows apart that are given in quotes."""
        self._refuse_ambiguous(ctx, args)
        return super().parse_args(ctx, list(_split_windows(args)))

    def _refuse_ambiguous(self, ctx: click.Context, words: Sequence[str]) -> None:
        options = {name: one for one in self.params for name in one.opts}
        gdal = [name for name in options if name[1] != "-" and len(name) > 2]
        for word, following in pairwise([*words, ""]):
            name, short = word.partition("=")[0], options.get(word[:2])
            if word == "--":
                return
            if word == "-r" and following.lower() in _RESAMPLING:
                ctx.fail(
                    f"-r {following}: -r means --recursive and takes no value; srx has no option "
                    "for resampling, -m bicubic interpolates"
                )
            if word[1:2] == "-" or name in gdal or len(word) < 3:
                continue
            if not isinstance(short, click.Option) or short.is_flag:
                continue  # click names an option that does not exist
            longer = next((one for one in gdal if word.startswith(one)), None)
            if longer:
                other = f"{longer} {word[len(longer) :]}"
            elif f"-{name}" in options:
                other = f"-{word}"
            elif name in _FOREIGN:
                other = f"GDAL's {name}, which srx does not have"
            else:
                continue
            ctx.fail(f"{word}: is {other}, or {word[:2]} {word[2:]}; write the one that you mean")


def _split_windows(words: Sequence[str]) -> Iterator[str]:
    """Yield the words, the four numbers of a window apart: ``--bounds "1 2 3 4"``."""
    last = ""
    for word in words:
        name, sign, value = word.partition("=")
        if sign and name in _WINDOWS:
            yield name
            last, word = name, value
        numbers = re.split(r"[,\s]+", word.strip(" []()"))
        if last in _WINDOWS and len(numbers) == 4:
            yield from numbers
        else:
            yield word
        last = word
