"""The boxes of AVIF and HEIC files: what their libraries do not tell, and an old mistake."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLOURS = b"nclx"
_MONOCHROME = 0x10


def code_points(data: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer function (ITU-T H.273) of the main picture; None if unsaid."""
    try:
        meta = next(content for kind, content in _boxes(data) if kind == b"meta")
        parts = dict(_boxes(meta[4:]))
        main, properties = parts[b"pitm"], list(_boxes(parts[b"iprp"]))
        number = int.from_bytes(main[4:8] if main[0] else main[4:6])
        known = [one for kind, content in properties if kind == b"ipco" for one in _boxes(content)]
        for kind, content in properties:
            for index in _associations(content, number) if kind == b"ipma" else ():
                kind, colours = known[index - 1]
                if kind == b"colr" and colours[:4] == _COLOURS:
                    primaries, transfer = struct.unpack_from(">HH", colours, 4)
                    return primaries, transfer
    except (StopIteration, LookupError, ValueError, struct.error):
        pass  # the decoder tells what is damaged
    return None


def _associations(data: bytes, number: int) -> list[int]:
    """Return the properties of one item, numbered from 1."""
    item_code, code, mask = ">I" if data[0] else ">H", "B", 0x7F
    if data[3] & 1:
        code, mask = "H", 0x7FFF
    at = 8
    for _ in range(int.from_bytes(data[4:8])):
        (item,) = struct.unpack_from(item_code, data, at)
        at += struct.calcsize(item_code)
        form = f">{data[at]}{code}"
        if item == number:
            found = (one & mask for one in struct.unpack_from(form, data, at + 1))
            return [index for index in found if index]
        at += 1 + struct.calcsize(form)
    return []


def with_code_points(data: bytes, cicp: bytes) -> bytes:
    """Return an AVIF file with other primaries and transfer function than its encoder wrote."""
    at = data.find(b"colr" + _COLOURS) + 8
    if at < 8:
        raise ValueError("the encoder wrote no colours")
    return data[:at] + struct.pack(">HH", cicp[0], cicp[1]) + data[at + 4 :]


def whole_meta(data: bytes) -> bytes:
    """Return the content of the box of metadata of a file."""
    found = [content for kind, content in _boxes(data) if kind == b"meta"]
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
    """
    properties = dict(_boxes(whole_meta(data)[4:])).get(b"iprp", b"")
    parts = list(_boxes(properties))
    found = [content for kind, content in parts if kind == b"ipma"]
    if len(found) < 2 or len({content[:4] for content in found}) > 1:
        raise ValueError("it has no two associations of one version")
    count = sum(int.from_bytes(content[4:8]) for content in found)
    entries = b"".join(content[8:] for content in found)
    merged = _box(b"ipma", found[0][:4] + struct.pack(">I", count) + entries)
    others = b"".join(_box(kind, content) for kind, content in parts if kind != b"ipma")
    old, new = _box(b"iprp", properties), _box(b"iprp", others + merged)
    # what is saved becomes an empty box
    return data.replace(old, new + _box(b"free", bytes(len(old) - len(new) - 8)), 1)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over boxes: their kind and content."""
    at = 0
    while at < len(data):
        size, head = int.from_bytes(data[at : at + 4]), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16]), 16
        end = at + size if size else len(data)  # 0 is up to the end
        if not at + head <= end <= len(data):
            raise ValueError("the file ends too early")
        yield data[at + 4 : at + 8], data[at + head : end]
        at = end
