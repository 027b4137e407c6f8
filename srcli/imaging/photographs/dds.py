"""DDS textures of kinds that Pillow does not know, as kinds that it knows.

Since Direct3D 10 a second header names the kind of pixels by a number (Microsoft's
``DXGI_FORMAT``). Pillow 13 reads few of these. Blocks are the same with and without
sRGB, and plain pixels can be described by the masks of the first header.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import IO, NamedTuple

_HEADER = 128
"""Bytes of the first header, with its magic number."""
_SECOND_HEADER = 20
_KIND = slice(80, 108)
"""Where the first header describes pixels: flags, code, bits, and four masks."""
_FOUR_CC, _RGB, _ALPHA, _LUMINANCE = 0x4, 0x40, 0x1, 0x20000
_ALPHA_ALONE = 0x2
_SEVERAL = 0x200200  # bits of the first header for six faces, and for a volume
SAME_BLOCKS: Mapping[int, int] = {72: 71, 75: 74, 78: 77}
"""BC1 to BC3 in sRGB, and the same blocks without."""


class Masks(NamedTuple):
    """Bits of a plain pixel, and which of them are red, green, blue and alpha."""

    bits: int
    red: int
    green: int = 0
    blue: int = 0
    alpha: int = 0


PLAIN: Mapping[int, Masks] = {
    49: Masks(16, 0xFF, 0xFF00),  # R8G8
    61: Masks(8, 0xFF),  # R8
    85: Masks(16, 0xF800, 0x07E0, 0x001F),  # B5G6R5
    86: Masks(16, 0x7C00, 0x03E0, 0x001F, 0x8000),  # B5G5R5A1
    87: Masks(32, 0xFF0000, 0xFF00, 0xFF, 0xFF000000),  # B8G8R8A8
    88: Masks(32, 0xFF0000, 0xFF00, 0xFF),  # B8G8R8X8
    91: Masks(32, 0xFF0000, 0xFF00, 0xFF, 0xFF000000),  # B8G8R8A8, sRGB
    93: Masks(32, 0xFF0000, 0xFF00, 0xFF),  # B8G8R8X8, sRGB
    115: Masks(16, 0x0F00, 0x00F0, 0x000F, 0xF000),  # B4G4R4A4
}
"""Plain pixels by the number of their kind, lowest byte first."""
NAMES: Mapping[int, str] = {
    2: "R32G32B32A32_FLOAT",
    6: "R32G32B32_FLOAT",
    10: "R16G16B16A16_FLOAT",
    11: "R16G16B16A16_UNORM",
    16: "R32G32_FLOAT",
    24: "R10G10B10A2_UNORM",
    26: "R11G11B10_FLOAT",
    34: "R16G16_FLOAT",
    35: "R16G16_UNORM",
    41: "R32_FLOAT",
    54: "R16_FLOAT",
    56: "R16_UNORM",
    65: "A8_UNORM",
    67: "R9G9B9E5_SHAREDEXP",
    81: "BC4_SNORM",
}
"""What is not read, by Microsoft's names without ``DXGI_FORMAT_``."""


def as_known_kind(stream: IO[bytes]) -> IO[bytes]:
    """Return the stream, or a copy in memory with the header of a kind that Pillow reads.

    Both stand at their beginning.
    """
    stream.seek(0)
    start = bytearray(stream.read(_HEADER + _SECOND_HEADER))
    stream.seek(0)
    kind = _second_kind(start)
    if kind is None:
        return stream
    if kind in SAME_BLOCKS:
        start[_HEADER : _HEADER + 4] = struct.pack("<I", SAME_BLOCKS[kind])
    elif kind in PLAIN:
        masks = PLAIN[kind]
        flags = _RGB | _ALPHA if masks.alpha else _RGB
        if masks.bits == 8:
            flags = _LUMINANCE
        start[_KIND] = struct.pack("<I4x5I", flags, *masks)
        del start[_HEADER:]
    else:
        return stream
    stream.seek(_HEADER + _SECOND_HEADER)
    return io.BytesIO(bytes(start) + stream.read())


def describe_kind(stream: IO[bytes]) -> str:
    """Return what a texture's pixels are, by Microsoft's names or the code of its header."""
    stream.seek(0)
    start = stream.read(_HEADER + _SECOND_HEADER)
    kind = _second_kind(start)
    if kind is not None:
        return NAMES.get(kind, f"DXGI format {kind}")
    flags, code = struct.unpack_from("<I4s", start, _KIND.start)
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
