"""The header of a picture file, and the pixels of a photograph.

What a header claims is compared with the bytes of its file before any memory is taken: a
few can claim gigabytes. No compression makes more of a byte than is said here, so that
nothing is decoded.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from srcli.imaging.files import tiff_pages
from srcli.imaging.files.formats import FORMATS
from srcli.imaging.metadata.embedded import NO_METADATA, Metadata
from srcli.imaging.pixels.arrays import Array, Size
from srcli.imaging.pixels.geometry import PixelMap

LARGEST_AREA = 2**30
"""Pixels; a larger photograph is refused (a few bytes can claim a picture of
terabytes)."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture file by its header, as ``open_picture`` gives it; no pixel was decoded."""

    path: Path
    format: str
    """As ``format_of_content`` tells it, not the file's name; ``""`` for the formats
    that only GDAL reads."""
    height: int
    """Pixels, after the EXIF orientation, as ``width``."""
    width: int
    channels: int
    """Colour channels as ``read_photograph`` gives them, 1 or 3; of rasters the
    bands."""
    bits: int
    """Of a value as ``read_photograph`` gives it: 8, 16 or 32 (floating point)."""
    has_alpha: bool = False
    frames: int = 1
    """Pictures in the file; only one is read."""
    page: int = 1
    """That of a TIFF which is read; thumbnails do not count."""
    orientation: int = 1
    """1 to 8 as EXIF numbers them: how the stored pixels are turned upright."""
    is_converted: bool = False
    """Colours become sRGB by the profile, which says nothing of the result."""
    lossless: bool = True
    """False where the pixels are stored with losses, as far as that is known without
    decoding."""
    metadata: Metadata = NO_METADATA
    """As they are stored, which ``map_to`` fits to the pixels of an output; the colour
    profile may be of another kind (CMYK)."""
    raster: str | None = None
    """The reason to read it as a raster, for the user; None for photographs."""
    is_on_map: bool = False
    """A place on the map, or a mask, is that reason."""
    refusal: str | None = None
    """The reason that it cannot be read as a photograph, for the user."""
    warnings: tuple[str, ...] = ()
    """Losses of reading it as a photograph, in words for the user."""
    input_id: str = ""
    """What its enlargement will record of it, taken before its pixels are read."""
    has_default_image: bool = False
    """Beside its frames, an animation has a picture for programs that show none."""

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.height, self.width

    @property
    def is_animation(self) -> bool:
        """True if it has frames that are shown one after another."""
        source = FORMATS.get(self.format)
        return source is not None and source.animated and self.frames > 1

    def keeps_animation(self, fmt: str) -> bool:
        """Return True if it is an animation, and a format can hold all its frames."""
        target = FORMATS[fmt]
        return self.is_animation and (target.animated or target.video)

    @property
    def stored_size(self) -> Size:
        """Height and width of its pixels before they are turned."""
        if self.orientation > 4:
            return self.width, self.height
        return self.size

    def map_to(self, size: Size) -> PixelMap:
        """Return the map of its stored pixels to those of an upright picture of a size."""
        return PixelMap(self.stored_size, size, self.orientation)

    @property
    def losses(self) -> tuple[str, ...]:
        """Losses of reading its first picture alone, in words for the user."""
        if self.frames == 1:
            return self.warnings
        # the main picture of HEIC may be any of them
        used = "the main one" if self.format == "heic" else "the first"
        return (*self.warnings, f"holds {self.frames} pictures: only {used} is used")


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """Pixels the right way up, with their metadata."""

    pixels: Array
    """(H, W, C), C = 1 (gray) or 3 (RGB); uint8, uint16 or float32 (in the file's own
    values)."""
    alpha: Array | None = None
    """(H, W) of the same dtype, not multiplied into the pixels; the dtype's maximum
    (1.0 for floats) is opaque."""
    metadata: Metadata = NO_METADATA
    """As they are stored, until they are fitted to the pixels of an output."""
    warnings: tuple[str, ...] = ()
    """Losses of reading the file, in words for the user."""


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
    if needed > size * tiff_pages.DEFLATE_RATIO:
        _check_pixel_count(path, pixels, 0, size)


def _check_pixel_count(path: Path, pixels: int, most: float, size: int) -> None:
    """Refuse a file with more than the most pixels that its bytes can hold."""
    if pixels > most:
        raise tiff_pages.truncated_file(
            path, f"{size:,} bytes cannot hold its {pixels:,} pixels"
        )
