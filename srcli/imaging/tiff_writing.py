"""Write TIFF files of 8, 16 and 32 bits with their metadata; BigTIFF where 4 GB may not do.

libvips writes the pixels. The directory of tags is packed anew behind them, because neither
libvips nor GDAL nor tifffile writes EXIF to TIFF, and Pillow does not beside 16-bit colour.
"""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any

from srcli.imaging import exif, vips
from srcli.imaging.ifd import Entry, read_directory, read_start, repacked, write_start
from srcli.imaging.tiff import DESCRIPTIVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.imaging.photograph import Metadata

    Array = NDArray[Any]

_LARGEST_CLASSIC = 2**32 - 2**26  # bytes
_X_RESOLUTION, _Y_RESOLUTION, _UNIT, _XMP, _ICC = 282, 283, 296, 700, 34675
_INCH = 2


def write(stream: IO[bytes], values: Array, metadata: Metadata) -> None:
    """Write one picture.

    Args:
        stream: An empty file that can be sought in and read.
        values: (H, W, C), uint8, uint16 or float32, C = 1 to 4 with alpha last.
        metadata: Metadata to embed.

    Raises:
        OSError: If the stream does not take it.
    """

    def read(at: int, length: int) -> bytes:
        stream.seek(at)
        return stream.read(length)

    vips.encode(
        stream,
        values,
        ".tif",
        compression="deflate",
        level=3,
        predictor="float" if values.dtype.kind == "f" else "horizontal",
        bigtiff=values.nbytes > _LARGEST_CLASSIC,
    )
    layout, first = read_start(read(0, 16))
    structure, _ = read_directory(read, first, layout)
    entries = [tag for tag in structure if tag.tag not in (_X_RESOLUTION, _Y_RESOLUTION, _UNIT)]
    parts: dict[int, list[Entry]] = {}
    if metadata.exif is not None:
        main, parts, own = exif.directories(metadata.exif)
        entries += [repacked(tag, own, layout) for tag in main if tag.tag in DESCRIPTIVE]
        parts = {k: [repacked(tag, own, layout) for tag in part] for k, part in parts.items()}
    if metadata.dpi is not None:
        for tag, value in zip((_X_RESOLUTION, _Y_RESOLUTION), metadata.dpi, strict=True):
            part = Fraction(min(value, 1e6)).limit_denominator(4000)
            ratio = struct.pack(layout.order + "II", part.numerator, part.denominator)
            entries.append(Entry(tag, 5, 1, ratio))
        entries.append(Entry(_UNIT, 3, 1, struct.pack(layout.order + "H", _INCH)))
    if metadata.xmp:
        entries.append(Entry(_XMP, 1, len(metadata.xmp), metadata.xmp))
    if metadata.icc:
        entries.append(Entry(_ICC, 7, len(metadata.icc), metadata.icc))
    end = stream.seek(0, os.SEEK_END)
    start = end + end % 2
    stream.write(bytes(start - end) + exif.pack(entries, parts, start, layout))
    stream.seek(0)
    stream.write(write_start(layout, start))
