"""Boxes of MP4, AVIF, JPEG XL and JPEG 2000, and what those of pictures say unseen by Pillow."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

_LARGEST_META = 2**26  # bytes, most of them a colour profile

_JP2_COLOURS = {12: "CMYK", 13: "YCCK", 14: "CIELab", 19: "CIEJab"}
"""Enumerated colour spaces that GDAL neither converts nor names."""

_MOST_BOXES = 10_000
"""Of a file or a box; small ones could fill it."""


class FileBox(NamedTuple):
    """A box of a file: its kind, and where its content lies."""

    kind: bytes
    start: int
    end: int


def read_jp2_colours(stream: IO[bytes]) -> str:
    """Return the colours of a JPEG 2000 file if they are a kind that GDAL leaves alone; else ""."""
    for kind, content in split_boxes(find_box(stream, b"jp2h")):
        if kind == b"colr" and content[:1] == b"\1":
            return _JP2_COLOURS.get(int.from_bytes(content[3:7]), "")
    return ""


def read_item_kind(stream: IO[bytes]) -> str:
    """Return how the picture of an AVIF or HEIC file is stored, such as ``av01``; maybe ""."""
    meta = find_box(stream, b"meta")
    number = _primary_item(meta)
    items = find_box(meta[4:], b"iinf")
    # behind version, flags and their number, which version 0 has in two bytes
    start = 6 if items[:1] == b"\0" else 8
    for kind, content in split_boxes(items[start:]):
        size = 2 if content[:1] == b"\2" else 4
        if kind == b"infe" and int.from_bytes(content[4 : 4 + size]) == number:
            return content[6 + size : 10 + size].decode("latin-1")
    return ""


def without_exif(data: bytes) -> bytes:
    """Return an AVIF file with its items of EXIF renamed, so that readers pass over them."""
    meta = find_box(data, b"meta")
    items = find_box(meta[4:], b"iinf")
    if not items:
        return data
    return data.replace(items, items.replace(b"Exif", b"none"), 1)


def is_deep_avif(start: bytes) -> bool:
    """Tell if the AV1 configuration of an AVIF file says 10 or 12 bits."""
    configuration = start.partition(b"av1C")[2]
    return len(configuration) > 2 and bool(configuration[2] & 0x40)


def _primary_item(meta: bytes) -> int:
    """Return the number of the item that is the picture."""
    item = find_box(meta[4:], b"pitm")
    size = 2 if item[:1] == b"\0" else 4
    return int.from_bytes(item[4 : 4 + size])


def walk(
    stream: IO[bytes], start: int = 0, end: int | None = None, *, is_cut: bool = False
) -> Iterator[FileBox]:
    """Yield the boxes that follow each other between two positions of a file.

    It ends at one that is damaged; where the file ``is_cut``, so may the last box be.
    """
    if end is None:
        end = stream.seek(0, os.SEEK_END)
    for _ in range(_MOST_BOXES):
        stream.seek(start)
        head = stream.read(16)
        if start + 8 > end or len(head) < 8:
            return
        length, kind = struct.unpack_from(">I4s", head)
        content = start + 8
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:])
            content = start + 16
        elif length == 0:
            length = end - start
        start += length
        if start < content or (start > end and not is_cut):
            return
        yield FileBox(kind, content, min(start, end))


def split_boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return kind and content of the boxes that follow each other in some bytes."""
    boxes = []
    for box in walk(io.BytesIO(data)):
        boxes.append((box.kind, data[box.start : box.end]))
    return boxes


def find_box(source: IO[bytes] | bytes, *path: bytes) -> bytes:
    """Return the content of the first box at a path, of a cut file what is there; else nothing."""
    content = b""
    for kind in path:
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        content = b""
        for box in walk(stream, is_cut=True):
            if box.kind == kind:
                stream.seek(box.start)
                content = stream.read(min(box.end - box.start, _LARGEST_META))
                break
        source = content
    return content
