"""Choose GDAL's creation options of an output from the input, the user's --co and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.imaging.formats import FORMATS
from srcli.imaging.provenance import Provenance

if TYPE_CHECKING:
    from pathlib import Path

RasterFormat = Literal["tif", "png", "jpg"]

# A row of blocks is held in memory; beyond this many bytes smaller blocks are taken.
_LARGEST_ROW = 2**26
_LARGEST_STRIP = 2**18
_BLOCK_MULTIPLE = 16

# Lossless, and as good as DEFLATE or better: kept from the input.
_KEPT = frozenset({"LZW", "ZSTD", "LZMA", "LERC", "LERC_DEFLATE", "LERC_ZSTD"})
_PREDICTED = frozenset({"LZW", "DEFLATE", "ZSTD"})
_BIG = frozenset({"YES", "NO", "IF_NEEDED", "IF_SAFER"})
_ROUNDING = frozenset({"MAX_Z_ERROR", "DISCARD_LSB"})  # unless 0
_FALSE = frozenset({"NO", "FALSE", "OFF", "0"})
# Options of GDAL's own way of writing, without effect here.
_UNSUPPORTED = frozenset({"STREAMABLE_OUTPUT", "COPY_SRC_OVERVIEWS", "APPEND_SUBDATASET"})

DRIVERS: Mapping[RasterFormat, str] = {
    "tif": "GTiff",
    "png": "PNG",
    "jpg": "JPEG",
}
"""GDAL's drivers of the formats."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The user's options for the output format."""

    creation: Mapping[str, str] = field(default_factory=dict)
    """GDAL's creation options (--co) by names in capitals, which override the defaults."""
    overviews: bool = False
    """Build overviews inside the file."""
    cog: bool = False
    """Cloud-optimized GeoTIFF, overviews included."""
    format: str = "tif"
    """Of the file to be written: ``"tif"``, ``"png"`` or ``"jpg"``."""
    quality: int | None = None
    """1 to 100, for JPEG, also inside GeoTIFFs; None takes 95."""
    provenance: Provenance | None = None
    """Recorded in tags of the output; None records nothing."""


@dataclass(frozen=True, kw_only=True)
class OutputShape:
    """Properties of the output that creation options depend on."""

    height: int
    width: int
    bands: int
    """Including alpha."""
    dtype: str
    rgb: bool
    """The bands are red, green, blue, in this order, and possibly alpha."""
    alpha: bool
    inverted: bool = False
    """The lowest value of the only band is white."""
    classes: bool = False
    """Some bands hold classes."""
    palette: bool = False
    """The only band has a colour table."""
    bits: int | None = None
    """Bits of a value of all bands, where these are fewer than those of the dtype."""
    mask: bool = False
    """The file has a mask of valid pixels for all bands."""


def check_format(path: Path, options: OutputOptions, shape: OutputShape) -> RasterFormat:
    """Return the output format, refusing those that cannot hold the raster.

    Raises:
        UsageError: If the options contradict each other.
        PictureError: If the format cannot hold the output.
    """
    _check_classes(path, options, shape)
    if shape.inverted and (options.format != "tif" or options.cog):
        name = "COG" if options.format == "tif" else options.format
        raise PictureError(
            f"{path}: its lowest value is white (MINISWHITE), which {name} cannot store; take "
            "--format tif, without --cog"
        )
    if options.format == "tif":
        return "tif"
    if options.format not in ("png", "jpg"):
        raise PictureError(
            f"{path}: rasters are written as tif, png or jpg, not as {options.format}; "
            "take --format tif"
        )
    if options.cog or options.overviews:
        raise UsageError(
            f"{path}: --cog and --overviews are for --format tif, not {options.format}"
        )
    kinds = ("uint8",) if options.format == "jpg" else ("uint8", "uint16")
    # limits of libjpeg and libpng
    side = 65_500 if options.format == "jpg" else 1_000_000
    problem = ""
    if shape.dtype not in kinds:
        problem = f"{' or '.join(kinds)} values, not {shape.dtype}"
    elif shape.bands - shape.alpha not in (1, 3):
        problem = f"1 or 3 bands, not {shape.bands - shape.alpha} (--bidx 1,2,3 chooses)"
    elif max(shape.height, shape.width) > side:
        problem = f"at most {side:,} pixels a side, not {shape.width}x{shape.height}"
    if problem:
        raise PictureError(f"{path}: {options.format} holds {problem}; take --format tif")
    return "jpg" if options.format == "jpg" else "png"


