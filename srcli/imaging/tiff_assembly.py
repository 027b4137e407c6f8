"""Put TIFFs together from compressed blocks of others, which are copied, not decoded.

The header of the new file comes first, with all its directories; the blocks lie behind
it, those of each source together.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL.ExifTags import Base

from srcli.imaging.tiff_directories import (
    LONG,
    LONG8,
    DirectoryForm,
    Entry,
    Tags,
    edit_directory,
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
_MOST_IMAGES = 64
_SEPARATE = 2
"""PlanarConfiguration of a file with blocks for each band."""


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

    def of_height(self, height: int) -> TiledImage:
        """Return an empty image that differs in its number of rows of pixels."""
        entry = Entry(LONG, height.to_bytes(4, "little"))
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


def read_images(path: Path) -> tuple[DirectoryForm, list[TiledImage]]:
    """Read all directories of a TIFF of our own; ValueError for one that is not in tiles."""
    images: list[TiledImage] = []
    with path.open("rb") as stream:
        layout, at = read_start(stream)
        while at and len(images) < _MOST_IMAGES:
            tags, at = read_directory(stream, at, layout, _NEEDED)
            images.append(TiledImage.from_tags(tags))
    return layout, images


@dataclass(frozen=True)
class _Run:
    """Bytes of a source that are copied in one piece."""

    start: int
    length: int


@dataclass
class TiffAssembly:
    """A TIFF that is put together: its directories, and whose blocks go into them."""

    layout: DirectoryForm
    images: Sequence[TiledImage]
    """Their blocks are filled in."""
    _sources: list[tuple[Path, list[_Run]]] = field(default_factory=list)
    _length: int = 0
    """Of all blocks."""

    def __post_init__(self) -> None:
        """Forget where blocks lie in the file that the directories are taken from."""
        empty = []
        for image in self.images:
            none = np.zeros(image.offsets.shape, np.uint64)
            empty.append(replace(image, offsets=none, sizes=none.copy()))
        self.images = empty

    def add(self, path: Path, images: Sequence[TiledImage], top: int) -> None:
        """Add the blocks of a file of the same width below its first row of pixels, ``top``.

        ``images`` are its directories in the order of those of the new file.
        """
        runs: list[_Run] = []
        for image, source in zip(self.images, images, strict=True):
            start = top // image.block_height
            rows = slice(start, start + source.sizes.shape[1])
            sizes = source.sizes.ravel()
            ends = self._length + np.cumsum(sizes)
            positions = np.where(sizes > 0, ends - sizes, 0)
            image.sizes[:, rows] = source.sizes
            # counted from the end of the header, and from 1, as 0 stands for no block
            image.offsets[:, rows] = np.where(sizes > 0, positions + 1, 0).reshape(
                source.sizes.shape
            )
            self._length += int(sizes.sum())
            runs += _runs_of(source)
        self._sources.append((path, runs))

    def write(self, path: Path) -> None:
        """Write the new file; OSError is raised where it needs the positions of a BigTIFF."""
        header_length = len(self._header(0))
        if not self.layout.big and header_length + self._length > _LARGEST_CLASSIC:
            raise OSError("it takes more than 4 GB, which --co BIGTIFF=YES permits")
        with path.open("xb") as target:
            target.write(self._header(header_length))
            for source, runs in self._sources:
                with source.open("rb") as stream:
                    for run in runs:
                        _copy_bytes(stream, target, run)

    def _header(self, length: int) -> bytes:
        """Return start and directories of the file, whose blocks begin at ``length``."""
        layout = self.layout
        positions = LONG8 if layout.big else LONG
        header = bytearray(layout.start(0))
        link = len(header) - layout.inline
        for image in self.images:
            moved = np.where(
                image.offsets > 0, image.offsets + np.uint64(length) - 1, 0
            )
            tags = dict(image.tags)
            tags[Base.TileOffsets] = _entry(positions, moved)
            tags[Base.TileByteCounts] = _entry(LONG, image.sizes)
            start = edit_directory(header, None, tags, layout)
            header[link : link + layout.inline] = layout.offset.pack(start)
            link = len(header) - layout.inline
        return bytes(header)


def _entry(tiff_type: int, numbers: Numbers) -> Entry:
    form = "<u8" if tiff_type == LONG8 else "<u4"
    return Entry(tiff_type, numbers.astype(form).tobytes())


def _runs_of(image: TiledImage) -> Iterator[_Run]:
    """Yield the bytes of the blocks of an image in their order, in as few pieces as there are."""
    is_there = image.sizes.ravel() > 0
    starts = image.offsets.ravel()[is_there]
    ends = starts + image.sizes.ravel()[is_there]
    if not len(starts):
        return
    gaps = np.flatnonzero(starts[1:] != ends[:-1])
    begins = [0, *(gaps + 1)]
    stops = [*gaps, len(starts) - 1]
    for begin, stop in zip(begins, stops, strict=True):
        yield _Run(int(starts[begin]), int(ends[stop] - starts[begin]))


def _copy_bytes(source: IO[bytes], target: IO[bytes], run: _Run) -> None:
    """Copy a piece of a file to the end of another one; OSError if it is cut short."""
    source.seek(run.start)
    remaining = run.length
    while remaining:
        chunk = source.read(min(remaining, _CHUNK))
        if not chunk:
            raise OSError(errno.EIO, "a part of it is cut short")
        target.write(chunk)
        remaining -= len(chunk)


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
