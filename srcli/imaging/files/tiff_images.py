"""Images of TIFF files of our own: where their blocks lie, headers, and blocks in another order."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

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
from srcli.imaging.files.tiff_pages import (
    BLOCK_TAGS,
    MASK,
    REDUCED,
    BlockGrid,
    positions_of,
)

Numbers = NDArray[np.uint64]

_POINTERS = frozenset({Base.ExifOffset, Base.GPSInfo})
_LARGEST_CLASSIC = 2**32 - 1
_FRAME = 8
"""Bytes around each block of a COG."""


@dataclass(frozen=True)
class Image(BlockGrid):
    """One directory of a TIFF: a picture, its mask, or a smaller copy of one of them.

    Its tags are without the positions of its blocks.
    """

    offsets: Numbers
    """Of the blocks in the file, (planes, rows, columns); 0 where one is left out."""
    sizes: Numbers
    """Of the compressed blocks in bytes, of the same shape."""
    linked: dict[int, Tags] = field(default_factory=dict)
    """Directories of EXIF that tags of it point to, by these."""

    @property
    def is_mask(self) -> bool:
        """True for the mask of a picture, or of a smaller copy."""
        return bool(first_number(self.tags, Base.NewSubfileType, 0) & MASK)

    @property
    def is_overview(self) -> bool:
        """True for a smaller copy of a picture, or of its mask."""
        return bool(first_number(self.tags, Base.NewSubfileType, 0) & REDUCED)

    @property
    def area(self) -> int:
        """Number of its pixels."""
        return self.height * self.width

    def rows_of_blocks(self, span: range) -> slice:
        """Return the rows of blocks that hold rows of pixels."""
        return slice(
            span.start // self.block_height, -(-span.stop // self.block_height)
        )

    def without_blocks(self) -> Image:
        """Return an image that is alike, and has no blocks yet."""
        return replace(_without_blocks(self.tags), linked=self.linked)

    def of_height(self, height: int) -> Image:
        """Return an image without blocks that differs in its number of rows of pixels."""
        rows = _entry(LONG, np.array([height], np.uint64))
        return _without_blocks({**self.tags, Base.ImageLength: rows})

    def differing_tags(self, second: Image, tags: Iterable[int]) -> list[int]:
        """Return those of some tags in which two images differ, whatever types they are of."""
        differing = []
        for tag in tags:
            entries = [self.tags.get(tag), second.tags.get(tag)]
            numbers = [entry and entry.numbers for entry in entries]
            if numbers[0] != numbers[1]:
                differing.append(tag)
        return differing


def _without_blocks(tags: Tags) -> Image:
    """Return an image without blocks; ValueError for a directory that lacks their size."""
    grid = BlockGrid(tags)
    if not (grid.block_height and grid.block_width):
        raise ValueError("a directory without the size of its blocks")
    shape = grid.shape
    return Image(tags, np.zeros(shape, np.uint64), np.zeros(shape, np.uint64))


@dataclass(frozen=True)
class Tiff:
    """The images of a TIFF, and the layout of its directories."""

    layout: DirectoryForm
    images: list[Image]


def read_tiff(source: Path | IO[bytes]) -> Tiff:
    """Read all images of a TIFF of our own; ValueError for a damaged one."""
    with ExitStack() as stack:
        if isinstance(source, Path):
            source = stack.enter_context(source.open("rb"))
        images: list[Image] = []
        layout, at = read_start(source)
        while at:
            tags, at = read_directory(source, at, layout, BLOCK_TAGS)
            positions = [tags.pop(tag, None) for tag in positions_of(tags)]
            linked: dict[int, Tags] = {}
            for pointer in _POINTERS & tags.keys():
                offset = first_number(tags, pointer, 0)
                linked[pointer], _ = read_directory(source, offset, layout)
            image = replace(_without_blocks(tags), linked=linked)
            for numbers, entry in zip(
                (image.offsets, image.sizes), positions, strict=True
            ):
                if entry is None:
                    raise ValueError("a directory without blocks")
                numbers[:] = np.reshape(entry.numbers, numbers.shape)
            images.append(image)
    return Tiff(layout, images)


def pack_header(tiff: Tiff, structure: bytes = b"") -> bytes:
    """Return the start of a TIFF, what stands before its first directory, and all directories.

    The length does not depend on the positions of blocks, which lie where they say.
    """
    front = tiff.layout.start(0) + structure
    at = len(front) + len(front) % 2
    front = (tiff.layout.start(at) + structure).ljust(at, b"\0")
    return front + pack_directories(tiff, at)


def pack_directories(tiff: Tiff, start: int) -> bytes:
    """Return all directories of a TIFF, of which the first stands at an even offset."""
    layout = tiff.layout
    directories = bytearray()
    link = 0
    for image in tiff.images:
        tags = dict(image.tags)
        offsets_tag, sizes_tag = positions_of(tags)
        tags[offsets_tag] = _entry(LONG8 if layout.big else LONG, image.offsets)
        tags[sizes_tag] = _entry(LONG, image.sizes)
        directories += bytes(len(directories) % 2)
        at = start + len(directories)
        if link:
            directories[link : link + layout.inline] = layout.offset.pack(at)
        # where the offset of the next one is written
        link = len(directories) + layout.count.size + len(tags) * layout.entry.size
        directories += _pack_directory(tags, image.linked, layout, at)
    return bytes(directories)


def _pack_directory(
    tags: Tags, linked: Mapping[int, Tags], layout: DirectoryForm, start: int
) -> bytes:
    """Pack a directory, the last one, that stands at an offset.

    What it points to follows it: other directories, then values.
    """
    rows = b""
    values = b""
    table_length = layout.count.size + len(tags) * layout.entry.size + layout.inline
    for pointer, linked_tags in linked.items():
        values += bytes(len(values) % 2)
        position = start + table_length + len(values)
        values += _pack_directory(linked_tags, {}, layout, position)
        offset = np.array([position], np.uint64)
        tags[pointer] = _entry(LONG8 if layout.big else LONG, offset)
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


def check_length(length: int, layout: DirectoryForm) -> None:
    """Raise an OSError if a file of so many bytes needs the positions of a BigTIFF."""
    if not layout.big and length > _LARGEST_CLASSIC:
        raise OSError("it takes more than 4 GB, which --co BIGTIFF=YES permits")


def read_blocks(stream: IO[bytes], images: Sequence[Image]) -> Iterator[bytes]:
    """Yield the blocks of images; those at the same position of several follow each other.

    OSError is raised where the file is cut short.
    """
    sizes = np.stack([image.sizes for image in images], axis=-1)
    offsets = np.stack([image.offsets for image in images], axis=-1)
    positions = zip(offsets.ravel().tolist(), sizes.ravel().tolist(), strict=True)
    for offset, size in positions:
        if not size:
            continue
        stream.seek(offset)
        block = stream.read(size)
        if len(block) != size:
            raise OSError(errno.EIO, "a part of it is cut short")
        yield block


@dataclass(frozen=True)
class BlockGroup:
    """Images of one file whose blocks at the same position follow each other in a new file."""

    file: Path
    numbers: Sequence[int]
    """Of the images among those of the new file."""


def write_tiff(
    result: Path,
    tiff: Tiff,
    groups: Iterable[BlockGroup],
    structure: bytes = b"",
    *,
    has_frames: bool = False,
) -> None:
    """Write a new TIFF of images of other files, whose blocks follow in the order of groups.

    With frames each block stands between its size and its last four bytes again, as in
    a COG. OSError is raised where the layout cannot hold the positions.
    """
    frame = _FRAME * has_frames
    images = [image.without_blocks() for image in tiff.images]
    end = len(pack_header(Tiff(tiff.layout, images), structure))
    groups = list(groups)
    for group in groups:
        sizes = np.stack([tiff.images[number].sizes for number in group.numbers], -1)
        lengths = np.where(sizes > 0, sizes + np.uint64(frame), 0)
        ends = np.uint64(end) + np.cumsum(lengths).reshape(sizes.shape)
        starts = np.where(sizes > 0, ends - sizes - np.uint64(frame // 2), 0)
        for position, number in enumerate(group.numbers):
            images[number].offsets[:] = starts[..., position]
            images[number].sizes[:] = sizes[..., position]
        end += int(lengths.sum())
    check_length(end, tiff.layout)
    with result.open("xb") as target:
        target.write(pack_header(Tiff(tiff.layout, images), structure))
        for group in groups:
            with group.file.open("rb") as stream:
                for block in read_blocks(
                    stream, [tiff.images[n] for n in group.numbers]
                ):
                    if has_frames:
                        target.write(len(block).to_bytes(4, "little"))
                    target.write(block)
                    if has_frames:
                        target.write(block[-4:].ljust(4, b"\0"))
