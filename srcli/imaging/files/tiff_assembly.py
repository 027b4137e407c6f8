"""Put TIFFs together from compressed blocks of others, which are copied, not decoded.

The header of the new file comes first, with all its directories; the blocks lie behind
it, those of each source together.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.ExifTags import Base

from srcli.imaging.files.tiff_directories import (
    LONG,
    LONG8,
    DirectoryForm,
    Entry,
    Tags,
    first_number,
    read_directory,
    read_start,
)

Numbers = NDArray[np.uint64]

_ARRAYS = (Base.TileOffsets, Base.TileByteCounts)
_NEEDED = frozenset(_ARRAYS)
_LARGEST_CLASSIC = 2**32 - 1
_CHUNK = 2**22
"""Bytes that are copied at once."""
_FRAME = 8
"""Bytes around each block of a COG."""
_MOST_IMAGES = 64
_SEPARATE = 2
"""PlanarConfiguration of a file with blocks for each band."""
# Bits of NewSubfileType.
_REDUCED = 1
_MASK = 4


@dataclass(frozen=True)
class TiledImage:
    """One directory of a TIFF in tiles: the picture, its mask, or an overview."""

    tags: Tags
    """Without the positions of its blocks."""
    offsets: Numbers
    """Of the blocks in the file, (planes, rows, columns); 0 where one is left out."""
    sizes: Numbers
    """Of the compressed blocks in bytes, of the same shape."""

    @classmethod
    def from_tags(cls, tags: Tags) -> TiledImage:
        """Take the positions of blocks out of the entries of a directory.

        ValueError is raised for one without tiles, or with another number of them than
        its size asks for.
        """
        if not tags.keys() >= _NEEDED:
            raise ValueError("a directory without tiles")
        shape = _shape_of_grid(tags)
        positions = []
        for tag in _ARRAYS:
            numbers = np.array(tags[tag].numbers, np.uint64)
            positions.append(numbers.reshape(shape))
        description = {tag: entry for tag, entry in tags.items() if tag not in _ARRAYS}
        return cls(description, *positions)

    @property
    def block_height(self) -> int:
        """Rows of a block."""
        return first_number(self.tags, Base.TileLength, 0)

    @property
    def is_mask(self) -> bool:
        """True for the mask of a picture or of an overview."""
        return bool(first_number(self.tags, Base.NewSubfileType, 0) & _MASK)

    @property
    def is_overview(self) -> bool:
        """True for a smaller copy of a picture, or of its mask."""
        return bool(first_number(self.tags, Base.NewSubfileType, 0) & _REDUCED)

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return first_number(self.tags, Base.ImageLength, 0)

    def as_overview(self, tags: Container[int]) -> TiledImage:
        """Return it as a smaller copy of the picture, or of its mask, with some of its tags."""
        kind = first_number(self.tags, Base.NewSubfileType, 0) | _REDUCED
        described = {tag: entry for tag, entry in self.tags.items() if tag in tags}
        described[Base.NewSubfileType] = _entry(LONG, np.array([kind], np.uint64))
        return replace(self, tags=described)

    def take_positions(self, second: TiledImage, top: int) -> None:
        """Take over where the blocks of another image lie, whose first row is ``top`` here."""
        row = top // self.block_height
        rows = slice(row, row + second.sizes.shape[1])
        self.sizes[:, rows] = second.sizes
        self.offsets[:, rows] = second.offsets

    def rows(self, top: int, bottom: int) -> TiledImage:
        """Return an image of some of its rows of pixels, from a row of blocks on."""
        first = top // self.block_height
        last = -(-bottom // self.block_height)
        cut = self.of_height(bottom - top)
        return replace(
            cut,
            offsets=self.offsets[:, first:last],
            sizes=self.sizes[:, first:last],
        )

    def without_blocks(self) -> TiledImage:
        """Return an empty image that is alike."""
        none = np.zeros(self.offsets.shape, np.uint64)
        return replace(self, offsets=none, sizes=none.copy())

    def of_height(self, height: int) -> TiledImage:
        """Return an empty image that differs in its number of rows of pixels."""
        entry = _entry(LONG, np.array([height], np.uint64))
        tags = {**self.tags, Base.ImageLength: entry}
        shape = _shape_of_grid(tags)
        return TiledImage(tags, np.zeros(shape, np.uint64), np.zeros(shape, np.uint64))


def _shape_of_grid(tags: Tags) -> tuple[int, int, int]:
    """Return the number of planes of blocks, of their rows and of their columns."""
    high = first_number(tags, Base.TileLength, 0)
    wide = first_number(tags, Base.TileWidth, 0)
    if not (high and wide):
        raise ValueError("a directory without the size of its tiles")
    planes = 1
    if first_number(tags, Base.PlanarConfiguration, 1) == _SEPARATE:
        planes = first_number(tags, Base.SamplesPerPixel, 1)
    height = first_number(tags, Base.ImageLength, 0)
    width = first_number(tags, Base.ImageWidth, 0)
    return planes, -(-height // high), -(-width // wide)


@dataclass(frozen=True)
class TiffContent:
    """The directories of a TIFF, and what stands before them."""

    layout: DirectoryForm
    images: list[TiledImage]
    structure: bytes
    """Between the start of the file and its first directory."""


class _TiffWithin(FileIO):
    """A TIFF that begins at some byte of a file, read from there."""

    def __init__(self, path: Path, start: int) -> None:
        super().__init__(path)
        self._start = start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte of the TIFF."""
        assert whence == os.SEEK_SET
        return super().seek(self._start + offset) - self._start


