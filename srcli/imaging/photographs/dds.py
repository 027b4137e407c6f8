"""DDS textures whose blocks Pillow 13 reads, but not in sRGB; names of kinds that it does not read.

Since Direct3D 10 a second header names the kind of pixels by a number (Microsoft's
``DXGI_FORMAT``).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import IO

from PIL.DdsImagePlugin import DXGI_FORMAT

_HEADER = 128
"""Bytes of the first header, with its magic number."""
_SECOND_HEADER = 20
_KIND = 80
"""Where the first header describes pixels: flags and a code."""
_FOUR_CC = 0x4
_ALPHA_ALONE = 0x2
_SEVERAL = 0x200200  # bits of the first header for six faces, and for a volume
SAME_BLOCKS: Mapping[int, int] = {72: 71, 75: 74, 78: 77}
"""BC1 to BC3 in sRGB, and the same blocks without."""


def as_known_kind(stream: IO[bytes]) -> IO[bytes]:
    """Return the stream, or a copy in memory whose header names blocks that Pillow reads.

    Both stand at their beginning.
    """
    stream.seek(0)
    start = bytearray(stream.read(_HEADER + _SECOND_HEADER))
    stream.seek(0)
    kind = _second_kind(start)
    if kind is None or kind not in SAME_BLOCKS:
        return stream
    start[_HEADER : _HEADER + 4] = struct.pack("<I", SAME_BLOCKS[kind])
    stream.seek(_HEADER + _SECOND_HEADER)
    return io.BytesIO(bytes(start) + stream.read())


def describe_kind(stream: IO[bytes]) -> str:
    """Return what a texture's pixels are, by Pillow's names or the code of its header."""
    stream.seek(0)
    start = stream.read(_HEADER + _SECOND_HEADER)
    kind = _second_kind(start)
    if kind is not None:
        with suppress(ValueError):
            return DXGI_FORMAT(kind).name
        return f"DXGI format {kind}"
    flags, code = struct.unpack_from("<I4s", start, _KIND)
    if flags & _FOUR_CC:
        return code.decode("ascii", "replace").strip("\0 ") or "an empty code"
    if flags & _ALPHA_ALONE:
        return "alpha alone"
    return f"pixels with the flags {flags:#x}"


def note_losses(start: bytes, pixel_format: str) -> list[str]:
    """Note what of a texture is not read: high dynamic range, and further pictures.

    ``start`` is the beginning of the file, ``pixel_format`` the blocks by Pillow's name.
    """
    notes = []
    if pixel_format.startswith("BC6"):
        notes.append("over 8 bits: rounded to 8")
    several = int.from_bytes(start[112:116], "little") & _SEVERAL
    if start[84:88] == b"DX10":
        # its mark of cube maps, and its number of pictures
        several |= start[136] & 4 or int.from_bytes(start[140:144], "little") > 1
    if several:
        notes.append("a cube map, array or volume: only its first picture is used")
    return notes


def _second_kind(start: bytes | bytearray) -> int | None:
    """Return the number of the second header, None if there is none."""
    if len(start) < _HEADER + 4 or start[84:88] != b"DX10":
        return None
    kind: int = struct.unpack_from("<I", start, _HEADER)[0]
    return kind
