"""The highest bit of TGA's pixels of 16 bits, which Pillow 13 takes for its opposite."""

from __future__ import annotations

import io
import struct
from functools import cache
from typing import IO

import numpy as np
from numpy.typing import NDArray

HEADER = struct.Struct("<3B2HB4H2B")
"""TGA's header, TrueVision's specification 2.0 (1989), C.2: lengths and kinds, place and
size, then bits of a pixel and the descriptor, whose lower half counts attribute bits."""
MAPPED = (1, 9)
TRUE_COLOUR = (2, 10)
"""Kinds of pictures: as they are, and in runs."""


def correct_alpha(stream: IO[bytes], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the alpha (H, W) of a TGA, given what Pillow reads of it, in 0 to 255.

    Of 16 bits one is left: where the header counts it as an attribute bit, 1 is opaque,
    as image editors and graphics cards (BGRA5551) have it; else it means nothing.
    """
    stream.seek(0)
    fields = HEADER.unpack(stream.read(HEADER.size))
    map_bits, kind, bits, descriptor = fields[5], fields[2], fields[10], fields[11]
    of_16_bits = (kind in TRUE_COLOUR and bits == 16) or (
        kind in MAPPED and map_bits == 16
    )
    if not of_16_bits:
        return alpha
    if not descriptor & 0x0F:
        return np.full_like(alpha, 255)
    return 255 - alpha if _is_inverted() else alpha


@cache
def _is_inverted() -> bool:
    """Return True if Pillow takes a bit of 1 for transparent, as its version 13 does."""
    from PIL import Image

    header = HEADER.pack(0, 0, 2, 0, 0, 0, 0, 0, 8, 1, 16, 1)
    pixels = struct.pack("<8H", *[0xFFFF] * 8)
    with Image.open(io.BytesIO(header + pixels)) as picture:
        return bool(np.asarray(picture.convert("RGBA"))[0, 0, 3] == 0)