def read_tiff(path: Path, start: int = 0) -> TiffContent:
    """Read all directories of a TIFF of our own; ValueError for one that is not in tiles.

    It begins at byte ``start`` of a file, as do the positions of its blocks.
    """
    images: list[TiledImage] = []
    with _TiffWithin(path, start) as stream:
        layout, first_directory = read_start(stream)
        at = first_directory
        while at and len(images) < _MOST_IMAGES:
            tags, at = read_directory(stream, at, layout, _NEEDED)
            images.append(TiledImage.from_tags(tags))
        start_length = len(layout.start(0))
        stream.seek(start_length)
        structure = stream.read(min(first_directory - start_length, _CHUNK))
    return TiffContent(layout, images, structure)


@dataclass(frozen=True)
class Placing:
    """Blocks of a directory of one file, and where they go in another one."""

    image: int
    """Number of the directory of the new file."""
    source: TiledImage
    top: int = 0
    """First row of pixels in the new image."""


class BlockTarget(Protocol):
    """What takes bytes one behind the other, such as a file."""

    def write(self, content: bytes, /) -> object:
        """Take further bytes."""


@dataclass(frozen=True)
class _Source:
    """A file whose blocks are copied, in this order."""

    path: Path
    offsets: Numbers
    sizes: Numbers


@dataclass
class TiffAssembly:
    """A TIFF that is put together: its directories, and whose blocks go into them."""

    layout: DirectoryForm
    images: Sequence[TiledImage]
    """Their blocks are filled in."""
    structure: bytes = b""
    """What stands between the start of the file and its first directory, as the
    structural metadata of a COG."""
    has_frames: bool = False
    """Each block stands between its size and its last four bytes again, as in a COG."""
    _sources: list[_Source] = field(default_factory=list)
    _length: int = 0
    """Of all blocks."""

    def __post_init__(self) -> None:
        """Forget where blocks lie in the file that the directories are taken from."""
        self.images = [image.without_blocks() for image in self.images]

    def add(self, path: Path, placings: Sequence[Placing], start: int = 0) -> None:
        """Add the blocks of directories of a TIFF, from byte ``start`` of a file, of equal grids.

        Blocks of the same position follow each other, as those of a picture and its
        mask do in a COG.
        """
        sizes = np.stack([placing.source.sizes for placing in placings], axis=-1)
        offsets = np.stack([placing.source.offsets for placing in placings], axis=-1)
        is_stored = sizes > 0
        frame = _FRAME if self.has_frames else 0
        # the placings are the last axis: their blocks of one position follow each other
        ends = np.cumsum(np.where(is_stored, sizes + frame, 0)).reshape(sizes.shape)
        # counted from the end of the header, and from 1, as 0 stands for no block; half of
        # a frame stands in front of the block
        starts = self._length + ends - sizes - frame // 2 + 1
        starts = np.where(is_stored, starts, 0)
        self._length += int(ends.max())
        for number, placing in enumerate(placings):
            image = self.images[placing.image]
            row = placing.top // image.block_height
            rows = slice(row, row + sizes.shape[1])
            image.sizes[:, rows] = sizes[..., number]
            image.offsets[:, rows] = starts[..., number]
        positions = offsets[is_stored] + np.uint64(start)
        self._sources.append(_Source(path, positions, sizes[is_stored]))

    def write(self, path: Path) -> None:
        """Write the new file; OSError is raised where it needs the positions of a BigTIFF."""
        header_length = len(self.header(0))
        check_length(header_length + self._length, self.layout)
        with path.open("xb") as target:
            target.write(self.header(header_length))
            self.copy_blocks(target)

    @property
    def length(self) -> int:
        """Bytes of all blocks."""
        return self._length

    def copy_blocks(self, target: BlockTarget) -> None:
        """Write all blocks, one behind the other."""
        for source in self._sources:
            with source.path.open("rb") as stream:
                if self.has_frames:
                    _copy_framed(stream, target, source)
                else:
                    _copy(stream, target, source)

    def header(self, length: int) -> bytes:
        """Return start and directories of the file, whose blocks begin at ``length``."""
        moved_images = []
        for image in self.images:
            moved = np.where(
                image.offsets > 0, image.offsets + np.uint64(length) - 1, 0
            )
            moved_images.append(replace(image, offsets=moved))
        return pack_directories(self.layout, moved_images, self.structure)


