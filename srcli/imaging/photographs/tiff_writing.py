"""Write TIFF files: pixels by libvips, tags packed anew behind them.

Neither libvips nor GDAL nor tifffile writes EXIF to TIFF, and Pillow does not beside
16-bit colour.
"""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from typing import IO

import numpy as np
from PIL.ExifTags import Base

from srcli.imaging.files.tiff_directories import (
    LONG,
    SHORT,
    DirectoryForm,
    Entry,
    Tags,
)
from srcli.imaging.files.tiff_pages import DESCRIPTIVE, INCH, RESOLUTION, read_page
from srcli.imaging.metadata import exif
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.photographs import vips
from srcli.imaging.pixels.arrays import Array

LARGEST_CLASSIC = 2**32 - 2**26
"""Bytes of pixels beyond which BigTIFF is written."""


def write(stream: IO[bytes], values: Array, metadata: Metadata) -> None:
    """Write one picture, (H, W, C) of any depth with alpha last; BigTIFF where 4 GB may not do.

    The file is empty, and can be sought in and read.
    """
    _encode(stream, values, big=values.nbytes > LARGEST_CLASSIC)
    page = read_page(stream)
    directory = write_directory(
        stream, page.layout, _without_resolution(page.tags), metadata
    )
    stream.seek(0)
    stream.write(page.layout.start(directory))


def _encode(stream: IO[bytes], values: Array, *, big: bool) -> None:
    """Write a file of one page without metadata; of truth values, true is white."""
    if values.dtype == np.bool_:
        vips.encode_by_libvips(
            stream,
            values * np.uint8(255),
            ".tif",
            compression="ccittfax4",
            bitdepth=1,
            miniswhite=True,
            bigtiff=big,
        )
        return
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
