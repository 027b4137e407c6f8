"""Write the header and directories of a TIFF file behind its blocks."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING

import numpy as np

from srcli.imaging.ifd import Entry, Layout, write_directory, write_start
from srcli.imaging.rasters.template import (
    HEIGHT,
    ROWS_PER_STRIP,
    STRIP_TAGS,
    TILE_HEIGHT,
    TILE_TAGS,
    TILE_WIDTH,
    WIDTH,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.imaging.rasters.blocks import BlockGrid, BlockTable
    from srcli.imaging.rasters.template import TiffTemplate

START = 16
"""Bytes before the first block: the header of a classic TIFF or a BigTIFF."""
LARGEST_CLASSIC = 2**32 - 2**26
"""Most bytes of blocks in a classic TIFF, with room for its directories."""

_LONG, _LONG8 = 4, 16
_ROOM_FOR_OVERVIEWS = 2


def write_placeholder(stream: IO[bytes]) -> None:
    """Reserve the header with zeros, so that no program takes the unfinished file for a TIFF."""
    stream.seek(0)
    stream.write(bytes(START))


def needs_bigtiff(option: str, end: int, *, overviews: bool) -> bool:
    """Tell if a file has to be a BigTIFF.

    Args:
        option: The creation option BIGTIFF.
        end: Bytes up to the end of the last block.
        overviews: Overviews will be added.
    """
    if option.upper() in ("YES", "NO"):
        return option.upper() == "YES"
    return end * (_ROOM_FOR_OVERVIEWS if overviews else 1) > LARGEST_CLASSIC


def write_directories(
    stream: IO[bytes],
    template: TiffTemplate,
    grid: BlockGrid,
    tables: Sequence[BlockTable],
    *,
    big: bool,
) -> None:
    """Write the directories behind the blocks, then the header; doing it twice is safe.

    Args:
        stream: The file; it ends with the last block.
        template: The directories.
        grid: The blocks.
        tables: For each directory, offsets and sizes of its blocks in the file.
        big: Make it a BigTIFF.
    """
    layout = Layout(template.order, big=big)
    at = stream.seek(0, 2)
    stream.write(bytes(-at % 8))
    at += -at % 8
    first = at
    packed: list[bytearray] = []
    for entries, table in zip(template.directories, tables, strict=True):
        whole = [*entries, *_structure(template, grid, table, layout)]
        if packed:
            _link(packed[-1], at, layout)
        packed.append(bytearray(write_directory(whole, at, layout)))
        packed[-1] += bytes(-len(packed[-1]) % 8)
        at += len(packed[-1])
    stream.write(b"".join(packed))
    stream.flush()
    stream.seek(0)
    stream.write(write_start(layout, first))
    stream.flush()


def _structure(
    template: TiffTemplate, grid: BlockGrid, table: BlockTable, layout: Layout
) -> list[Entry]:
    offsets, sizes = TILE_TAGS if template.tiled else STRIP_TAGS
    entries = [
        _entry(WIDTH, _LONG, layout, grid.width),
        _entry(HEIGHT, _LONG, layout, grid.height),
        _entry(offsets, _LONG8 if layout.big else _LONG, layout, table.offsets),
        _entry(sizes, _LONG, layout, table.sizes),
    ]
    if template.tiled:
        entries.append(_entry(TILE_WIDTH, _LONG, layout, grid.block_width))
        entries.append(_entry(TILE_HEIGHT, _LONG, layout, grid.block_height))
    else:
        entries.append(_entry(ROWS_PER_STRIP, _LONG, layout, grid.block_height))
    return entries


def _entry(tag: int, kind: int, layout: Layout, values: object) -> Entry:
    code = {_LONG: "u4", _LONG8: "u8"}[kind]
    numbers = np.ravel(np.asarray(values)).astype(layout.order + code)
    return Entry(tag, kind, numbers.size, numbers.tobytes())


def _link(directory: bytearray, following: int, layout: Layout) -> None:
    """Set a directory's pointer to the next one."""
    number = struct.unpack_from(layout.count, directory, 0)[0]
    at = struct.calcsize(layout.count) + number * (4 + 2 * layout.inline)
    struct.pack_into(layout.offset, directory, at, following)
