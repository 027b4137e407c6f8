"""Compare what the header of a picture claims with the bytes of its file, before any memory.

A few bytes can claim gigabytes: rows of a TIFF without strips for them, a GIF of one
pixel on a huge canvas. No compression makes more of a byte than is said here, so that
nothing is decoded.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.imaging.arrays import Bools, Size
from srcli.imaging.metadata.exif import Tags, first_number, read_directory, read_start
from srcli.ports.image import Window

BLOCKS = (
    (Base.StripOffsets, Base.StripByteCounts),
    (Base.TileOffsets, Base.TileByteCounts),
)
"""Tags of the offsets and lengths of strips, and of tiles."""
BLOCK_TAGS = frozenset(chain(*BLOCKS))
_FAR = 2**60
"""Bytes: beyond the end of every file."""
_SEPARATE = 2
_YCBCR = 6
_OLD_JPEG = 6
DEFLATE_RATIO = 1032
_LZW_RATIO = 4096
_BEST_RATIOS = {
    1: 1,
    5: _LZW_RATIO,
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
PIXEL_RATIOS = {
    "jpg": 1024,  # a block of 64 takes a bit at least
    "bmp": 2**14,  # a run may leave out 255 rows by four bytes
    "tga": 64,  # runs of 128 take two bytes
    "dds": 2,  # a block of 16 takes 8 bytes
    "pbm": 8,  # bits, or texts
}
"""Most pixels that one byte of a file of these formats holds."""
SMALL_CANVAS = 2**22
"""Pixels of an animation that may be mostly empty."""
_LEAST_COVERED = 4
"""A larger canvas may be so many times what its frames reach to."""

Numbers = NDArray[np.int64]


class Frame(NamedTuple):
    """The position and the size of a frame of an animation, in pixels."""

    left: int
    top: int
    width: int
    height: int


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
        if blocks.across * blocks.planes == 1:
            rows = len(blocks.offsets) * blocks.height
            return f"{rows:,} of its {blocks.image_height:,} rows are there"
        return (
            f"{len(blocks.offsets):,} of its {blocks.count:,} {blocks.kind} are there"
        )
    stored = blocks.stored
    beyond = int((blocks.offsets + stored > file_size).sum())
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
class TiffBlocks:
    """The strips or tiles of one page of a TIFF, row by row, by its directory."""

    kind: str
    """``"strips"`` or ``"tiles"``."""
    image_width: int
    image_height: int
    width: int
    """Of a block in pixels, as ``height``."""
    height: int
    planes: int
    """Bands that are stored one after another; 1 where a block holds all."""
    row_bytes: int
    """Bytes of a row of a block, unpacked."""
    compression: int
    offsets: Numbers
    """Of the blocks that have one, maybe fewer than ``count``; 0 for those that are
    empty."""
    sizes: Numbers | None
    """Bytes in the file, where it says so."""

    @classmethod
    def from_tags(cls, tags: Tags) -> TiffBlocks | None:
        """Read a directory; None where it has no blocks, or those of old JPEG, which differ."""
        image_width = first_number(tags, Base.ImageWidth, 0)
        image_height = first_number(tags, Base.ImageLength, 0)
        if Base.TileOffsets in tags:
            kind = "tiles"
            offsets = _integers(tags, Base.TileOffsets)
            sizes = _integers(tags, Base.TileByteCounts)
            width = max(first_number(tags, Base.TileWidth, 0), 1)
            height = first_number(tags, Base.TileLength, 0) or image_height
        else:
            kind = "strips"
            offsets = _integers(tags, Base.StripOffsets)
            sizes = _integers(tags, Base.StripByteCounts)
            width = image_width
            height = min(
                first_number(tags, Base.RowsPerStrip, 0) or image_height, image_height
            )
        compression = first_number(tags, Base.Compression, 1)
        is_empty = min(image_width, image_height) < 1
        if offsets is None or is_empty or compression == _OLD_JPEG:
            return None
        planes = 1
        samples_together = first_number(tags, Base.SamplesPerPixel, 1)
        if (
            samples_together > 1
            and first_number(tags, Base.PlanarConfiguration, 1) == _SEPARATE
        ):
            planes = samples_together
            samples_together = 1
        if first_number(tags, Base.PhotometricInterpretation, 1) == _YCBCR:
            samples_together = (
                1  # the others may be stored at a fraction of the resolution
            )
        return cls(
            kind=kind,
            image_width=image_width,
            image_height=image_height,
            width=width,
            height=height,
            planes=planes,
            row_bytes=-(
                -width
                * first_number(tags, Base.BitsPerSample, 1)
                * samples_together
                // 8
            ),
            compression=compression,
            offsets=offsets,
            sizes=sizes,
        )

    @property
    def across(self) -> int:
        """Number of blocks beside each other."""
        return -(-self.image_width // self.width)

    @property
    def down(self) -> int:
        """Number of blocks below each other."""
        return -(-self.image_height // self.height)

    @property
    def count(self) -> int:
        """Number of blocks that the page needs."""
        return self.across * self.down * self.planes

    @property
    def unpacked(self) -> Numbers:
        """Bytes of each block, unpacked; the last strip may be lower."""
        sizes = np.full(self.count, min(self.row_bytes * self.height, _FAR), np.int64)
        if self.kind == "strips":
            last_height = self.image_height - (self.down - 1) * self.height
            last_size = min(self.row_bytes * last_height, _FAR)
            sizes[self.down - 1 :: self.down] = last_size
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
        planes = self.stored.reshape(self.planes, self.down, self.across)
        return np.asarray((planes > 0).any(axis=0))

    def are_left_out(self, window: Window) -> bool:
        """Tell if all blocks of a window are left out; they hold nodata, or else zeros."""
        rows = slice(
            max(window.top, 0) // self.height, -(-window.bottom // self.height)
        )
        columns = slice(
            max(window.left, 0) // self.width, -(-window.right // self.width)
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


def check_pixels(path: Path, pixels: int, stream: IO[bytes], name: str) -> None:
    """Refuse a file of ``PIXEL_RATIOS`` with fewer bytes than its pixels need at least."""
    size = stream.seek(0, os.SEEK_END)
    ratio: float = PIXEL_RATIOS[name]
    if name == "bmp":
        stream.seek(14)
        header = stream.read(20).ljust(20, b"\0")
        length, _, _, _, bits, packing = struct.unpack("<IiiHHI", header)
        if length >= 40 and packing in (0, 3) and bits:
            ratio = 8 / bits
    _check_pixel_count(path, pixels, size * ratio, size)


def check_png(path: Path, sides: Collection[Size], bits: int, size: int) -> None:
    """Refuse a PNG file of so many bytes that cannot hold pictures of these widths and heights."""
    needed = 0
    pixels = 0
    for width, height in sides:
        needed += (-(-width * bits // 8) + 1) * height
        pixels += width * height
    if needed > size * DEFLATE_RATIO:
        _check_pixel_count(path, pixels, 0, size)


def _check_pixel_count(path: Path, pixels: int, most: float, size: int) -> None:
    """Refuse a file with more than the most pixels that its bytes can hold."""
    if pixels > most:
        raise truncated_file(path, f"{size:,} bytes cannot hold its {pixels:,} pixels")


def check_gif(path: Path, size: Size, stream: IO[bytes]) -> list[Frame]:
    """Return the frames of a GIF file; refuse one whose pixels or canvas have no bytes."""
    frames = []
    for frame, length in _gif_frames(stream):
        pixels = frame.width * frame.height
        _check_pixel_count(path, pixels, length * _LZW_RATIO, length)
        frames.append(frame)
    check_canvas(path, size, frames)
    return frames


def _gif_frames(stream: IO[bytes]) -> Iterator[tuple[Frame, int]]:
    """Yield the frames of a GIF file, and the bytes of their pixels."""
    stream.seek(10)
    flags = stream.read(3)[:1]
    _skip_colour_table(stream, flags)
    while (mark := stream.read(1)) not in (b"", b";"):
        if mark == b"!":
            stream.read(1)
            _skip_sub_blocks(stream)
        elif mark == b",":
            descriptor = stream.read(9)
            if len(descriptor) < 9:
                return
            _skip_colour_table(stream, descriptor[8:])
            stream.read(1)
            frame = Frame(*struct.unpack("<4H", descriptor[:8]))
            yield frame, _skip_sub_blocks(stream)


def _skip_colour_table(stream: IO[bytes], flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        stream.seek(3 * 2 ** ((flags[0] & 7) + 1), os.SEEK_CUR)


def _skip_sub_blocks(stream: IO[bytes]) -> int:
    """Skip pieces that each begin with their length, up to an empty one; return their bytes."""
    total = 0
    while length := stream.read(1):
        total += len(stream.read(length[0]))
        if length == b"\0":
            break
    return total


def check_webp(path: Path, size: Size, stream: IO[bytes]) -> None:
    """Refuse a WebP animation whose canvas is much larger than its frames."""
    frames = []
    stream.seek(12)
    while len(head := stream.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        after = stream.tell() + length + length % 2
        if head[:4] == b"ANMF":
            frames.append(
                Frame(
                    left=2 * _read_24_bits(stream),
                    top=2 * _read_24_bits(stream),
                    width=_read_24_bits(stream) + 1,
                    height=_read_24_bits(stream) + 1,
                )
            )
        stream.seek(after)
    check_canvas(path, size, frames)


def _read_24_bits(stream: IO[bytes]) -> int:
    return int.from_bytes(stream.read(3), "little")


def check_canvas(path: Path, size: Size, frames: Sequence[Frame]) -> None:
    """Refuse an animation whose canvas (width, height) is much larger than its frames reach."""
    width, height = size
    if not frames or width * height <= SMALL_CANVAS:
        return
    lefts, tops, widths, heights = np.array(frames).T
    across = int((lefts + widths).max() - lefts.min())
    down = int((tops + heights).max() - tops.min())
    if width * height > _LEAST_COVERED * across * down:
        raise PictureError(
            f"{path}: claims {width}x{height} pixels, of which its frames fill {across}x{down}; "
            "export it again"
        )
