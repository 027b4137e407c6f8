"""Write BMP files row by row: Pillow would hold four bytes for each pixel of a picture."""

from __future__ import annotations

import struct
from typing import IO

import numpy as np

from srcli.imaging.pixels.arrays import Array, strips

_FILE_HEADER = 14
_HEADER = 40
_INCHES_PER_METRE = 39.3701
_USUAL_DPI = (96.0, 96.0)
_LARGEST_DPI = 2**16 - 1
"""A file's resolution beyond it is taken for a mistake."""


def write(stream: IO[bytes], values: Array, dpi: tuple[float, float] | None) -> None:
    """Write one picture into an empty file: (H, W, C) uint8, gray or RGB."""
    height, width, channels = values.shape
    palette = b""
    if channels == 1:
        palette = b"".join(
            struct.pack("4B", gray, gray, gray, 0) for gray in range(256)
        )
    colour_count = len(palette) // 4
    stride = -(-width * channels // 4) * 4
    start = _FILE_HEADER + _HEADER + len(palette)
    stream.write(b"BM" + struct.pack("<III", start + stride * height, 0, start))
    if dpi is None or max(dpi) > _LARGEST_DPI:
        dpi = _USUAL_DPI
    per_metre = [int(side * _INCHES_PER_METRE + 0.5) for side in dpi]
    stream.write(
        struct.pack(
            "<IiiHHIIiiII",
            _HEADER,
            width,
            height,
            1,  # planes
            8 * channels,
            0,  # no compression
            stride * height,
            *per_metre,
            colour_count,
            colour_count,
        )
    )
    stream.write(palette)
    upside_down = values[::-1, :, ::-1]  # from the bottom up, and blue first
    for rows in strips(upside_down):
        count = rows.stop - rows.start
        lines = np.zeros((count, stride), np.uint8)
        lines[:, : width * channels] = upside_down[rows].reshape(count, -1)
        stream.write(lines.data)
