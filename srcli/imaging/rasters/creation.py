"""GDAL's creation options of an output: our defaults, what the input had, what the user wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from srcli.errors import PictureError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

RasterFormat = Literal["tif", "png", "jpg"]

# A row of blocks is held in memory; larger than this, blocks are made smaller.
_LARGEST_ROW = 2**26
_LARGEST_STRIP = 2**18
_WHOLE_UNIT = 16  # sides of tiles are multiples of it

# Lossless, better than DEFLATE or about as good, so that it is kept.
_KEPT = frozenset({"LZW", "ZSTD", "LZMA", "LERC", "LERC_DEFLATE", "LERC_ZSTD"})
_PREDICTED = frozenset({"LZW", "DEFLATE", "ZSTD"})
_BIG = frozenset({"YES", "NO", "IF_NEEDED", "IF_SAFER"})
_ROUNDING = frozenset({"MAX_Z_ERROR", "DISCARD_LSB"})  # unless 0
_NO = frozenset({"NO", "FALSE", "OFF", "0"})
# What --co may say of how GDAL itself goes about writing, which means nothing here.
_MEANINGLESS = frozenset({"STREAMABLE_OUTPUT", "COPY_SRC_OVERVIEWS", "APPEND_SUBDATASET"})

DRIVERS: Mapping[RasterFormat, str] = {"tif": "COG", "png": "PNG", "jpg": "JPEG"}
"""GDAL's drivers that copy a finished GeoTIFF into its last form."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What the user can say of an output."""

    creation: Mapping[str, str] = field(default_factory=dict)
    """GDAL's creation options (--co), which win over ours."""
    overviews: bool = False
    """Build smaller copies inside the file."""
    cog: bool = False
    """Cloud-optimized GeoTIFF, overviews included."""
    format: str = "tif"
    """``"tif"``, ``"png"`` or ``"jpg"``."""


@dataclass(frozen=True, kw_only=True)
class OutputShape:
    """What the choice of creation options depends on."""

    height: int
    width: int
    bands: int
    """With alpha."""
    dtype: str
    rgb: bool
    """The first three bands are red, green and blue, and there are no others but alpha."""
    alpha: bool
    inverted: bool = False
    """The only band holds white as its least value."""

    @property
    def itemsize(self) -> int:
        """Bytes of one value."""
        import numpy as np

        return np.dtype(self.dtype).itemsize


