"""Enlarged pictures as rows in files beside an output, whose finished parts a next run keeps.

The rows of a picture lie in one file, from which they are encoded as an array would be.
A part of it, some rows of the full width, is finished once a mark says so, a small file
with the checksum of these rows.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import DTypeLike

from srcli.imaging.files.stored_parts import StoredParts, open_own, writing_errors
from srcli.imaging.pixels.arrays import Array, release, reserve
from srcli.input_files import checksum

_PICTURE = "picture-"
_LEAST_ROWS = 128
_LEAST_PIXELS = 2**18
"""Pixels of a part; fewer would be computed in a moment, and their marks take as long."""


@dataclass(frozen=True)
class StoredRows(StoredParts):
    """The rows of all pictures that an output is made of: its pages, and steps on the way."""

    ending: ClassVar[str] = ".mark"

    @property
    def stored_bytes(self) -> int:
        """Bytes on the disk that earlier runs have taken for pictures."""
        files = self.folder.glob(_PICTURE + "*")
        return sum(file.stat().st_size for file in files)

    def is_content(self, file: Path) -> bool:
        """Tell if a file holds the rows to which the marks belong."""
        return file.name.startswith(_PICTURE)


@dataclass
class PictureRows:
    """One picture, (H, W, C), of which finished parts are kept."""

    stored: StoredRows
    number: int
    """Of the picture, from 0, in the order in which an output needs them."""
    first_part: int
    """Number of its first part; those of the pictures before it are lower."""
    shape: tuple[int, int, int]
    dtype: DTypeLike
    unit_rows: int = 1
    """Parts hold multiples of so many rows, such as those of a frame."""
    array: Array = field(init=False)
    """Its pixels, in a file on the disk."""

    def __post_init__(self) -> None:
        """Open the file, and take its room on the disk."""
        path = self.stored.folder / f"{_PICTURE}{self.number:03}"
        size = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        with writing_errors(self.stored.target), open_own(path) as stream:
            if path.stat().st_size != size:
                stream.truncate(size)
            reserve(stream, size)
            memory = mmap.mmap(stream.fileno(), size)
        self.array = np.ndarray(self.shape, self.dtype, buffer=memory)

    @property
    def rows_of_part(self) -> int:
        """Rows of a part; the last one may have fewer."""
        _, width, _ = self.shape
        least = max(_LEAST_ROWS, -(-_LEAST_PIXELS // width))
        return -(-least // self.unit_rows) * self.unit_rows

    @property
    def part_count(self) -> int:
        """Number of parts."""
        return -(-self.shape[0] // self.rows_of_part)

    def missing(self) -> list[range]:
        """Return the runs of rows that no earlier run has finished.

        Rows that differ from what their mark says, as after a power cut, are missing.
        """
        marks = self.stored.found()
        runs: list[range] = []
        for part in range(self.part_count):
            rows = self._rows_of(part)
            mark = marks.get(self.first_part + part)
            if mark is not None and mark.read_bytes() == self._content_of_mark(rows):
                continue
            if runs and runs[-1].stop == rows.start:
                rows = range(runs.pop().start, rows.stop)
            runs.append(rows)
        return runs

    def write(self, run: range, top: int, rows: Array) -> None:
        """Write rows (h, W, C) from row ``top`` down, those outside the run left out.

        Rows come in order; a part gets its mark with its last row.
        """
        start = max(top, run.start)
        stop = min(top + len(rows), run.stop)
        if start >= stop:
            return
        self.array[start:stop] = rows[start - top : stop - top]
        height, *_ = self.shape
        for part in range(start // self.rows_of_part, -(-stop // self.rows_of_part)):
            part_rows = self._rows_of(part)
            if stop >= min(part_rows.stop, height):
                self._mark(part, part_rows)
        release(self.array)

    def _rows_of(self, part: int) -> range:
        start = part * self.rows_of_part
        return range(start, min(start + self.rows_of_part, self.shape[0]))

    def _mark(self, part: int, rows: range) -> None:
        """Say on the disk that a part is finished."""
        with writing_errors(self.stored.target):
            mark = self._content_of_mark(rows)
            self.stored.add(self.first_part + part, mark)

    def _content_of_mark(self, rows: range) -> bytes:
        """Return what the mark of some rows holds, if they are as they are now."""
        values = self.array[rows.start : rows.stop]
        content = checksum(values.data.cast("B"))
        release(self.array)
        return content.encode()