def _check_classes(path: Path, options: OutputOptions, shape: OutputShape) -> None:
    """Refuse what would change classes or lose their colours."""
    if shape.classes and is_lossy(options, shape.dtype):
        format_ = "jpg" if options.format == "jpg" else "lossy compression"
        raise PictureError(
            f"{path}: {format_} would change its classes; take --format tif without lossy "
            "compression, or --classes no"
        )
    if options.format == "png" and shape.palette and shape.mask:
        raise PictureError(
            f"{path}: png holds no palette beside a mask of valid pixels; take --format tif"
        )


def creation_options(
    shape: OutputShape, options: OutputOptions, compression: str | None
) -> dict[str, str]:
    """Choose GDAL's creation options of the final file.

    Raises:
        UsageError: If an option is not supported here.
    """
    wanted = options.creation
    if options.format == "jpg":
        ours = {"QUALITY": _jpeg_quality(options)}
    elif options.format == "png":  # tags in the file too, where they stay with it
        ours = {"WRITE_METADATA_AS_TEXT": "YES", **_bits(shape)}
    elif options.cog:
        ours = _cog_options(shape, options, wanted, compression)
    else:
        _check(wanted)
        ours = _geotiff_options(shape, options, wanted, compression)
    return {**ours, **wanted}


def _geotiff_options(
    shape: OutputShape, options: OutputOptions, wanted: Mapping[str, str], compression: str | None
) -> dict[str, str]:
    kind = wanted.get("COMPRESS", _lossless(compression)).upper()
    rgb = "MINISWHITE" if shape.inverted else "PALETTE" if shape.palette else "MINISBLACK"
    rgb = "RGB" if shape.rgb else rgb
    if kind == "JPEG" and shape.rgb and not shape.alpha and shape.dtype == "uint8":
        planar = wanted.get("INTERLEAVE", "").upper() == "BAND"
        rgb = "RGB" if planar else "YCBCR"  # chroma at half the resolution: much smaller
    ours = {"COMPRESS": kind, "INTERLEAVE": "PIXEL", "PHOTOMETRIC": rgb, "BIGTIFF": "IF_SAFER"}
    ours |= {"NUM_THREADS": "ALL_CPUS", **_bits(shape)}
    if kind == "JPEG":
        ours["JPEG_QUALITY"] = _jpeg_quality(options)
    if kind in _PREDICTED and "NBITS" not in {**ours, **wanted}:
        ours["PREDICTOR"] = "3" if shape.dtype.startswith("float") else "2"
    return ours | _block_size(shape, wanted)


def _bits(shape: OutputShape) -> dict[str, str]:
    return {} if shape.bits is None else {"NBITS": str(shape.bits)}


def _cog_options(
    shape: OutputShape, options: OutputOptions, wanted: Mapping[str, str], compression: str | None
) -> dict[str, str]:
    kind = wanted.get("COMPRESS", _lossless(compression)).upper()
    ours = {"COMPRESS": kind, "BIGTIFF": "IF_SAFER", "OVERVIEWS": "AUTO"}
    ours |= {"NUM_THREADS": "ALL_CPUS", **_bits(shape)}
    if "RESAMPLING" not in wanted:
        ours["OVERVIEW_RESAMPLING"] = "NEAREST" if shape.classes else "AVERAGE"
        if shape.classes:  # by which a TILING_SCHEME projects
            ours["WARP_RESAMPLING"] = "NEAREST"
    if kind == "JPEG":
        ours["QUALITY"] = _jpeg_quality(options)
    elif kind in _PREDICTED and "NBITS" not in {**ours, **wanted}:
        ours["PREDICTOR"] = "YES"
    return ours