def check_format(path: Path, options: OutputOptions, shape: OutputShape) -> RasterFormat:
    """Refuse formats that cannot hold a raster.

    Args:
        path: The input, for messages.
        options: What is wanted.
        shape: What is to be written.

    Raises:
        UsageError: If the options contradict each other.
        PictureError: If the format cannot hold it.
    """
    if shape.inverted and (options.format != "tif" or options.cog):
        name = "COG" if options.format == "tif" else options.format
        raise PictureError(
            f"{path}: its least value is white (MINISWHITE), which {name} cannot say; take "
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
    # libpng and libjpeg refuse more
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


def geotiff_options(
    shape: OutputShape, options: OutputOptions, compression: str | None, icc: bytes | None
) -> dict[str, str]:
    """Options of the GeoTIFF that is written row by row.

    Args:
        shape: What is to be written.
        options: The user's; they count only if this GeoTIFF is the last form.
        compression: Of the input.
        icc: Colour profile to embed.

    Raises:
        UsageError: If an option is of no use here.
    """
    if options.format != "tif" or options.cog:
        # soon thrown away: quick to write, and in strips where it is read line by line
        wanted = {"COMPRESS": "DEFLATE", "ZLEVEL": "1"}
        if options.format != "tif":
            wanted |= {"TILED": "NO", "BLOCKYSIZE": "32"}
    else:
        wanted = _checked(options.creation)
    kind = wanted.get("COMPRESS", _lossless(compression)).upper()
    rgb = "RGB" if shape.rgb else "MINISWHITE" if shape.inverted else "MINISBLACK"
    if kind == "JPEG" and shape.rgb and not shape.alpha and shape.dtype == "uint8":
        planar = wanted.get("INTERLEAVE", "").upper() == "BAND"
        rgb = "RGB" if planar else "YCBCR"  # colours at half the resolution: far smaller
    ours = {"COMPRESS": kind, "INTERLEAVE": "PIXEL", "PHOTOMETRIC": rgb, "BIGTIFF": "IF_SAFER"}
    if kind in _PREDICTED and "NBITS" not in wanted:
        ours["PREDICTOR"] = "3" if shape.dtype.startswith("float") else "2"
    if icc is not None:
        ours["SOURCE_ICC_PROFILE"] = _text(icc)
    return {**ours, **_blocks(shape, wanted), **wanted}


def copy_options(
    shape: OutputShape, options: OutputOptions, compression: str | None, icc: bytes | None
) -> dict[str, str]:
    """Options of the copy into the last form; none where the GeoTIFF is it.

    Args:
        shape: What is to be written.
        options: The user's.
        compression: Of the input.
        icc: Colour profile to embed.
    """
    wanted = _upper(options.creation)
    if options.format == "jpg":
        ours = {"QUALITY": "95"}
    elif options.format == "png":
        ours = {}
    elif options.cog:
        kind = wanted.get("COMPRESS", _lossless(compression)).upper()
        ours = {"COMPRESS": kind, "BIGTIFF": "IF_SAFER", "OVERVIEWS": "AUTO"}
        ours["NUM_THREADS"] = "ALL_CPUS"
        if "RESAMPLING" not in wanted:
            ours["OVERVIEW_RESAMPLING"] = "AVERAGE"
        if kind in _PREDICTED:
            ours["PREDICTOR"] = "YES"
        icc = None  # taken over from the GeoTIFF
    else:
        return {}
    if icc is not None:
        ours["SOURCE_ICC_PROFILE"] = _text(icc)
    return {**ours, **wanted}


def is_lossy(options: OutputOptions, dtype: str) -> bool:
    """Whether values may change on their way into the file.

    Args:
        options: What the user wants.
        dtype: Of the output.
    """
    wanted = _upper(options.creation)
    if options.format != "tif":
        return options.format == "jpg"
    kind = wanted.get("COMPRESS", "").upper()
    lossless = wanted.get("WEBP_LOSSLESS", "NO") if not options.cog else "NO"
    quality = wanted.get("QUALITY", "")
    rounded = _ROUNDING & {name for name, value in wanted.items() if not _is_zero(value)}
    rounded -= set() if kind.startswith("LERC") else {"MAX_Z_ERROR"}
    short = dtype.startswith("float") and "NBITS" in wanted
    return (
        kind == "JPEG"
        or (kind == "WEBP" and is_false(lossless) and quality != "100")
        or (kind == "JXL" and is_false(wanted.get("JXL_LOSSLESS", "YES")))
        or bool(rounded)
        or short
    )


def nbits_limit(options: OutputOptions, dtype: str) -> int | None:
    """The largest value that is kept where fewer bits than the dtype's are wanted; else None.

    Args:
        options: What the user wants.
        dtype: Of the output.
    """
    bits = _upper(options.creation).get("NBITS", "")
    if options.format != "tif" or not dtype.startswith("uint") or not bits.isdecimal():
        return None
    return 2 ** int(bits) - 1 if int(bits) < int(dtype.removeprefix("uint")) else None


def wants_overviews(options: OutputOptions) -> bool:
    """Whether smaller copies are to be built.

    Args:
        options: What the user wants.
    """
    if options.cog:
        return _upper(options.creation).get("OVERVIEWS", "AUTO").upper() != "NONE"
    return options.overviews


def is_false(value: str) -> bool:
    """Whether a creation option says no.

    Args:
        value: As GDAL reads it: ``"NO"``, ``"off"`` ...
    """
    return value.upper() in _NO


def _is_zero(value: str) -> bool:
    return set(value) <= set("0., ")  # DISCARD_LSB names a number for each band


def _checked(creation: Mapping[str, str]) -> dict[str, str]:
    wanted = _upper(creation)
    useless = sorted(_MEANINGLESS & set(wanted))
    if useless:
        raise UsageError(f"--co {useless[0]}={wanted[useless[0]]}: has no meaning here")
    if wanted.get("BIGTIFF", "YES").upper() not in _BIG:
        raise UsageError(f"--co BIGTIFF={wanted['BIGTIFF']}: take YES, NO or IF_SAFER")
    for name in ("BLOCKXSIZE", "BLOCKYSIZE"):
        value = wanted.get(name, "16")
        if not value.isdecimal() or not 1 <= int(value) <= 65_536:
            raise UsageError(f"--co {name}={value}: give a number of pixels, such as 512")
    return wanted


def _upper(creation: Mapping[str, str]) -> dict[str, str]:
    return {key.upper(): value for key, value in creation.items()}


def _lossless(compression: str | None) -> str:
    return compression if compression in _KEPT else "DEFLATE"


def _blocks(shape: OutputShape, wanted: Mapping[str, str]) -> dict[str, str]:
    """The size of blocks: tiles of 512, smaller where a row of them would not fit into memory."""
    row = shape.width * shape.bands * shape.itemsize
    if is_false(wanted.get("TILED", "YES")):
        height = _LARGEST_STRIP // row // _WHOLE_UNIT * _WHOLE_UNIT
        return {"TILED": "NO", "BLOCKYSIZE": str(max(height, _WHOLE_UNIT))}
    side = 512 if row * 512 <= _LARGEST_ROW else 256
    longest = -(-max(shape.height, shape.width) // _WHOLE_UNIT) * _WHOLE_UNIT
    text = str(min(side, longest))
    return {"TILED": "YES", "BLOCKXSIZE": text, "BLOCKYSIZE": text}


def _text(icc: bytes) -> str:
    import base64

    return base64.b64encode(icc).decode("ascii")
