"""Compare what the header of a picture claims with the bytes of its file, before any memory.

A few bytes can claim gigabytes: rows of a TIFF without strips for them, a GIF of one
pixel on a huge canvas. No compression makes more of a byte than is said here, so that
nothing is decoded.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.files.tiff_blocks import DEFLATE_RATIO, LZW_RATIO, truncated_file
from srcli.imaging.pixels.arrays import Size

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


class Frame(NamedTuple):
    """The position and the size of a frame of an animation, in pixels."""

    left: int
    top: int
    width: int
    height: int


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
        _check_pixel_count(path, pixels, length * LZW_RATIO, length)
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
