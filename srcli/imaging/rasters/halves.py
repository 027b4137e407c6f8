"""Overviews of half the size, averaged from rows as they pass, and stored with each part.

A part of a file with overviews is a TIFF of its blocks, and behind it another part, of
the overview of half the size: its final blocks too, where rows of a part are whole blocks
of it, or else a TIFF without loss, from which all further overviews are made at the end.
Rows are averaged by GDAL, a few at a time: the values are those of overviews that it
builds from the whole file, as long as the file has an even number of rows; floats
beside pixels without data may differ in the last bit.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.pixels.arrays import Array, Bools
from srcli.imaging.pixels.resize import white_level
from srcli.imaging.rasters.block_form import highest_value, is_lossless
from srcli.imaging.rasters.profile import OutputProfile
from srcli.imaging.rasters.vrt import MosaicFile

_STRIP_ROWS = 64
_TOLERANCE = 1e-8
"""Of a pixel, that GDAL does not see."""
_LENGTH_BYTES = 8
"""At the end of a part that holds another one: the length of its own TIFF."""
_MOST_BYTES = 2**26
"""Of the rows that are whole blocks of an overview, if parts hold these: 1,024 of a COG."""

_MOST_BLOCKS = 2
"""Blocks, of the file or of an overview, that parts may have more of one above the other
if they hold both."""


def choose_levels(output: OutputProfile) -> tuple[int, int]:
    """Return how many overviews each part holds, and how many of them as final blocks.

    The others are made of the last one at the end.
    """
    if not (output.keeps_blocks and output.wants_halves and output.can_be_halved):
        return 0, 0
    high = int(output.blocks["BLOCKYSIZE"])
    overview_rows = 2 * output.overview_block
    whole_rows = math.lcm(high, overview_rows)
    # heights such as 240 would make parts of thousands of rows
    if whole_rows > _MOST_BLOCKS * max(high, overview_rows):
        return 1, 0
    if whole_rows > high and whole_rows * output.row_bytes > _MOST_BYTES:
        return 1, 0
    half = _half_of_size(output)
    if half.wants_halves:
        # GDAL makes deeper overviews of a GeoTIFF from what a reader sees, and all of a
        # COG without loss
        is_cog = output.driver == "COG"
        is_exact = is_cog or is_lossless(output.blocks)
        if half.can_be_halved and is_exact and _halves_twice(output):
            return 2, 1
        if is_cog:  # whose blocks GDAL would have to encode again to make them
            return 1, 0
    return 1, 1


def _halves_twice(output: OutputProfile) -> bool:
    """Tell if halves of halves are the values that GDAL gives its second overview."""
    # of classes it takes pixels of the first one, which are others at odd sides
    if output.classes:
        return False
    # and its averages of floats beside pixels without data differ in the last bit
    has_blanks = output.nodata is not None or output.mask or output.alpha
    return not (output.dtype.startswith("float") and has_blanks)


def half_of(output: OutputProfile) -> OutputProfile:
    """Return the profile of the overview of half the size, as its rows are stored in parts."""
    half = _half_of_size(output)
    if not output.encoded_levels:
        return half.copied_by_gdal("overviews are made of it")
    return replace(
        half,
        levels_in_parts=output.levels_in_parts - 1,
        encoded_levels=output.encoded_levels - 1,
    )


def _half_of_size(output: OutputProfile) -> OutputProfile:
    """Return the profile of the overview of half the size as a file of its own."""
    width = -(-output.width // 2)
    if output.driver == "COG":
        width = output.width // 2  # where GDAL rounds down
    bands = tuple(replace(band, tags={}) for band in output.bands)
    factors = [factor // 2 for factor in output.overviews[1:]]
    half = replace(
        output,
        height=output.height // 2,
        width=width,
        bands=bands,
        tags={},
        overviews=tuple(factors),
    )
    if output.driver == "COG":
        return half
    side = str(output.overview_block)
    blocks = {**output.blocks, "BLOCKXSIZE": side, "BLOCKYSIZE": side}
    creation = {
        **blocks,
        "BIGTIFF": output.creation.get("BIGTIFF", "IF_SAFER"),
        "NUM_THREADS": output.creation.get("NUM_THREADS", "ALL_CPUS"),
    }
    return replace(half, blocks=blocks, creation=creation)


def halve(rows: Array, opacity: Array, output: OutputProfile) -> tuple[Array, Array]:
    """Return the overview of rows (h, W, C), and of their alpha or mask; raises rasterio's errors.

    There is an even number of rows.
    """
    height, width = rows.shape[:2]
    smaller = half_of(output)
    opacity = np.broadcast_to(opacity, (height, width))
    if output.classes:
        columns = _nearest_columns(width, smaller.width)
        return rows[::2, columns], opacity[::2, columns]
    shape = (height // 2, smaller.width)
    half_rows = np.empty((*shape, output.channels), output.dtype)
    half_opacity = np.empty(shape, output.dtype)
    for top in range(0, height, _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        target = slice(top // 2, (top + _STRIP_ROWS) // 2)
        half_rows[target], half_opacity[target] = _average(
            _cut_to_bits(rows[strip], output), opacity[strip], output, smaller.width
        )
    return half_rows, half_opacity


def _nearest_columns(width: int, smaller_width: int) -> NDArray[np.intp]:
    """Return the columns that GDAL takes as the nearest ones of an overview."""
    positions = 0.5 + np.arange(smaller_width) * (width / smaller_width)
    return positions.astype(np.intp)


def _cut_to_bits(rows: Array, output: OutputProfile) -> Array:
    """Cut values as the file does whose overviews are averaged from what it holds."""
    highest = highest_value(output.dtype, output.blocks.get("NBITS", ""))
    if output.driver == "COG" or highest is None:
        return rows
    cut: Array = np.minimum(rows, rows.dtype.type(highest))
    return cut


def _average(
    rows: Array, opacity: Array, output: OutputProfile, width: int
) -> tuple[Array, Array]:
    """Return the overview of a few rows, of the given width; see ``halve``."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    count = output.channels + output.alpha
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": len(rows),
        "width": rows.shape[1],
        "count": count,
        "dtype": output.dtype,
        "nodata": output.nodata,
        "transform": Affine.scale(2.0, 3.0),  # rasterio warns of files without one
        "INTERLEAVE": "PIXEL",
        "PHOTOMETRIC": "MINISBLACK",  # else GDAL takes the last of four bytes for alpha
        "BLOCKYSIZE": len(rows),
    }
    bands = np.moveaxis(rows[:, :, : output.channels], 2, 0)
    if output.alpha:
        bands = np.concatenate([bands, opacity[None].astype(output.dtype)])
    size = (len(rows) // 2, width)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(bands)
            if output.mask or _counts_by_alpha(output):
                # alpha too is averaged where it is not 0
                dataset.write_mask(opacity != 0)
        with memory.open() as dataset:
            smaller = dataset.read(
                out_shape=(count, *size), resampling=Resampling.average
            )
    half_rows = np.moveaxis(smaller[: output.channels], 0, 2)
    if output.alpha:
        return half_rows, smaller[-1]
    if not output.mask:
        return half_rows, np.zeros(size, output.dtype)
    shown = _any_shown(opacity != 0, width)
    white = white_level(np.dtype(output.dtype))
    return half_rows, np.where(shown, white, 0).astype(output.dtype)


def _counts_by_alpha(output: OutputProfile) -> bool:
    """Tell if GDAL averages pixels by alpha: of gray and of RGB, where it is the last band."""
    count = len(output.bands)
    return output.alpha and count in (2, 4) and output.band_order[-1] == count - 1


def _any_shown(shown: Bools, width: int) -> Bools:
    """Mark pixels of an overview that see a valid one, however little of it."""
    # of an odd width a pixel sees three columns, else two
    pairs = shown[::2] | shown[1::2]
    ratio = pairs.shape[1] / width
    starts = np.floor(np.arange(width) * ratio + _TOLERANCE).astype(np.intp)
    stops = np.ceil((np.arange(width) + 1) * ratio - _TOLERANCE).astype(np.intp)
    ends = np.minimum(stops, pairs.shape[1]) - 1
    middles = np.minimum(starts + 1, ends)
    return np.asarray(pairs[:, starts] | pairs[:, middles] | pairs[:, ends])


def length_behind(blocks: memoryview) -> memoryview:
    """Return what stands behind the TIFFs of a part: the length of the first one."""
    return memoryview(len(blocks).to_bytes(_LENGTH_BYTES, "little"))


def find_half(file: MosaicFile) -> tuple[int, int]:
    """Return the first byte, and how many there are, of what a part holds behind its blocks."""
    with file.file.open("rb") as stream:
        end = file.start + (file.length or file.file.stat().st_size) - _LENGTH_BYTES
        stream.seek(end)
        start = file.start + int.from_bytes(stream.read(_LENGTH_BYTES), "little")
    return start, end - start
