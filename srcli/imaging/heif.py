"""The boxes of AVIF and HEIC files: what their libraries do not tell."""

from __future__ import annotations

import os
import struct
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_META = 2**24  # bytes
_COLOURS = b"nclx"


def code_points(stream: IO[bytes]) -> tuple[int, int] | None:
    """Return primaries and transfer function (ITU-T H.273) of the main picture; None if unsaid."""
    stream.seek(0)
    end = stream.seek(0, os.SEEK_END)
    try:
        meta = _read_meta(stream, end)
        return None if meta is None else _main_colours(meta)
    except (struct.error, IndexError):
        return None  # the decoder tells what is damaged


def with_code_points(data: bytes, cicp: bytes) -> bytes:
    """Return an AVIF file with other primaries and transfer function than its encoder wrote.

    Args:
        data: Of libavif, which always writes them.
        cicp: The bytes of ``ColourLabel.cicp``.

    Raises:
        ValueError: If the file holds none.
    """
    at = data.find(b"colr" + _COLOURS) + 8
    if at < 8:
        raise ValueError("the encoder wrote no colours")
    return data[:at] + struct.pack(">HH", cicp[0], cicp[1]) + data[at + 4 :]


def _read_meta(stream: IO[bytes], end: int) -> bytes | None:
    at = 0
    while at + 8 <= end:
        stream.seek(at)
        size, kind = struct.unpack(">I4s", stream.read(8))
        if size == 1:
            size = int.from_bytes(stream.read(8))
        if kind == b"meta":
            return stream.read(min(size, _LARGEST_META) - 8)[4:]
        if size < 8:
            return None
        at += size
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the boxes in data: type and content."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        size = size or len(data) - at
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _main_colours(meta: bytes) -> tuple[int, int] | None:
    parts = dict(_boxes(meta))
    main = parts.get(b"pitm", b"")
    number = int.from_bytes(main[4:8] if main[:1] > b"\0" else main[4:6])
    properties: list[tuple[bytes, bytes]] = []
    used: list[int] = []
    for kind, content in _boxes(parts.get(b"iprp", b"")):
        if kind == b"ipco":
            properties = list(_boxes(content))
        elif kind == b"ipma":
            used += _associations(content, number)
    for index in used:
        kind, content = properties[index - 1]
        if kind == b"colr" and content[:4] == _COLOURS:
            primaries, transfer = struct.unpack_from(">HH", content, 4)
            return primaries, transfer
    return None


def _associations(data: bytes, number: int) -> list[int]:
    """Return the properties of one item, numbered from 1."""
    wide_items, wide = data[0] > 0, data[3] & 1
    (count,) = struct.unpack_from(">I", data, 4)
    at = 8
    for _ in range(count):
        (item,) = struct.unpack_from(">I" if wide_items else ">H", data, at)
        at += 4 if wide_items else 2
        entries = data[at]
        step = 2 if wide else 1
        if item == number:
            form = f">{entries}{'H' if wide else 'B'}"
            mask = 0x7FFF if wide else 0x7F
            found = (one & mask for one in struct.unpack_from(form, data, at + 1))
            return [index for index in found if index]
        at += 1 + step * entries
    return []
