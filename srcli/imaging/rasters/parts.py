"""Keep the finished rows of an unfinished raster as small GeoTIFFs in a hidden folder beside it.

A part is a band of rows of the full width. It takes its final name, which holds the checksum of
the file, once it is complete; so parts can be made in any order, twice, and by several processes.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srcli.files import NEW_FILE, FileAttributes, hidden_name, write_whole
from srcli.imaging.rasters.disk import writing_errors
from srcli.imaging.rasters.output import OutputProfile

_BLOCK_WIDTH, _BLOCK_HEIGHT = 512, 256
_LEAST_PIXELS = 1_000_000
"""Narrow rasters have higher parts, so that there are not too many files."""
_MOST_BYTES = 2**26
"""Wide rasters have lower parts, which are held in memory."""
_MULTIPLE = 16
"""Sides of the blocks of a TIFF are multiples of it."""
_NAME = re.compile(r"part-(\d{6})-([0-9a-f]{8})\.tif")
DONE = "done.json"
_READ_BYTES = 2**24
"""Bytes read at a time for a checksum."""


@dataclass(frozen=True)
class Parts:
    """The parts of one output, in a folder beside it."""

    target: Path
    """The final name of the output."""
    output: OutputProfile
    attributes: FileAttributes = NEW_FILE
    """Access rights and times of the output; its sidecars get the rights."""

    @property
    def folder(self) -> Path:
        """The folder that holds them; see ``parts_folder``."""
        return parts_folder(self.target)

    @property
    def rows(self) -> int:
        """Rows of a part; the last one may have fewer."""
        return part_rows(self.output)

    @property
    def count(self) -> int:
        """Number of parts."""
        return -(-self.output.height // self.rows)

    def span(self, number: int) -> range:
        """Return the output rows of a part, numbered from 0."""
        top = number * self.rows
        return range(top, min(top + self.rows, self.output.height))

    def found(self) -> dict[int, Path]:
        """Return the complete parts by number."""
        names = ((_NAME.fullmatch(file.name), file) for file in sorted(self.folder.iterdir()))
        return {int(match[1]): file for match, file in names if match}

    def missing(self) -> list[range]:
        """Return the runs of consecutive parts that are not there."""
        found = self.found()
        runs: list[range] = []
        for number in range(self.count):
            if number in found:
                continue
            if runs and runs[-1].stop == number:
                runs[-1] = range(runs[-1].start, number + 1)
            else:
                runs.append(range(number, number + 1))
        return runs

    def add(self, number: int, file: bytes | memoryview) -> None:
        """Store a part.

        Raises:
            OSError: If the disk fails.
        """
        write_whole(self.folder / f"part-{number:06}-{zlib.crc32(file):08x}.tif", file)

    def clear(self) -> None:
        """Remove all parts.

        Raises:
            PictureError: If they cannot be removed.
        """
        with writing_errors(self.target):
            for file in self.found().values():
                file.unlink()

    def drop_damaged(self) -> int:
        """Remove the parts that differ from what was written; returns how many there were.

        All are read again, which is much faster than computing them; nothing else would notice
        one that the disk has lost.
        """
        damaged = [
            file for file in self.found().values() if file.stem[-8:] != f"{_checksum(file):08x}"
        ]
        for file in damaged:
            file.unlink()
        return len(damaged)

    def note_done(self, file: Path) -> None:
        """Record that all that is left to do is to give the finished file its final name."""
        write_whole(self.folder / DONE, json.dumps(file_stamp(file)).encode())


def part_rows(output: OutputProfile) -> int:
    """Return the rows of a part: whole rows of blocks, not too few pixels nor too many bytes."""
    row = output.width * len(output.bands) * np.dtype(output.dtype).itemsize
    rows = max(min(_MOST_BYTES // row // _MULTIPLE * _MULTIPLE, _BLOCK_HEIGHT), _MULTIPLE)
    return rows * -(-_LEAST_PIXELS // (rows * output.width))


def part_blocks(output: OutputProfile, height: int) -> tuple[int, int]:
    """Return the (height, width) of the blocks of a part of some height."""
    return _block_side(height, _BLOCK_HEIGHT), _block_side(output.width, _BLOCK_WIDTH)


def _block_side(length: int, longest: int) -> int:
    return min(longest, -(-length // _MULTIPLE) * _MULTIPLE)


def parts_folder(target: Path) -> Path:
    """Return the folder of the parts of an output: hidden, except that of a VRT, which stays."""
    if target.suffix == ".vrt":
        return target.with_suffix(".parts")
    return hidden_name(target, ".parts")


def file_stamp(file: Path) -> dict[str, int]:
    """Size and modification time in nanoseconds, which identify a finished file."""
    found = file.stat()
    return {"size": found.st_size, "time": found.st_mtime_ns}


def _checksum(file: Path) -> int:
    found = 0
    with file.open("rb") as stream:
        while data := stream.read(_READ_BYTES):
            found = zlib.crc32(data, found)
    return found
