"""Pages of a TIFF: their tags, which are thumbnails or masks, and their strips and tiles.

What a page claims is compared with the bytes of its file. Rows without strips for them
cost no memory when nothing is decoded; no compression makes more of a byte than is said
here.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.imaging.files.tiff_directories import (
    DirectoryForm,
    Tags,
    first_number,
    read_directory,
    read_start,
)
from srcli.imaging.pixels.arrays import Bools
from srcli.ports import Window

BLOCKS = (
    (Base.StripOffsets, Base.StripByteCounts),
    (Base.TileOffsets, Base.TileByteCounts),
)
"""Tags of the offsets and lengths of strips, and of tiles."""
BLOCK_TAGS = frozenset(chain(*BLOCKS))
_FAR = 2**60
"""Bytes: beyond the end of every file."""
_SEPARATE = 2
"""PlanarConfiguration of a file with blocks for each band."""
_YCBCR = 6
_OLD_JPEG = 6
DEFLATE_RATIO = 1032
LZW_RATIO = 4096
_BEST_RATIOS = {
    1: 1,
    5: LZW_RATIO,
    7: 2048,
    8: DEFLATE_RATIO,
    32946: DEFLATE_RATIO,
    32773: 64,
}
"""Most bytes that one byte unpacks to, by TIFF's numbers of compressions."""
_LIKELY_RATIO = 4096
"""The same where a compression knows no limit (ZSTD, LZMA, LERC, fax), of large blocks
alone."""
_LARGE_BLOCK = 2**28
Numbers = NDArray[np.int64]


def truncated_file(path: Path, shortage: str) -> PictureError:
    """Return the error for a file that holds less than its header claims."""
    return PictureError(
        f"{path}: the file is damaged or cut short: {shortage}; copy it again"
    )


def check_tiff(path: Path, tags: Tags, stream: IO[bytes], source: str = "") -> None:
    """Refuse a TIFF with a directory that claims more than the file holds.

    Blocks at 0 are empty, as GDAL leaves them out. ``source`` names the file where it
    is one of the sources of a mosaic.
    """
    shortage = _tiff_shortage(tags, stream.seek(0, os.SEEK_END))
    if shortage and source:
        raise PictureError(
            f"{path}: its source {truncated_file(Path(source), shortage)}"
        )
    if shortage:
        raise truncated_file(path, shortage)


def read_tiff_page(stream: IO[bytes], page: int = 0) -> Tags:
    """Return the directory of one page of a TIFF, numbered from 0, which may be damaged."""
    layout, at = read_start(stream)
    for _ in range(page):
        _, at = read_directory(stream, at, layout, only=Base.ImageWidth)
    return read_directory(stream, at, layout, BLOCK_TAGS)[0]


