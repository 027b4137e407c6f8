"""Encode rows of an enlarged raster as a part: a TIFF of blocks as the canvas has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.pixels.arrays import Array
from srcli.imaging.rasters.profile import OutputProfile, is_on

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter

_MOST_THREADS = 16


@contextmanager
def encode_part(
    rows: Array, opacity: Array, output: OutputProfile
) -> Iterator[memoryview]:
    """Yield rows (h, W, C) as a TIFF; raises rasterio's errors.

    ``opacity``, (h, W) or one value, is its alpha or mask, where the output has one.
    """
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    height, width = rows.shape[:2]
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": len(output.bands),
        "dtype": output.dtype,
        "nodata": output.nodata,
        "transform": Affine.scale(2.0, 3.0),  # rasterio warns of files without one
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": min(os.cpu_count() or 1, _MOST_THREADS),
        **output.blocks,
    }
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        MemoryFile() as memory,  # because GDAL reports success on a full disk
    ):
        with memory.open(**profile) as dataset:
            _interpret(dataset, output)
            _write_pixels(dataset, rows, opacity, output)
        yield memory.getbuffer()


@contextmanager
def encode_blank(height: int, output: OutputProfile) -> Iterator[memoryview]:
    """Yield rows without data, as GDAL reads what is not there, as a TIFF."""
    value = 0 if output.nodata is None else output.nodata
    rows = np.full((height, output.width, output.channels), value, output.dtype)
    with encode_part(rows, np.zeros(1, output.dtype), output) as content:
        yield content


def _interpret(dataset: DatasetWriter, output: OutputProfile) -> None:
    """Say what the bands mean, on which some compressions depend."""
    from rasterio.enums import ColorInterp

    if not output.palette:
        names = [band.interpretation for band in output.stored_bands]
        dataset.colorinterp = [ColorInterp[name] for name in names]


def _write_pixels(
    dataset: DatasetWriter, rows: Array, opacity: Array, output: OutputProfile
) -> None:
    """Write the bands of a part by columns of blocks, so that no band is copied whole."""
    from rasterio.windows import Window

    height, width = rows.shape[:2]
    block_width = dataset.block_shapes[0][1]
    opacity = np.broadcast_to(opacity, (height, width))
    order = list(output.band_order)
    if output.mask:  # after the bands GDAL would print errors of threads that compress
        dataset.write_mask(opacity != 0)
    for column in range(0, width, block_width):
        columns = slice(column, column + block_width)
        pixels = rows[:, columns, : output.channels].astype(output.dtype, copy=False)
        piece = np.moveaxis(pixels, 2, 0)
        if output.alpha:
            cut = opacity[None, :, columns].astype(output.dtype, copy=False)
            piece = np.concatenate([piece, cut])
        if order != list(range(len(piece))):
            piece = piece[order]
        if not _is_left_out(piece, output):
            window = Window(column, 0, piece.shape[2], height)
            dataset.write(piece, window=window)


def _is_left_out(piece: Array, output: OutputProfile) -> bool:
    """Tell if a sparse canvas leaves out blocks of these values; floats without nodata stay."""
    blank = output.nodata
    if blank is None and output.dtype.startswith(("int", "uint")):
        blank = 0
    if blank is None or not is_on(output.blocks, "SPARSE_OK", "NO"):
        return False
    return bool(piece.flat[0] == blank) and bool((piece == blank).all())
