"""The boxes of AVIF and HEIC files: what their libraries do not tell, and an old mistake."""

from __future__ import annotations

import os
import struct
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_META = 2**24  # bytes
_COLOURS = b"nclx"
_HEADER = 8  # bytes of a box before its content
_FULL_HEADER = 12  # with version and flags
_MONOCHROME = 0x10


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


def whole_meta(data: bytes) -> bytes:
    """Return the box of metadata of a file.

    Raises:
        ValueError: If there is none, or the file ends inside of a box.
    """
    found = [data[start:end] for kind, start, end in _whole_boxes(data) if kind == b"meta"]
    if not found:
        raise ValueError("it has no metadata")
    return found[0]


def count_gray(data: bytes) -> int:
    """Count the AV1 configurations of one channel: of gray pictures, alpha and gain maps."""
    parts = whole_meta(data).split(b"av1C")[1:]
    return sum(len(part) > 2 and bool(part[2] & _MONOCHROME) for part in parts)


def with_one_association(data: bytes) -> bytes:
    """Return a file with its boxes ``ipma``, of which there may be only one, made one.

    Old encoders wrote one for the colours and one for alpha, which libavif refuses and browsers
    showed. Nothing else in the file moves.

    Raises:
        ValueError: If there are not several, or the file is damaged.
    """
    _, start, end = _find(data, b"meta", 0, len(data))
    _, start, end = _find(data, b"iprp", start + _FULL_HEADER, end)
    parts = [(kind, data[at:to]) for kind, at, to in _whole_boxes(data, start + _HEADER, end)]
    found = [part for kind, part in parts if kind == b"ipma"]
    if len(found) < 2 or len({part[_HEADER:_FULL_HEADER] for part in found}) > 1:
        raise ValueError("it has no two associations of one version")
    entries = b"".join(part[_FULL_HEADER + 4 :] for part in found)
    count = sum(int.from_bytes(part[_FULL_HEADER : _FULL_HEADER + 4]) for part in found)
    content = found[0][4:_FULL_HEADER] + struct.pack(">I", count) + entries
    others = b"".join(part for kind, part in parts if kind != b"ipma")
    properties = _box(b"iprp", others + _box(content[:4], content[4:]))
    # what is saved becomes an empty box
    left = end - start - len(properties)
    return data[:start] + properties + _box(b"free", bytes(left - _HEADER)) + data[end:]


def _read_meta(stream: IO[bytes], end: int) -> bytes | None:
    at = 0
    while at + 8 <= end:
        stream.seek(at)
        size, kind = struct.unpack(">I4s", stream.read(8))
        if size == 1:
            size = int.from_bytes(stream.read(8))
        size = size or end - at  # 0 is up to the file's end
        if kind == b"meta" and size >= 12:
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


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", _HEADER + len(content), kind) + content


def _find(data: bytes, kind: bytes, at: int, end: int) -> tuple[bytes, int, int]:
    found = next((box for box in _whole_boxes(data, at, end) if box[0] == kind), None)
    if found is None:
        raise ValueError(f"it has no box {kind.decode()}")
    return found


def _whole_boxes(
    data: bytes, at: int = 0, stop: int | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over boxes: their kind, start and end.

    Raises:
        ValueError: If one does not end inside of the data.
    """
    stop = len(data) if stop is None else stop
    while at < stop:
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        end = at + size if size else stop
        if not at + _HEADER <= end <= stop:
            raise ValueError("the file ends too early")
        yield data[at + 4 : at + 8], at, end
        at = end