def check_length(length: int, layout: DirectoryForm) -> None:
    """Raise an OSError if a file of so many bytes needs the positions of a BigTIFF."""
    if not layout.big and length > _LARGEST_CLASSIC:
        raise OSError("it takes more than 4 GB, which --co BIGTIFF=YES permits")


def pack_directories(
    layout: DirectoryForm,
    images: Sequence[TiledImage],
    structure: bytes = b"",
    start: int = 0,
) -> bytes:
    """Return the start of a file and its directories, whose blocks lie where they say.

    With another ``start`` than 0 the directories stand there, and not behind the start
    of the file.
    """
    positions = LONG8 if layout.big else LONG
    header = bytearray(layout.start(0)) + structure
    # what lies between is not here
    gap = start - len(header) if start else 0
    # where the offset of the next directory is written: first in the start of the
    # file, then behind the entries of each directory
    link = len(layout.start(0)) - layout.inline
    for image in images:
        tags = dict(image.tags)
        tags[Base.TileOffsets] = _entry(positions, image.offsets)
        tags[Base.TileByteCounts] = _entry(LONG, image.sizes)
        header += bytes((gap + len(header)) % 2)
        at = gap + len(header)
        header[link : link + layout.inline] = layout.offset.pack(at)
        link = len(header) + layout.count.size + len(tags) * layout.entry.size
        header += _pack_directory(tags, layout, at)
    return bytes(header)


def _pack_directory(tags: Tags, layout: DirectoryForm, start: int) -> bytes:
    """Pack a directory, the last one, that stands at an offset; its values follow it."""
    rows = b""
    values = b""
    table_length = layout.count.size + len(tags) * layout.entry.size + layout.inline
    for tag, entry in sorted(tags.items()):
        value = layout.byteswapped(entry.value, entry.tiff_type)
        if len(value) > layout.inline:
            values += bytes(len(values) % 2)
            position = start + table_length + len(values)
            values += value
            value = layout.offset.pack(position)
        rows += layout.entry.pack(tag, entry.tiff_type, entry.count, value)
    return layout.count.pack(len(tags)) + rows + bytes(layout.inline) + values


def _entry(tiff_type: int, numbers: Numbers) -> Entry:
    form = "<u8" if tiff_type == LONG8 else "<u4"
    return Entry(tiff_type, numbers.astype(form).tobytes())


def _copy(stream: IO[bytes], target: BlockTarget, source: _Source) -> None:
    """Copy blocks to the end of a file, those that follow each other at once."""
    if not len(source.offsets):
        return
    starts = source.offsets
    ends = starts + source.sizes
    gaps = np.flatnonzero(starts[1:] != ends[:-1])
    begins = [0, *(gaps + 1)]
    stops = [*gaps, len(starts) - 1]
    for begin, stop in zip(begins, stops, strict=True):
        stream.seek(int(starts[begin]))
        remaining = int(ends[stop] - starts[begin])
        while remaining:
            target.write(_read(stream, min(remaining, _CHUNK)))
            remaining -= min(remaining, _CHUNK)


def _copy_framed(stream: IO[bytes], target: BlockTarget, source: _Source) -> None:
    """Copy blocks to the end of a file, each between its size and its last bytes again."""
    for offset, size in zip(
        source.offsets.tolist(), source.sizes.tolist(), strict=True
    ):
        stream.seek(offset)
        block = _read(stream, size)
        target.write(size.to_bytes(4, "little") + block + block[-4:].ljust(4, b"\0"))


def _read(stream: IO[bytes], length: int) -> bytes:
    """Read so many bytes; OSError where the file is cut short."""
    content = stream.read(length)
    if len(content) != length:
        raise OSError(errno.EIO, "a part of it is cut short")
    return content


def differing_tags(
    image: TiledImage, second: TiledImage, tags: Iterable[int]
) -> list[int]:
    """Return those of some tags in which two directories differ."""
    differing = []
    for tag in tags:
        if _numbers(image.tags, tag) != _numbers(second.tags, tag):
            differing.append(tag)
    return differing


def _numbers(tags: Tags, tag: int) -> object:
    """Return the numbers of a tag, whatever the type they are stored in; None without it."""
    entry = tags.get(tag)
    return None if entry is None else entry.numbers
