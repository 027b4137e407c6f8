"""The blocks of a final GeoTIFF: the options that make them, and if a canvas can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping

_OFF = frozenset({"NO", "FALSE", "OFF", "0"})
"""How GDAL's options say no."""
PREDICTED = frozenset({"LZW", "DEFLATE", "ZSTD"})
"""Compressions that a PREDICTOR improves."""
_BLOCK_OPTIONS = frozenset({
    "ALPHA", "BLOCKXSIZE", "BLOCKYSIZE", "COMPRESS", "DISCARD_LSB", "INTERLEAVE",
    "JPEGTABLESMODE", "JPEG_QUALITY", "JXL_ALPHA_DISTANCE", "JXL_DISTANCE", "JXL_EFFORT",
    "JXL_LOSSLESS", "LZMA_PRESET", "MAX_Z_ERROR", "NBITS", "PHOTOMETRIC", "PREDICTOR",
    "SPARSE_OK", "TILED", "WEBP_LEVEL", "WEBP_LOSSLESS", "ZLEVEL", "ZSTD_LEVEL",
})  # fmt: skip
"""Creation options of a GeoTIFF on which its compressed blocks depend."""
_HEADER_OPTIONS = frozenset({
    "BIGTIFF", "COPY_SRC_MDD", "GEOTIFF_KEYS_FLAVOR", "GEOTIFF_VERSION", "NUM_THREADS",
    "PROFILE", "RPB", "RPCTXT", "TFW", "WORLDFILE",
})  # fmt: skip
"""Those on which they do not."""
_COG_BLOCK_OPTIONS = frozenset({
    "BLOCKSIZE", "COMPRESS", "LEVEL", "MAX_Z_ERROR", "NBITS", "PREDICTOR", "QUALITY",
    "SPARSE_OK",
})  # fmt: skip
_COG_HEADER_OPTIONS = frozenset({
    "BIGTIFF", "GEOTIFF_VERSION", "NUM_THREADS", "OVERVIEWS", "OVERVIEW_RESAMPLING",
    "RESAMPLING",
})  # fmt: skip
"""The same of a COG."""
_COMPRESSIONS = PREDICTED | {
    "NONE", "PACKBITS", "LZMA", "JPEG", "WEBP", "JXL", "LERC", "LERC_DEFLATE", "LERC_ZSTD",
}  # fmt: skip
"""Compressions whose blocks are the same whatever file they stand in."""
_LOSSLESS = PREDICTED | {"NONE", "PACKBITS", "LZMA"}
_LEVELS = {
    "DEFLATE": "ZLEVEL",
    "LERC_DEFLATE": "ZLEVEL",
    "ZSTD": "ZSTD_LEVEL",
    "LERC_ZSTD": "ZSTD_LEVEL",
    "LZMA": "LZMA_PRESET",
}
"""How a GeoTIFF names the LEVEL of a COG, by the compression."""
_PREDICTORS = {"STANDARD": "2", "FLOATING_POINT": "3"}
OVERVIEW_SIDE = 256
"""Longest side of the smallest overview, and of the blocks of all, but for a COG, where it
is that of its blocks."""
COG_BLOCK = "512"
RESAMPLINGS = frozenset({
    "nearest", "average", "bilinear", "cubic", "lanczos", "mode", "rms",
})  # fmt: skip
"""How overviews are made, as GDAL and rasterio name it alike."""
LARGEST_BLOCKS = 2**27
"""Bytes of a row of blocks of the final file, which is held in memory as a part."""


def is_on(options: Mapping[str, str], name: str, default: str) -> bool:
    """Tell if an option of GDAL's is on: all values but "no", "off" ... mean yes."""
    return options.get(name, default).upper() not in _OFF


def block_options(
    driver: str, creation: Mapping[str, str], photometric: str, predictor: int
) -> dict[str, str]:
    """Return the options by which GDAL's GTiff makes the blocks of a GeoTIFF or COG.

    ``predictor`` is the one that suits the type of the values.
    """
    if driver != "COG":
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
        "PHOTOMETRIC": photometric,
    }
    for name in ("MAX_Z_ERROR", "NBITS", "SPARSE_OK"):
        if name in creation:
            options[name] = creation[name]
    if "LEVEL" in creation and compression in _LEVELS:
        options[_LEVELS[compression]] = creation["LEVEL"]
    asked = creation.get("PREDICTOR", "NO").upper()
    if compression in PREDICTED and is_on(creation, "PREDICTOR", "NO"):
        options["PREDICTOR"] = _PREDICTORS.get(asked, str(predictor))
    quality = creation.get("QUALITY", "75")
    if compression == "JPEG":
        options["JPEG_QUALITY"] = quality
        if photometric == "RGB":
            options["PHOTOMETRIC"] = "YCBCR"
    if compression == "WEBP":
        options["WEBP_LEVEL"] = quality
    return options


def why_copied(
    driver: str, creation: Mapping[str, str], blocks: Mapping[str, str], row_bytes: int
) -> str:
    """Say why GDAL has to copy the parts of an output; nothing where their blocks are kept.

    ``blocks`` are the ``block_options``, ``row_bytes`` those of a row of pixels.
    """
    known = _BLOCK_OPTIONS | _HEADER_OPTIONS
    if driver == "COG":
        known = _COG_BLOCK_OPTIONS | _COG_HEADER_OPTIONS
    elif driver != "GTiff":
        return f"{driver} is written as a whole"
    for name in creation:
        if name not in known:
            return f"--co {name} may change how its blocks are laid out"
    if not is_on(blocks, "TILED", "NO"):
        return "its blocks are strips"
    if blocks.get("COMPRESS", "NONE").upper() not in _COMPRESSIONS:
        return f"blocks of COMPRESS={blocks['COMPRESS']} may depend on their file"
    if int(blocks["BLOCKYSIZE"]) * row_bytes > LARGEST_BLOCKS:
        return "a row of its blocks takes too much memory"
    return ""


def overview_side(driver: str, creation: Mapping[str, str]) -> int:
    """Return the length of blocks of overviews, and of the smallest overview at most."""
    if driver != "COG":
        return OVERVIEW_SIDE
    return int(creation.get("BLOCKSIZE", COG_BLOCK))


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
