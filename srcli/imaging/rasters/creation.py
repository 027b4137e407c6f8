"""Choose GDAL's creation options of an output, and if a canvas can hold the blocks they make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from srcli.errors import UsageError
from srcli.imaging.files.formats import FORMATS
from srcli.imaging.rasters.names import NAMES, TABLES
from srcli.imaging.rasters.profile import (
    COG_BLOCK,
    OVERVIEW_SIDE,
    OutputOptions,
    OutputProfile,
    is_on,
)

PREDICTED = frozenset({"LZW", "DEFLATE", "ZSTD"})
"""Compressions that a PREDICTOR improves."""
_BLOCK_OPTIONS = NAMES["block_options"]
"""Creation options of a GeoTIFF on which its compressed blocks depend."""
_COMPRESSIONS = PREDICTED | NAMES["further_compressions"]
"""Compressions whose blocks are the same whatever file they stand in."""
_LOSSLESS = PREDICTED | {"NONE", "PACKBITS", "LZMA"}
_LEVELS: dict[str, str] = TABLES["levels"]
"""How a GeoTIFF names the LEVEL of a COG, by the compression."""
_PREDICTORS = {"STANDARD": "2", "FLOATING_POINT": "3"}
LARGEST_BLOCKS = 2**27
"""Bytes of a row of blocks of the final file, which is held in memory as a part."""

_LARGEST_ROW = 2**26
"""Bytes of a row of blocks, which is held in memory; beyond, smaller blocks are
taken."""
_WORKING_BYTES = 2**26
"""Of a row of blocks of a canvas that is copied, whose blocks are lower where it is wide."""
_WORKING_BLOCK = (256, 512)
"""Most height and width of its blocks."""
_OF_ANY_BITS = PREDICTED | NAMES["compressions_of_any_bits"]
"""Compressions of values of any number of bits (NBITS)."""


def creation_options(
    out: OutputProfile, options: OutputOptions, tags: Mapping[str, str] | None = None
) -> Mapping[str, str]:
    """Return GDAL's creation options: those of the user, and defaults for the others.

    ``tags`` are those of the input, of which map tiles keep some.
    """
    asked = options.creation
    # GDAL crashes on others
    for name in ("BLOCKXSIZE", "BLOCKYSIZE", "BLOCKSIZE"):
        if name in asked and (not asked[name].isdecimal() or int(asked[name]) == 0):
            raise UsageError(
                f"--co {name}={asked[name]}: give a number of pixels, such as 512"
            )
    compression = asked.get("COMPRESS", "").upper()
    if (
        compression.startswith("LERC")
        and "NBITS" in asked
        and out.dtype.startswith("float")
    ):
        raise UsageError(
            f"--co NBITS={asked['NBITS']}: {compression} holds floats as they are; --co "
            "MAX_Z_ERROR=... makes them smaller"
        )
    quality = str(options.quality or FORMATS["jpg"].default_quality)
    match out.driver:
        case "JPEG":
            defaults = {"QUALITY": quality}
        case "PNG":  # tags inside the file as well, where they are not lost
            defaults = {"WRITE_METADATA_AS_TEXT": "YES"}
            if out.bits in (1, 2, 4):
                defaults["NBITS"] = str(out.bits)
        case "MBTiles":
            is_jpeg = (tags or {}).get("format", "").lower() in ("jpg", "jpeg")
            is_jpeg |= options.quality is not None
            defaults = {"TILE_FORMAT": "JPEG" if is_jpeg else "PNG", "QUALITY": quality}
        case _:
            defaults = _tiff_options(out, options, quality)
    return {**defaults, **asked}


def _tiff_options(
    out: OutputProfile, options: OutputOptions, quality: str
) -> dict[str, str]:
    """Return the default creation options of a GeoTIFF or COG with the user's compression."""
    asked = options.creation
    compression = asked.get("COMPRESS", "DEFLATE").upper()
    defaults = {
        "COMPRESS": compression,
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
    }
    if out.bits is not None and compression in _OF_ANY_BITS:
        defaults["NBITS"] = str(out.bits)
    has_all_bits = "NBITS" not in defaults and "NBITS" not in asked
    is_predicted = compression in PREDICTED and has_all_bits
    if out.driver == "COG":
        if options.overviews is False:
            defaults["OVERVIEWS"] = "NONE"
        if "RESAMPLING" not in asked:
            defaults["OVERVIEW_RESAMPLING"] = "NEAREST" if out.classes else "AVERAGE"
        if compression == "JPEG":
            defaults["QUALITY"] = quality
        if is_predicted and out.dtype != "float16":
            defaults["PREDICTOR"] = "YES"
        return defaults
    if is_predicted:
        defaults["PREDICTOR"] = str(out.predictor)
    defaults["INTERLEAVE"] = "PIXEL"
    defaults["PHOTOMETRIC"] = out.photometric
    if compression == "JPEG":
        defaults["JPEG_QUALITY"] = quality
        is_planar = asked.get("INTERLEAVE", "").upper() == "BAND"
        is_rgb = defaults["PHOTOMETRIC"] == "RGB" and len(out.bands) == 3
        if is_rgb and out.dtype == "uint8" and not is_planar:
            # chroma at half the resolution: much smaller
            defaults["PHOTOMETRIC"] = "YCBCR"
    if is_on(asked, "TILED", "YES"):
        side = 512 if out.row_bytes * 512 <= _LARGEST_ROW else 256
        if out.row_bytes * side > LARGEST_BLOCKS:  # else parts could not hold them
            side = 128
        text = str(min(side, _whole(max(out.height, out.width))))
        defaults |= {"TILED": "YES", "BLOCKXSIZE": text, "BLOCKYSIZE": text}
    return defaults


