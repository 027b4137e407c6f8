"""Write finished rows of a raster into its parts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.rasters.disk import writing_errors
from srcli.imaging.rasters.opening import BLOCK_CACHE
from srcli.imaging.rasters.parts import Parts, part_blocks, part_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.imaging.rasters.output import OutputProfile

    Array = NDArray[Any]

_MOST_THREADS = 8
_OPAQUE_FLOAT = 1.0


class PartWriter:
    """Writer of a run of consecutive parts; the rows of one part are in memory.

    Args:
        parts: All parts of the output.
        numbers: Those to write.
    """

    def __init__(self, parts: Parts, numbers: range) -> None:
        self._parts = parts
        self._output = output = parts.output
        self._numbers = numbers
        self._next_row = parts.span(numbers.start).start
        rows = len(parts.span(numbers.start))
        self._pixels: Array = np.empty((len(output.bands), rows, output.width), output.dtype)
        self._valid = np.empty((rows, output.width), np.bool_) if output.mask else None

    def write(
        self,
        top: int,
        pixels: Array,
        *,
        alpha: Array | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        """Write rows, from top to bottom; those outside the run are left out.

        Args:
            top: Output row of the first one.
            pixels: (h, W, C) of the output's dtype.
            alpha: (h, W) of the same dtype; opaque if None and the output has alpha.
            mask: (h, W), True where valid; all valid if None. Becomes alpha if the output has
                alpha but no mask, and none is given.

        Raises:
            PictureError: If the disk fails; complete parts are kept.
            ValueError: If rows are missing before them.
        """
        if top > self._next_row:
            raise ValueError(f"row {self._next_row} is next, not {top}")
        while self._numbers and self._next_row < top + len(pixels):
            part = self._parts.span(self._numbers.start)
            stop = min(part.stop, top + len(pixels))
            held = slice(self._next_row - part.start, stop - part.start)
            given = slice(self._next_row - top, stop - top)
            channels = self._output.channels
            self._pixels[:channels, held] = np.moveaxis(pixels[given], 2, 0)
            if self._output.alpha:
                self._pixels[channels, held] = self._alpha(alpha, mask, given)
            if self._valid is not None:
                self._valid[held] = True if mask is None else mask[given]
            if stop == part.stop:
                with writing_errors(self._parts.target):
                    self._write_part(len(part))
                self._numbers = self._numbers[1:]
            self._next_row = stop

    def finish(self) -> None:
        """Check that all parts are written.

        Raises:
            ValueError: If rows are missing.
        """
        if self._numbers:
            raise ValueError(f"row {self._next_row} of part {self._numbers.start} is missing")

    def _alpha(self, alpha: Array | None, mask: Array | None, given: slice) -> Array | float:
        if alpha is not None:
            return alpha[given]
        dtype = self._pixels.dtype
        opaque = _OPAQUE_FLOAT if dtype.kind == "f" else np.iinfo(dtype).max
        return opaque if mask is None else np.where(mask[given], opaque, 0)

    def _write_part(self, rows: int) -> None:
        import rasterio
        from rasterio.io import MemoryFile
        from rasterio.transform import Affine

        output = self._output
        block_height, block_width = part_blocks(output, rows)
        # in memory, because GDAL reports success on a full disk
        with (
            rasterio.Env(GDAL_CACHEMAX=BLOCK_CACHE, GDAL_TIFF_INTERNAL_MASK=True),
            MemoryFile() as memory,
        ):
            with memory.open(
                driver="GTiff",
                height=rows,
                width=output.width,
                count=len(output.bands),
                dtype=output.dtype,
                nodata=output.nodata,
                transform=Affine.scale(2.0, 3.0),  # rasterio warns of files without one
                COMPRESS="ZSTD",
                ZSTD_LEVEL=1,
                PREDICTOR=3 if output.dtype.startswith("float") else 2,
                INTERLEAVE="PIXEL",
                TILED=True,
                BLOCKXSIZE=block_width,
                BLOCKYSIZE=block_height,
                BIGTIFF="IF_SAFER",
                NUM_THREADS=compression_threads(output),
            ) as dataset:
                dataset.write(self._pixels[:, :rows])
                if self._valid is not None:
                    dataset.write_mask(self._valid[:rows])
            self._parts.add(self._numbers.start, memory.getbuffer())


def writer_memory(output: OutputProfile) -> int:
    """Estimate the most bytes that rows take until they are written."""
    row = output.width * (len(output.bands) * np.dtype(output.dtype).itemsize + output.mask)
    # the rows of a part, and the file made of them
    return min(part_rows(output), output.height) * row * 2


def compression_threads(output: OutputProfile) -> int:
    """Return the number of threads that compress blocks: --co NUM_THREADS, else at most 8."""
    wanted = output.creation.get("NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return min(os.cpu_count() or 1, _MOST_THREADS)
