"""Write TIFF files of one page or more: pixels by libvips, tags packed anew behind them.

Neither libvips nor GDAL nor tifffile writes EXIF to TIFF, and Pillow does not beside
16-bit colour.
"""

from __future__ import annotations

import os
import shutil
import struct
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from PIL.ExifTags import Base

from srcli.imaging.files.tiff_blocks import BLOCKS
from srcli.imaging.files.tiff_directories import (
    LONG,
    LONG8,
    SHORT,
    DirectoryForm,
    Entry,
    Tags,
    read_start,
)
from srcli.imaging.files.tiff_pages import DESCRIPTIVE, INCH, RESOLUTION, read_page
from srcli.imaging.metadata import exif
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.photographs import vips
from srcli.imaging.pixels.arrays import Array

LARGEST_CLASSIC = 2**32 - 2**26
"""Bytes of pixels beyond which BigTIFF is written."""
LINK_BYTES = 8
"""Bytes at the end of a page that may hold the offset of the next one."""


def write(
    stream: IO[bytes], values: Array, metadata: Metadata, *, big: bool = False
) -> None:
    """Write one picture, (H, W, C) of any depth with alpha last; BigTIFF where 4 GB may not do.

    The file is empty, and can be sought in and read. ``big`` is for pages that follow.
    """
    _encode(stream, values, big=big or values.nbytes > LARGEST_CLASSIC)
    page = read_page(stream)
    directory = write_directory(
        stream, page.layout, _without_resolution(page.tags), metadata
    )
    stream.seek(0)
    stream.write(page.layout.start(directory))


def append(
    stream: IO[bytes], values: Array, metadata: Metadata, *, big: bool = False
) -> None:
    """Append a page to a file that ``write`` has begun, with the same ``big``.

    ValueError is raised where the file becomes too large for a TIFF that is not.
    """
    end = stream.seek(0, os.SEEK_END)
    shift = end + end % 2
    with TemporaryFile(dir=Path(stream.name).parent) as page_file:
        _encode(page_file, values, big=big)
        page = read_page(page_file)
        page_file.seek(0)
        stream.write(bytes(shift - end))
        shutil.copyfileobj(page_file, stream)
    tags = _without_resolution(page.tags)
    offsets = Entry(LONG8 if big else LONG, b"")
    for tag, _ in BLOCKS:
        if tag in tags:
            moved = [shift + offset for offset in tags[tag].numbers]
            entry = offsets.with_numbers(moved)
            if entry is None:
                raise ValueError("its pages take more than 4 GB")
            tags[tag] = entry
    directory = write_directory(stream, page.layout, tags, metadata)
    # the directory before ends with the offset of the next one
    stream.seek(end - page.layout.inline)
    stream.write(page.layout.offset.pack(directory))


def cut_off(stream: IO[bytes], end: int) -> None:
    """Cut a file that ``write`` has begun off behind a page, which becomes the last one.

    ``end`` is the length that the file had with this page; 0 empties it.
    """
    stream.truncate(end)
    stream.seek(0)
    if end:
        layout, _ = read_start(stream.read(16))
        stream.seek(end - layout.inline)
        stream.write(bytes(layout.inline))


def _encode(stream: IO[bytes], values: Array, *, big: bool) -> None:
    """Write a file of one page without metadata."""
    vips.encode_by_libvips(
        stream,
        values,
        ".tif",
        compression="deflate",
        level=3,
        predictor="float" if values.dtype.kind == "f" else "horizontal",
        bigtiff=big,
    )


def _without_resolution(tags: Tags) -> Tags:
    """Return tags without the resolution that libvips makes up."""
    return {tag: entry for tag, entry in tags.items() if tag not in RESOLUTION}


def write_directory(
    stream: IO[bytes],
    layout: DirectoryForm,
    tags: Tags,
    metadata: Metadata,
    following: int = 0,
) -> int:
    """Write tags of pixels, and metadata, at the end of a file; return their offset.

    ``following`` is the offset of the next directory, 0 for the last one.
    """
    tags = dict(tags)
    linked_ifds = {}
    if metadata.exif is not None:
        block = exif.read_exif(metadata.exif)
        linked_ifds = block.linked_ifds
        kept = DESCRIPTIVE.union(RESOLUTION)
        tags |= {tag: block.main[tag] for tag in block.main.keys() & kept}
    if metadata.dpi is not None:
        for tag, value in zip(RESOLUTION, metadata.dpi, strict=False):
            ratio = Fraction(min(value, 1e6)).limit_denominator(4000).as_integer_ratio()
            tags[tag] = Entry(5, struct.pack("<II", *ratio))
        tags[RESOLUTION[2]] = Entry(SHORT, struct.pack("<H", INCH))
    if metadata.xmp:
        tags[Base.XMLPacket] = Entry(1, metadata.xmp)
    if metadata.icc:
        tags[Base.InterColorProfile] = Entry(7, metadata.icc)
    if metadata.iptc:
        # of whole words, as libtiff and exiftool have it
        padding = bytes(-len(metadata.iptc) % 4)
        tags[Base.IPTCNAA] = Entry(LONG, metadata.iptc + padding)
    end = stream.seek(0, os.SEEK_END)
    start = end + end % 2
    packed, directory = exif.pack(tags, linked_ifds, start, layout)
    stream.write(bytes(start - end) + packed)
    if following:
        stream.seek(directory)
        (count,) = layout.count.unpack(stream.read(layout.count.size))
        stream.seek(count * layout.entry.size, os.SEEK_CUR)
        stream.write(layout.offset.pack(following))
        stream.seek(0, os.SEEK_END)
    return directory
