"""Encode rows of an enlarged raster as the file of a part.

Where the final file is a GeoTIFF in tiles, the blocks of its parts are those of the file:
compressed once, while the network computes, and put together at the end. Else parts are
compressed quickly and without loss, and GDAL copies them into the final form.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.pixels.arrays import Array
from srcli.imaging.rasters.creation import predictor_of
from srcli.imaging.rasters.halves import half_of, halve, length_behind
from srcli.imaging.rasters.profile import OutputProfile

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter

_MOST_THREADS = 16
_WORKING_BLOCK = (256, 512)
"""Most height and width of a block of a part that is copied later."""


def stored_bands(output: OutputProfile) -> list[str]:
    """Return the bands of a part by GDAL's names, for each band of the file and its mask."""
    if output.blocks:
        names = [str(number) for number in range(1, len(output.bands) + 1)]
        mask = "mask,1"
    else:
        names = [str(position + 1) for position in output.band_order]
        mask = str(len(names) + 1)
    if output.mask:
        names.append(mask)
    return names


@contextmanager
def encode_part(
    rows: Array,
    opacity: Array,
    output: OutputProfile,
    columns: range | None = None,
) -> Iterator[list[memoryview]]:
    """Yield rows (h, W, C) as the file of a part, in pieces; raises rasterio's errors.

    ``opacity``, (h, W) or one value, is its alpha or mask, where the output has one.
    Blocks beside ``columns`` hold no data where the output ``leaves_blocks_out``,
    whatever stands in the rows; None are all columns.
    """
    if not output.has_halves:
        with _encode(rows, opacity, output, columns) as content:
            yield [content]
        return
    # the smaller ones first, as all are in memory from then on
    with (
        encode_part(*halve(rows, opacity, output), half_of(output)) as halves,
        _encode(rows, opacity, output) as content,
    ):
        yield [content, *halves, length_behind(content)]


@contextmanager
def _encode(
    rows: Array,
    opacity: Array,
    output: OutputProfile,
    columns: range | None = None,
) -> Iterator[memoryview]:
    """Yield rows (h, W, C) as a TIFF; see ``encode_part``."""
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    height, width = rows.shape[:2]
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "dtype": output.dtype,
        "nodata": output.nodata,
        "transform": Affine.scale(2.0, 3.0),  # rasterio warns of files without one
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": min(os.cpu_count() or 1, _MOST_THREADS),
    }
    if output.blocks:
        profile |= {"count": len(output.bands), **output.blocks}
    else:
        high, wide = _WORKING_BLOCK
        profile |= {
            "count": len(output.bands) + output.mask,
            "COMPRESS": "ZSTD",
            "ZSTD_LEVEL": 1,
            "PREDICTOR": predictor_of(output.dtype),
            "INTERLEAVE": "PIXEL",
            "TILED": True,
            "BLOCKXSIZE": min(wide, -(-width // 16) * 16),
            "BLOCKYSIZE": min(high, -(-height // 16) * 16),
        }
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        MemoryFile() as memory,  # because GDAL reports success on a full disk
    ):
        with memory.open(**profile) as dataset:
            if output.blocks:
                _interpret(dataset, output)
            _write_pixels(dataset, rows, opacity, output, columns)
        yield memory.getbuffer()


def _interpret(dataset: DatasetWriter, output: OutputProfile) -> None:
    """Say what the bands mean, on which some compressions depend."""
    from rasterio.enums import ColorInterp

    if not output.palette:
        names = [band.interpretation for band in output.stored_bands]
        dataset.colorinterp = [ColorInterp[name] for name in names]


def _write_pixels(
    dataset: DatasetWriter,
    rows: Array,
    opacity: Array,
    output: OutputProfile,
    shown: range | None,
) -> None:
    """Write the bands of a part by columns of blocks, so that no band is copied whole.

    For ``shown`` see ``encode_part``.
    """
    from rasterio.windows import Window

    height, width = rows.shape[:2]
    block_width = dataset.block_shapes[0][1]
    opacity = np.broadcast_to(opacity, (height, width))
    has_opacity = output.alpha or (output.mask and not output.blocks)
    order = list(range(dataset.count))
    if output.blocks:
        order = list(output.band_order)
    if shown is None or not output.leaves_blocks_out:
        shown = range(width)
    for column in range(0, width, block_width):
        if not shown.start < column + block_width or not column < shown.stop:
            continue
        columns = slice(column, column + block_width)
        pixels = rows[:, columns, : output.channels].astype(output.dtype, copy=False)
        piece = np.moveaxis(pixels, 2, 0)
        if has_opacity:
            cut = opacity[None, :, columns].astype(output.dtype, copy=False)
            piece = np.concatenate([piece, cut])
        if order != list(range(len(piece))):
            piece = piece[order]
        if not (output.blocks and _is_left_out(piece, output)):
            window = Window(column, 0, piece.shape[2], height)
            dataset.write(piece, window=window)
    if output.mask and output.blocks:
        dataset.write_mask(opacity != 0)


def _is_left_out(piece: Array, output: OutputProfile) -> bool:
    """Tell if a sparse file leaves out blocks of these values; floats without nodata stay."""
    blank = output.nodata
    if blank is None and output.dtype.startswith(("int", "uint")):
        blank = 0
    if not output.is_sparse or blank is None:
        return False
    return bool(piece.flat[0] == blank) and bool((piece == blank).all())