def is_lossy(options: OutputOptions, dtype: str) -> bool:
    """Tell if the compression may change values."""
    wanted = options.creation
    if options.format != "tif":
        return options.format == "jpg"
    kind = wanted.get("COMPRESS", "").upper()
    lossless = wanted.get("WEBP_LOSSLESS", "NO") if not options.cog else "NO"
    rounded = _ROUNDING & {name for name, value in wanted.items() if not _is_zero(value)}
    rounded -= set() if kind.startswith("LERC") else {"MAX_Z_ERROR"}
    short = dtype.startswith("float") and "NBITS" in wanted
    return (
        kind == "JPEG"
        or (kind == "WEBP" and is_false(lossless) and wanted.get("QUALITY") != "100")
        or (kind == "JXL" and is_false(wanted.get("JXL_LOSSLESS", "YES")))
        or bool(rounded)
        or short
    )


def nbits_limit(options: OutputOptions, dtype: str) -> int | None:
    """Return the largest value that NBITS can hold; None if it is not below the dtype's."""
    bits = options.creation.get("NBITS", "")
    if options.format != "tif" or not dtype.startswith("uint") or not bits.isdecimal():
        return None
    return 2 ** int(bits) - 1 if int(bits) < int(dtype.removeprefix("uint")) else None


def wants_overviews(options: OutputOptions) -> bool:
    """Tell if overviews are to be built."""
    if options.cog:
        return options.creation.get("OVERVIEWS", "AUTO").upper() != "NONE"
    return options.overviews


def is_false(value: str) -> bool:
    """Tell if GDAL reads the value of an option as false: ``"NO"``, ``"off"`` ..."""
    return value.upper() in _FALSE


def _is_zero(value: str) -> bool:
    return set(value) <= set("0., ")  # DISCARD_LSB has a number for each band


def _check(wanted: Mapping[str, str]) -> None:
    useless = sorted(_UNSUPPORTED & set(wanted))
    if useless:
        raise UsageError(f"--co {useless[0]}={wanted[useless[0]]}: has no effect here; drop it")
    if wanted.get("BIGTIFF", "YES").upper() not in _BIG:
        raise UsageError(f"--co BIGTIFF={wanted['BIGTIFF']}: take YES, NO or IF_SAFER")
    for name in ("BLOCKXSIZE", "BLOCKYSIZE"):
        value = wanted.get(name, "16")
        if not value.isdecimal() or not 1 <= int(value) <= 65_536:
            raise UsageError(f"--co {name}={value}: give a number of pixels, such as 512")
        if int(value) % _BLOCK_MULTIPLE and not is_false(wanted.get("TILED", "YES")):
            raise UsageError(f"--co {name}={value}: sides of tiles are multiples of 16")


def _jpeg_quality(options: OutputOptions) -> str:
    return str(options.quality or FORMATS["jpg"].default_quality)


def _lossless(compression: str | None) -> str:
    return compression if compression in _KEPT else "DEFLATE"


def _block_size(shape: OutputShape, wanted: Mapping[str, str]) -> dict[str, str]:
    """Choose tiles of 512, smaller if a row of them would take too much memory."""
    row = shape.width * shape.bands * np.dtype(shape.dtype).itemsize
    if is_false(wanted.get("TILED", "YES")):
        height = _LARGEST_STRIP // row // _BLOCK_MULTIPLE * _BLOCK_MULTIPLE
        return {"TILED": "NO", "BLOCKYSIZE": str(max(height, _BLOCK_MULTIPLE))}
    side = 512 if row * 512 <= _LARGEST_ROW else 256
    longest = -(-max(shape.height, shape.width) // _BLOCK_MULTIPLE) * _BLOCK_MULTIPLE
    text = str(min(side, longest))
    return {"TILED": "YES", "BLOCKXSIZE": text, "BLOCKYSIZE": text}
