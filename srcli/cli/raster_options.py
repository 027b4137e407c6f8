"""Options of ``srx upscale`` for rasters: their words, and what they mean."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from srcli.pipelines.upscale.options import RasterOptions

    Command = Callable[..., Any]

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Bands(click.ParamType[tuple[int, ...]]):
    """Numbers of bands, such as ``4,3,2``.

    Args:
        count: How many there must be; None for any number.
    """

    name = "BANDS"

    def __init__(self, count: int | None = None) -> None:
        self.count = count

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the numbers."""
        parts = re.split(r"[,\s]+", str(value).strip())
        numbers = tuple(int(part) if part.isascii() and part.isdigit() else 0 for part in parts)
        if min(numbers) < 1 or len(set(numbers)) < len(numbers):
            self.fail(f"{value!r} is no list of different bands from 1, such as 4,3,2", param, ctx)
        if self.count not in (None, len(numbers)):
            self.fail(f"{value!r}: give {self.count} bands, such as 1,2,3", param, ctx)
        return numbers


class Bounds(click.ParamType[tuple[float, ...]]):
    """Four coordinates in one word: left, bottom, right, top."""

    name = "BOUNDS"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the four numbers."""
        parts = re.split(r"[,\s]+", str(value).strip(" []()"))
        try:
            numbers = tuple(float(part) for part in parts)
        except ValueError:
            numbers = ()
        if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
            self.fail(f'{value!r} is not "left bottom right top"', param, ctx)
        return numbers


class Range(click.ParamType[str]):
    """``auto``, ``dtype`` or two numbers."""

    name = "auto|LO,HI|dtype"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the word, or the numbers as ``LO,HI``."""
        text = str(value).strip()
        if text in ("auto", "dtype"):
            return text
        try:
            low, high = (float(part) for part in text.split(","))
        except ValueError:
            low = high = math.nan
        if not (low < high and math.isfinite(high - low)):
            self.fail(f"{value!r} is not auto, dtype or LO,HI with LO below HI", param, ctx)
        return f"{low!r},{high!r}"


class Nodata(click.ParamType["float | str"]):
    """A number (also ``nan``), or ``none``."""

    name = "VALUE|none"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        """Return the number, or the word."""
        if str(value) in ("none", "file"):
            return str(value)
        try:
            return float(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'none'", param, ctx)


class MemorySize(click.ParamType[int]):
    """An amount of memory such as ``2G`` or ``800M``."""

    name = "SIZE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([KMGT]?)(?:i?B)?", str(value).strip(), re.I)
        size = int(float(found[1]) * UNITS[found[2].upper()]) if found else 0
        if size <= 0:
            self.fail(f"{value!r} is no amount of memory, such as 2G or 800M", param, ctx)
        return size


class Creation(click.ParamType[tuple[str, str]]):
    """A creation option, ``KEY=VALUE``."""

    name = "KEY=VALUE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return key and value."""
        if isinstance(value, tuple):
            return value
        key, sign, text = str(value).partition("=")
        if not sign or not key.strip() or not text.strip():
            self.fail(f"{value!r} is not KEY=VALUE, such as COMPRESS=ZSTD", param, ctx)
        return key.strip().upper(), text.strip()


def raster_options(command: Command) -> Command:
    """Add the options that rasters have beside those of every picture."""
    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command


_OPTIONS = (
    click.option("--bidx", type=Bands(), help="Rasters: bands to enlarge, in this order."),
    click.option(
        "--rgb",
        type=Bands(3),
        metavar="R,G,B",
        help="Rasters: bands that are red, green and blue, where the file does not say.",
    ),
    click.option(
        "--range",
        "values",
        type=Range(),
        default="auto",
        show_default=True,
        help="Rasters: which values are black and white, in the whole file; auto: found for RGB "
        "together and for every other band.",
    ),
    click.option(
        "--nodata",
        type=Nodata(),
        default="file",
        show_default=True,
        help="Rasters: the value that means no data.",
    ),
    click.option(
        "--srcwin",
        type=int,
        nargs=4,
        metavar="COL ROW W H",
        help="Rasters: enlarge this part, in input pixels.",
    ),
    click.option(
        "--bounds",
        type=Bounds(),
        metavar='"L B R T"',
        help="Rasters: enlarge this part, in the file's coordinates.",
    ),
    click.option(
        "--co",
        "creation",
        type=Creation(),
        multiple=True,
        help="Rasters: creation option of GDAL, such as COMPRESS=ZSTD; may be repeated.",
    ),
    click.option("--overviews", is_flag=True, help="Rasters: add overviews (pyramids)."),
    click.option("--cog", is_flag=True, help="Rasters: write a cloud-optimised GeoTIFF."),
    click.option(
        "--max-memory", type=MemorySize(), help="Rasters: use no more memory, such as 2G."
    ),
    click.option(
        "--no-resume",
        is_flag=True,
        help="Rasters: start over what an interrupted run has left half done.",
    ),
)


def raster_settings(given: dict[str, Any]) -> RasterOptions:
    """What ``raster_options`` were given."""
    from srcli.errors import UsageError
    from srcli.pipelines.upscale.options import RasterOptions

    if given["srcwin"] and given["bounds"]:
        raise UsageError("--srcwin and --bounds both name a part; give one of them")
    return RasterOptions(
        bands=given["bidx"],
        rgb=given["rgb"],
        values=given["values"],
        nodata=given["nodata"],
        srcwin=given["srcwin"],
        bounds=given["bounds"],
        creation=dict(given["creation"]),
        overviews=given["overviews"],
        cog=given["cog"],
        max_memory=given["max_memory"],
        resume=not given["no_resume"],
    )
