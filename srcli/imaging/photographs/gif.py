"""Metadata of GIF files that Pillow does not hand out."""

from __future__ import annotations

from typing import IO

_XMP_START = b"!\xff\x0bXMP DataXMP"
_XMP_END = b"\1\xff\xfe\xfd"
"""How the trailer begins by which readers of blocks find the end of the packet."""
_LARGEST_XMP = 2**24


def read_xmp(stream: IO[bytes]) -> bytes | None:
    """Return the XMP packet of a GIF file, which stands there in one piece; None without."""
    stream.seek(0)
    _, start, behind = stream.read().partition(_XMP_START)
    packet, end, _ = behind.partition(_XMP_END)
    if not start or not end or len(packet) > _LARGEST_XMP:
        return None
    return packet or None