def copied_by_gdal(out: OutputProfile, reason: str) -> OutputProfile:
    """Return the output whose canvas is compressed quickly and without loss, to be copied."""
    high, wide = _WORKING_BLOCK
    high = min(high, _WORKING_BYTES // out.row_bytes // 16 * 16, _whole(out.height))
    blocks = {
        **TABLES["working_blocks"],
        "BLOCKXSIZE": str(min(wide, _whole(out.width))),
        "BLOCKYSIZE": str(max(high, 16)),
        "PREDICTOR": str(out.predictor),
        "PHOTOMETRIC": out.photometric,
    }
    overviews = () if out.driver == "COG" else out.overviews
    return replace(out, blocks=blocks, why_copied=reason, overviews=overviews)


def _whole(length: int) -> int:
    """Return a length as a multiple of 16, as those of blocks are."""
    return -(-length // 16) * 16


def with_blocks(out: OutputProfile) -> OutputProfile:
    """Return an output with the form of the canvas, which tells if that of the file is another."""
    blocks = _block_options(out)
    reason = _why_copied(out, blocks)
    if reason:
        return copied_by_gdal(out, reason)
    return replace(out, blocks=blocks, why_copied="")


def _block_options(out: OutputProfile) -> dict[str, str]:
    """Return the options by which GDAL's GTiff makes the blocks of a GeoTIFF or COG."""
    creation = out.creation
    if out.driver != "COG":
        return {
            name: value for name, value in creation.items() if name in _BLOCK_OPTIONS
        }
    compression = creation["COMPRESS"].upper()
    side = creation.get("BLOCKSIZE", COG_BLOCK)
    options = {
        "TILED": "YES",
        "BLOCKXSIZE": side,
        "BLOCKYSIZE": side,
        "COMPRESS": compression,
        "INTERLEAVE": "PIXEL",
        "PHOTOMETRIC": out.photometric,
    }
    for name in ("MAX_Z_ERROR", "NBITS", "SPARSE_OK"):
        if name in creation:
            options[name] = creation[name]
    if "LEVEL" in creation and compression in _LEVELS:
        options[_LEVELS[compression]] = creation["LEVEL"]
    asked = creation.get("PREDICTOR", "NO").upper()
    if compression in PREDICTED and is_on(creation, "PREDICTOR", "NO"):
        options["PREDICTOR"] = _PREDICTORS.get(asked, str(out.predictor))
    quality = creation.get("QUALITY", "75")
    if compression == "JPEG":
        options["JPEG_QUALITY"] = quality
        if out.photometric == "RGB":
            options["PHOTOMETRIC"] = "YCBCR"
    if compression == "WEBP":
        options["WEBP_LEVEL"] = quality
    return options


def _why_copied(out: OutputProfile, blocks: Mapping[str, str]) -> str:
    """Say why GDAL has to copy a canvas of such blocks; nothing where it is the output."""
    known = _BLOCK_OPTIONS | NAMES["header_options"]
    if out.driver == "COG":
        known = NAMES["cog_block_options"] | NAMES["cog_header_options"]
    elif out.driver != "GTiff":
        return f"{out.driver} is written as a whole"
    for name in out.creation:
        if name not in known:
            return f"--co {name} may change how its blocks are laid out"
    if not is_on(blocks, "TILED", "NO"):
        return "its blocks are strips"
    compression = blocks.get("COMPRESS", "NONE").upper()
    if compression not in _COMPRESSIONS:
        return f"blocks of COMPRESS={blocks['COMPRESS']} may depend on their file"
    if int(blocks["BLOCKYSIZE"]) * out.row_bytes > LARGEST_BLOCKS:
        return "a row of its blocks takes too much memory"
    return _why_cog_is_copied(out, compression) if out.driver == "COG" else ""


def _why_cog_is_copied(out: OutputProfile, compression: str) -> str:
    """Say why a canvas cannot hold the blocks of a COG, or its overviews; else nothing."""
    if out.alpha and compression == "JPEG":
        return "its alpha band becomes a mask"
    if compression == "JPEG" and out.photometric == "RGB" and len(out.bands) > 3:
        return "GDAL stores colours with further bands as they are"
    if compression == "WEBP" and out.creation.get("QUALITY") == "100":
        return "GDAL compresses its overviews with loss"
    if out.overviews and out.resampling not in NAMES["overview_resamplings"]:
        return f"its overviews are made by {out.resampling}"
    return ""


def is_lossy(options: OutputOptions, dtype: str) -> bool:
    """Tell if the compression may change values."""
    asked = options.creation
    if options.format == "mbtiles":
        is_exact = asked.get("TILE_FORMAT", "PNG").upper() == "PNG"
        return not is_exact or options.quality is not None
    if options.format != "tif":
        return options.format == "jpg"
    for name in ("DISCARD_LSB", "MAX_Z_ERROR"):
        if set(asked.get(name, "")) - set("0., "):  # DISCARD_LSB has one for each band
            return True
    match asked.get("COMPRESS", "").upper():
        case "JPEG":
            return True
        case "WEBP":
            is_lossless = not options.cog and is_on(asked, "WEBP_LOSSLESS", "NO")
            return not is_lossless and asked.get("QUALITY") != "100"
        case "JXL":
            return not is_on(asked, "JXL_LOSSLESS", "YES")
        case _:
            return dtype.startswith("float") and "NBITS" in asked


def overview_factors(
    height: int, width: int, side: int = OVERVIEW_SIDE
) -> tuple[int, ...]:
    """Return the factors of overviews, of which the smallest is at most ``side`` pixels long."""
    count = math.ceil(math.log2(max(height / side, width / side, 1)))
    return tuple(2**step for step in range(1, count + 1))


def highest_value(dtype: str, bits: str) -> int | None:
    """Return the highest value that GDAL stores in so many bits (NBITS); None if it cuts none."""
    most = {"uint8": 8, "uint16": 16, "uint32": 32}.get(dtype, 0)
    if not bits.isdecimal() or int(bits) >= most:
        return None
    # fewer bits are for a narrower type, and GDAL then takes the fewest of this one
    fewest = most // 2 + 1 if most > 8 else 1
    return (1 << max(int(bits), fewest)) - 1


def is_lossless(blocks: Mapping[str, str]) -> bool:
    """Tell if blocks of some options hold every value as it was, but for its NBITS."""
    compression = blocks.get("COMPRESS", "NONE").upper()
    return compression in _LOSSLESS and "DISCARD_LSB" not in blocks
