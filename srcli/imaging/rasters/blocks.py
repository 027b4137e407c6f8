"""Check that a TIFF file holds all of its blocks: GDAL may report success on a full disk."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.ifd import Entry, Layout, read_directory, read_start

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_STRIP_TAGS, _TILE_TAGS = (273, 279), (324, 325)
"""Tags of the blocks' offsets and sizes, in files of strips and of tiles."""
_DTYPES = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}


def has_all_blocks(path: Path, *, may_be_empty: bool = False) -> bool:
    """Tell if all blocks that the directories list lie within the file.

    Args:
        path: A TIFF file.
        may_be_empty: Blocks without valid pixels may be left out of it.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, found = _read_directories(data)
        except ValueError:  # truncated
            return False
        for entries in found:
            tags = {entry.tag: entry for entry in entries}
            places, lengths = _TILE_TAGS if _TILE_TAGS[0] in tags else _STRIP_TAGS
            if places not in tags or lengths not in tags:
                return False
            sizes = _integers(tags[lengths], layout)
            ends = _integers(tags[places], layout) + sizes
            if ends.max() > len(data) or (sizes.min() == 0 and not may_be_empty):
                return False
    return True


def _read_directories(data: mmap.mmap) -> tuple[Layout, list[list[Entry]]]:
    def read(at: int, length: int) -> bytes:
        return data[at : at + length]

    layout, at = read_start(read(0, 16))
    found = []
    while at:
        entries, at = read_directory(read, at, layout)
        found.append(entries)
    return layout, found


def _integers(entry: Entry, layout: Layout) -> NDArray[np.int64]:
    return np.frombuffer(entry.value, dtype=layout.order + _DTYPES[entry.kind]).astype(np.int64)
