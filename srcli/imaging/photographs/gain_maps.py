"""HDR gain maps, by which screens brighten a picture: where files of pictures hold one."""

from __future__ import annotations

import re
from typing import IO

ISO_MARK = b"urn:iso:std:iso:ts:21496:-1\0"
"""How the segment begins that describes the map in a JPEG (ISO 21496-1)."""
_MARKS = (
    ISO_MARK,
    b"http://ns.adobe.com/hdr-gain-map/",
    b"http://ns.apple.com/HDRGainMap/",
)
_ITEM = re.compile(rb"infe.{8}(?:..)?tmap|:aux:hdrgainmap\0", re.DOTALL)
"""Items of AVIF and HEIC that are gain maps."""


def jpeg_has_gain_map(stream: IO[bytes]) -> bool:
    """Tell if one of the pictures in a JPEG is a gain map."""
    stream.seek(0)
    data = stream.read()
    return any(mark in data for mark in _MARKS)


def items_have_gain_map(start: bytes) -> bool:
    """Tell if the boxes at the start of an AVIF or HEIC file describe a gain map."""
    return _ITEM.search(start) is not None