def _tiff_shortage(tags: Tags, file_size: int) -> str:
    """Return in words what a directory of a TIFF of so many bytes claims in vain; else nothing."""
    blocks = TiffBlocks.from_tags(tags)
    if blocks is None:
        return ""
    missing = blocks.count - len(blocks.offsets)
    if missing > 0:
        planes, _, across = blocks.shape
        if across * planes == 1:
            rows = len(blocks.offsets) * blocks.block_height
            return f"{rows:,} of its {blocks.height:,} rows are there"
        return (
            f"{len(blocks.offsets):,} of its {blocks.count:,} {blocks.kind} are there"
        )
    stored = blocks.stored
    ends = blocks.offsets[: blocks.count] + stored  # old writers list further ones
    beyond = int((ends > file_size).sum())
    if beyond:
        return f"{beyond:,} of its {blocks.count:,} {blocks.kind} lie beyond its end"
    ratio = _BEST_RATIOS.get(blocks.compression)
    claimed = blocks.unpacked
    if ratio is None:
        ratio = _LIKELY_RATIO
        claimed = np.where(claimed > _LARGE_BLOCK, claimed, 0)
    poor = int(((claimed // ratio > stored) & (stored > 0)).sum())
    if poor:
        return f"{poor:,} of its {blocks.count:,} {blocks.kind} are too short for their pixels"
    return ""


@dataclass(frozen=True)
class BlockGrid:
    """How the pixels of one directory of a TIFF are cut into blocks: strips, or tiles."""

    tags: Tags

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return first_number(self.tags, Base.ImageLength, 0)

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return first_number(self.tags, Base.ImageWidth, 0)

    @property
    def are_tiles(self) -> bool:
        """True for tiles, False for strips."""
        return Base.TileWidth in self.tags

    @property
    def block_height(self) -> int:
        """Rows of a block."""
        if self.are_tiles:
            return first_number(self.tags, Base.TileLength, 0) or self.height
        rows = first_number(self.tags, Base.RowsPerStrip, 0) or self.height
        return min(rows, self.height)

    @property
    def block_width(self) -> int:
        """Columns of a block."""
        return first_number(self.tags, Base.TileWidth, 0) or self.width

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of blocks: (planes, down, across); one plane where a block holds all bands."""
        planes = 1
        if first_number(self.tags, Base.PlanarConfiguration, 1) == _SEPARATE:
            planes = first_number(self.tags, Base.SamplesPerPixel, 1)
        down = -(-self.height // self.block_height)
        return planes, down, -(-self.width // self.block_width)


def positions_of(tags: Tags) -> tuple[int, int]:
    """Return the tags of offsets and sizes of blocks."""
    strips, tiles = BLOCKS
    return tiles if Base.TileWidth in tags else strips


@dataclass(frozen=True)
class TiffBlocks(BlockGrid):
    """The strips or tiles of one page of a TIFF, row by row, by its directory."""

    offsets: Numbers
    """Of the blocks that have one, maybe fewer than ``count``; 0 for those that are
    empty."""
    sizes: Numbers | None
    """Bytes in the file, where it says so."""

    @classmethod
    def from_tags(cls, tags: Tags) -> TiffBlocks | None:
        """Read a directory; None where it has no blocks, or those of old JPEG, which differ."""
        offsets, sizes = (_integers(tags, tag) for tag in positions_of(tags))
        grid = BlockGrid(tags)
        is_empty = min(grid.width, grid.height) < 1
        is_old_jpeg = first_number(tags, Base.Compression, 1) == _OLD_JPEG
        if offsets is None or is_empty or is_old_jpeg:
            return None
        return cls(tags, offsets, sizes)

    @property
    def kind(self) -> str:
        """``"strips"`` or ``"tiles"``."""
        return "tiles" if self.are_tiles else "strips"

    @property
    def count(self) -> int:
        """Number of blocks that the page needs."""
        return math.prod(self.shape)

    @property
    def compression(self) -> int:
        """TIFF's number of it."""
        return first_number(self.tags, Base.Compression, 1)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of a block, unpacked."""
        samples_together = first_number(self.tags, Base.SamplesPerPixel, 1)
        photometric = first_number(self.tags, Base.PhotometricInterpretation, 1)
        # of YCbCr the others may be stored at a fraction of the resolution
        if self.shape[0] > 1 or photometric == _YCBCR:
            samples_together = 1
        sample_bits = first_number(self.tags, Base.BitsPerSample, 1)
        return -(-self.block_width * sample_bits * samples_together // 8)

    @property
    def unpacked(self) -> Numbers:
        """Bytes of each block, unpacked; the last strip may be lower."""
        row_bytes = self.row_bytes
        largest = min(row_bytes * self.block_height, _FAR)
        sizes = np.full(self.count, largest, np.int64)
        if not self.are_tiles:
            _, down, _ = self.shape
            last_height = self.height - (down - 1) * self.block_height
            sizes[down - 1 :: down] = min(row_bytes * last_height, _FAR)
        return sizes

    @property
    def stored(self) -> Numbers:
        """Bytes of each block in the file, 0 for empty ones; uncompressed as their pixels need."""
        offsets = self.offsets[: self.count]
        sizes = self.sizes
        if sizes is None or len(sizes) < self.count:
            sizes = np.ones(self.count, np.int64)  # libtiff finds them out
        sizes = sizes[: self.count]
        # many writers state other sizes of uncompressed blocks, or 0, and libtiff reads
        # these
        if self.compression == 1:
            return np.where(offsets > 0, self.unpacked, 0)
        return np.where(offsets > 0, sizes, 0)

    @cached_property
    def present(self) -> Bools:
        """(down, across): True for blocks that hold something in any band."""
        planes = self.stored.reshape(self.shape)
        return np.asarray((planes > 0).any(axis=0))

    def are_left_out(self, window: Window) -> bool:
        """Tell if all blocks of a window are left out; they hold nodata, or else zeros."""
        rows = slice(
            max(window.top, 0) // self.block_height,
            -(-window.bottom // self.block_height),
        )
        columns = slice(
            max(window.left, 0) // self.block_width,
            -(-window.right // self.block_width),
        )
        return not self.present[rows, columns].any()


_INTEGER_TYPES = {3: "<u2", 4: "<u4", 13: "<u4", 16: "<u8", 18: "<u8"}


def _integers(tags: Tags, tag: int) -> Numbers | None:
    """Return the whole numbers of a tag; None where it is left out or of another type."""
    entry = tags.get(tag)
    if entry is None or entry.tiff_type not in _INTEGER_TYPES:
        return None
    values = np.frombuffer(entry.value, _INTEGER_TYPES[entry.tiff_type])
    return np.minimum(values.astype(np.uint64), _FAR).astype(np.int64)


DAMAGED_PAGE = "its pages end with a damaged one, which is left out"
RESOLUTION = (Base.XResolution, Base.YResolution, Base.ResolutionUnit)
DESCRIPTIVE = frozenset({
    270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095,
})  # fmt: skip
"""Tags that describe the photograph (title, camera, author ...), not how it is
stored."""
# Of ResolutionUnit.
INCH = 2
_NEEDED = BLOCK_TAGS | {
    Base.BitsPerSample,
    Base.SamplesPerPixel,
    Base.ColorMap,
    Base.ExtraSamples,
    Base.SampleFormat,
}
"""Tags without whose values pixels come out wrong."""
PREMULTIPLIED = 1  # a value of ExtraSamples
# Bits of NewSubfileType.
REDUCED = 1
MASK = 4


@dataclass(frozen=True)
class Page:
    """One page of a file."""

    tags: Tags
    layout: DirectoryForm
    number: int
    """Number in the file, from 1."""
    further: list[int]
    """NewSubfileType of the pages behind it."""
    is_cut: bool
    """The last of these is followed by a damaged one."""


def read_page(stream: IO[bytes], number: int = 1) -> Page:
    """Read a page, from 1, of those that are no thumbnails; the first of all if every page is one.

    PictureError is raised where there are fewer.
    """
    layout, start = read_start(stream)
    tags, following = read_directory(stream, start, layout, _NEEDED)
    further, is_cut = _further_pages(stream, following, layout)
    kinds = [first_number(tags, Base.NewSubfileType, 0), *further]
    full = [1]
    if Base.SubIFDs not in tags or number > 1:
        full = [at for at, kind in enumerate(kinds, 1) if not kind & (REDUCED | MASK)]
    if number > max(len(full), 1):
        raise PictureError(
            f"{stream.name}: has no page {number}; the last is {len(full)}"
        )
    position = (full or [1])[number - 1]
    for _ in range(position - 1):
        tags, following = read_directory(stream, following, layout, _NEEDED)
    return Page(tags, layout, position, kinds[position:], is_cut)


def whole_numbers(tags: Tags, tag: int, *default: int) -> list[int]:
    """Return the numbers of a tag; the usual ones where it is left out."""
    if tag not in tags:
        return list(default)
    return list(map(int, tags[tag].numbers))


def _further_pages(
    stream: IO[bytes], offset: int, layout: DirectoryForm
) -> tuple[list[int], bool]:
    """Return NewSubfileType of the pages from an offset on, and if a damaged one ends them."""
    seen = set()
    kinds: list[int] = []
    while offset and offset not in seen:
        seen.add(offset)
        try:
            tags, offset = read_directory(
                stream, offset, layout, only=Base.NewSubfileType
            )
        except ValueError:
            return kinds, True
        kinds.append(first_number(tags, Base.NewSubfileType, 0))
    return kinds, False
