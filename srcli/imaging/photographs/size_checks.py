"""Compare what the header of a picture claims with the bytes of its file, before any memory.

A few bytes can claim gigabytes, such as rows of a TIFF without strips for them. No
compression makes more of a byte than is said here, so that nothing is decoded.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection
from pathlib import Path
from typing import IO

from srcli.imaging.files import tiff_blocks
from srcli.imaging.pixels.arrays import Size

PIXEL_RATIOS = {
    "jpg": 1024,  # a block of 64 takes a bit at least
    "bmp": 2**14,  # a run may leave out 255 rows by four bytes
    "tga": 64,  # runs of 128 take two bytes
    "dds": 2,  # a block of 16 takes 8 bytes
    "pbm": 8,  # bits, or texts
}
"""Most pixels that one byte of a file of these formats holds."""


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
    if needed > size * tiff_blocks.DEFLATE_RATIO:
        _check_pixel_count(path, pixels, 0, size)


def _check_pixel_count(path: Path, pixels: int, most: float, size: int) -> None:
    """Refuse a file with more than the most pixels that its bytes can hold."""
    if pixels > most:
        raise tiff_blocks.truncated_file(
            path, f"{size:,} bytes cannot hold its {pixels:,} pixels"
        )
