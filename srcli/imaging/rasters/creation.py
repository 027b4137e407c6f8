"""Choose GDAL's creation options of an output: those of the user, and defaults for the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from srcli.errors import UsageError
from srcli.imaging.files.formats import FORMATS
from srcli.imaging.rasters.block_form import LARGEST_BLOCKS, PREDICTED
from srcli.imaging.rasters.info import COLOURS
from srcli.imaging.rasters.profile import OutputOptions, OutputProfile

_LARGEST_ROW = 2**26
"""Bytes of a row of blocks, which is held in memory; beyond, smaller blocks are
taken."""
_WORKING_BYTES = 2**26
"""Of a row of blocks of a canvas that is copied, whose blocks are lower where it is wide."""
_WORKING_BLOCK = (256, 512)
"""Most height and width of its blocks."""
_OF_ANY_BITS = PREDICTED | {
    "NONE", "PACKBITS", "LZMA", "CCITTRLE", "CCITTFAX3", "CCITTFAX4",
}  # fmt: skip
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
        defaults["PREDICTOR"] = str(predictor_of(out.dtype))
    defaults["INTERLEAVE"] = "PIXEL"
    defaults["PHOTOMETRIC"] = photometric_of(out)
    if compression == "JPEG":
        defaults["JPEG_QUALITY"] = quality
        is_planar = asked.get("INTERLEAVE", "").upper() == "BAND"
        is_rgb = defaults["PHOTOMETRIC"] == "RGB" and len(out.bands) == 3
        if is_rgb and out.dtype == "uint8" and not is_planar:
            # chroma at half the resolution: much smaller
            defaults["PHOTOMETRIC"] = "YCBCR"
    if options.is_on("TILED", "YES"):
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
        "TILED": "YES",
        "BLOCKXSIZE": str(min(wide, _whole(out.width))),
        "BLOCKYSIZE": str(max(high, 16)),
        "COMPRESS": "ZSTD",
        "ZSTD_LEVEL": "1",
        "PREDICTOR": str(predictor_of(out.dtype)),
        "INTERLEAVE": "PIXEL",
        "PHOTOMETRIC": photometric_of(out),
        "SPARSE_OK": "TRUE",
    }
    overviews = () if out.driver == "COG" else out.overviews
    return replace(out, blocks=blocks, why_copied=reason, overviews=overviews)


def _whole(length: int) -> int:
    """Return a length as a multiple of 16, as those of blocks are."""
    return -(-length // 16) * 16


def predictor_of(dtype: str) -> int:
    """Return the PREDICTOR of TIFFs that suits a dtype; 1 for none, as of half floats."""
    if dtype == "float16":
        return 1
    return 3 if dtype.startswith("float") else 2


def photometric_of(out: OutputProfile) -> str:
    """Return what the bands of a TIFF mean, as its tag and GDAL's option name it."""
    if tuple(band.interpretation for band in out.stored_bands[:3]) == COLOURS:
        return "RGB"
    if out.palette:
        return "PALETTE"
    if out.white_is_zero:
        return "MINISWHITE"
    return "MINISBLACK"


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
            is_lossless = not options.cog and options.is_on("WEBP_LOSSLESS", "NO")
            return not is_lossless and asked.get("QUALITY") != "100"
        case "JXL":
            return not options.is_on("JXL_LOSSLESS", "YES")
        case _:
            return dtype.startswith("float") and "NBITS" in asked
