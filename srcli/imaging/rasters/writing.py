"""Write a raster row by row so that an interrupted or killed run can be continued."""

from __future__ import annotations

import errno
import os
import time
import zlib
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.rasters import container
from srcli.imaging.rasters.blocks import BlockEncoder, BlockGrid, BlockTable, make_block_grid
from srcli.imaging.rasters.disk import open_exclusive, part_path, sync, writing_errors
from srcli.imaging.rasters.finishing import FinishJob, finish_file
from srcli.imaging.rasters.journal import Chunk
from srcli.imaging.rasters.resuming import ResumePoint, find_resume_point, remove_partial_files
from srcli.imaging.rasters.template import TiffTemplate, make_template

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.imaging.rasters.output import OutputProfile

    Array = NDArray[Any]

_MOST_THREADS = 8
# Waiting for the disk is slow; losing a second of work does not matter.
_SECONDS_BETWEEN_SYNCS = 1.0
_OPAQUE_FLOAT = 1.0


class RasterWriter:
    """Writer of one output raster, through a hidden file and its journal beside it.

    Only one row of blocks is in memory.

    Attributes:
        first_row: First output row that is missing; 0 for a new file.
        notes: Messages for the user on earlier work that is not used.
    """

    def __init__(
        self,
        target: Path,
        output: OutputProfile,
        stream: IO[bytes],
        template: TiffTemplate,
        grid: BlockGrid,
        resume_point: ResumePoint,
    ) -> None:
        self.first_row = min(len(resume_point.chunks) * grid.chunk_height, output.height)
        self.notes = resume_point.notes
        self._target = target
        self._output = output
        self._stream = stream
        self._template = template
        self._grid = grid
        self._resume_point = resume_point
        self._encoder = BlockEncoder(output, template, grid, compression_threads(output))
        self._next_row = self.first_row
        self._noted = len(resume_point.chunks)
        self._synced_at = time.monotonic()
        self._failed = False
        shape = (min(grid.chunk_height, grid.height), grid.width)
        self._rows: Array = np.empty((*shape, len(output.bands)), dtype=output.dtype)
        self._valid = np.empty(shape, dtype=bool) if output.mask else None

    @classmethod
    def begin(
        cls,
        target: Path,
        output: OutputProfile,
        fingerprint: Mapping[str, object],
        *,
        resume: bool = True,
    ) -> RasterWriter:
        """Start an output, or continue that of an interrupted run.

        Args:
            target: The final name. The folder must exist; an existing file is replaced once the
                new one is complete.
            output: What the file is to hold.
            fingerprint: Everything that the pixels depend on (input, model, options): plain values
                by names for messages. Earlier work with another one is not continued.
            resume: Continue earlier work if there is any.

        Raises:
            UsageError: If GDAL does not know a creation option.
            PictureError: If it cannot be written here, or another process is writing it.
        """
        with writing_errors(target):
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder has this name")
            template = make_template(target, output)
            grid = make_block_grid(output, template)
            stream = open_exclusive(part_path(target), target)
            try:
                resume_point = find_resume_point(
                    target, stream, template, grid, fingerprint, resume=resume
                )
                return cls(target, output, stream, template, grid, resume_point)
            except BaseException:
                stream.close()
                raise

    def write(
        self,
        top: int,
        pixels: Array,
        *,
        alpha: Array | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        """Write finished rows, from top to bottom, skipping those that are in the file already.

        Args:
            top: Output row of the first one.
            pixels: (h, W, C) of the output's dtype.
            alpha: (h, W) of the same dtype; opaque if None and the output has alpha.
            mask: (h, W), True where valid; all valid if None. Becomes alpha if the output has
                alpha but no mask, and none is given.

        Raises:
            PictureError: If the disk fails; finished rows are kept.
            ValueError: If rows are missing before them.
        """
        if top > self._next_row:
            raise ValueError(f"row {self._next_row} is next, not {top}")
        done = self._next_row - top
        while done < len(pixels):
            chunk, begin = divmod(self._next_row, self._grid.chunk_height)
            rows = self._grid.rows_of(chunk)
            taken = min(rows - begin, len(pixels) - done)
            held, given = slice(begin, begin + taken), slice(done, done + taken)
            channels = self._output.channels
            self._rows[held, :, :channels] = pixels[given]
            if self._output.alpha:
                self._rows[held, :, channels] = self._alpha(alpha, mask, given)
            if self._valid is not None:
                self._valid[held] = True if mask is None else mask[given]
            done += taken
            self._next_row += taken
            if begin + taken == rows:
                self._write_chunk(chunk, rows)

    def finish(self) -> None:
        """Complete the file and give it its final name.

        After an interruption in here, ``begin`` and ``finish`` continue.

        Raises:
            PictureError: If the disk fails; finished rows are kept.
            ValueError: If rows are missing.
        """
        if self._failed or self._next_row < self._output.height:
            raise ValueError(f"row {self._next_row} of {self._output.height} is missing")
        try:
            with writing_errors(self._target):
                if not self._resume_point.in_place:
                    self._sync()
                    finish_file(self._finishing(), self._resume_point.journal)
                self._close()
                remove_partial_files(self._target)
        finally:
            self._close()

    def suspend(self) -> None:
        """Stop, and keep finished chunks for a later ``begin``; never fails."""
        try:
            if not self._resume_point.chunks and not self._resume_point.in_place:
                with suppress(OSError):
                    remove_partial_files(self._target)
            # an unfinished chunk lies behind the recorded ones, and is cut off by the next run
            if not self._stream.closed:
                with suppress(PictureError), writing_errors(self._target):
                    self._sync()
        finally:
            self._close()

    def discard(self) -> None:
        """Stop, and remove all temporary files.

        Raises:
            PictureError: If they cannot be removed.
        """
        self._close()
        with writing_errors(self._target):
            remove_partial_files(self._target)

    def _alpha(self, alpha: Array | None, mask: Array | None, given: slice) -> Array | float:
        if alpha is not None:
            return alpha[given]
        dtype = self._rows.dtype
        opaque = _OPAQUE_FLOAT if dtype.kind == "f" else np.iinfo(dtype).max
        return opaque if mask is None else np.where(mask[given], opaque, 0)

    def _write_chunk(self, number: int, rows: int) -> None:
        """Compress a complete chunk and append it to the file."""
        valid = None if self._valid is None else self._valid[:rows]
        tables = [_empty(shape) for shape in self._grid.shapes(number)]
        checksum = 0
        try:
            with writing_errors(self._target):
                for part in self._encoder.encode(self._rows[:rows], valid):
                    at = self._stream.tell()
                    self._stream.write(part.data)
                    checksum = zlib.crc32(part.data, checksum)
                    for table, one in zip(tables, part.tables, strict=True):
                        columns = slice(part.column, part.column + one.sizes.shape[2])
                        table.sizes[:, :, columns] = one.sizes
                        table.offsets[:, :, columns] = np.where(one.sizes, one.offsets + at, 0)
                end = self._stream.tell()
                self._check_size(end)
                chunk = Chunk(end=end, checksum=checksum, tables=tables)
                self._resume_point.chunks.append(chunk)
                if time.monotonic() - self._synced_at >= _SECONDS_BETWEEN_SYNCS:
                    self._sync()
        except BaseException:
            self._failed = True
            raise

    def _check_size(self, end: int) -> None:
        option = self._output.creation.get("BIGTIFF", "")
        if option.upper() == "NO" and end > container.LARGEST_CLASSIC:
            raise PictureError(
                f"{self._target}: does not fit into a TIFF of 4 GiB; drop --co BIGTIFF=NO"
            )

    def _sync(self) -> None:
        """Flush the blocks, then the journal that lists them."""
        sync(self._stream)
        chunks = self._resume_point.chunks
        for number in range(self._noted, len(chunks)):
            self._resume_point.journal.add(number, chunks[number])
        self._resume_point.journal.sync()
        self._noted = len(chunks)
        self._synced_at = time.monotonic()

    def _finishing(self) -> FinishJob:
        chunks = self._resume_point.chunks
        tables = [
            BlockTable(
                offsets=np.concatenate([chunk.tables[place].offsets for chunk in chunks], axis=1),
                sizes=np.concatenate([chunk.tables[place].sizes for chunk in chunks], axis=1),
            )
            for place in range(len(self._grid.planes))
        ]
        return FinishJob(
            target=self._target,
            output=self._output,
            template=self._template,
            grid=self._grid,
            stream=self._stream,
            end=self._resume_point.end,
            tables=tables,
        )

    def _close(self) -> None:
        self._encoder.close()
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._resume_point.journal.close()


def _empty(shape: tuple[int, int, int]) -> BlockTable:
    return BlockTable(
        offsets=np.zeros(shape, dtype=np.int64), sizes=np.zeros(shape, dtype=np.int64)
    )


def compression_threads(output: OutputProfile) -> int:
    """Return the number of threads that compress blocks: --co NUM_THREADS, else at most 8."""
    wanted = output.creation.get("NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return min(os.cpu_count() or 1, _MOST_THREADS)
