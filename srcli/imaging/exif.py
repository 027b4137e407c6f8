"""Read the orientation that EXIF and XMP blocks state, and set it to upright.

Blocks are edited in place: all libraries that were tried (Pillow, libvips, tifffile) move makers'
notes, which point at each other by offset, or drop what they do not know.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from srcli.imaging.ifd import (
    Entry,
    Layout,
    numbers,
    read_directory,
    read_start,
    write_directory,
    write_start,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX = b"Exif\0\0"
ORIENTATION, SOFTWARE = 0x0112, 0x0131
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
# ImageWidth, ImageLength, PixelXDimension, PixelYDimension: no longer true once it is upscaled
_SIZES = frozenset({0x0100, 0x0101, 0xA002, 0xA003})
_COLOUR_SPACE, _INTEROPERABILITY, _ADOBE_RGB, _UNCALIBRATED = 0xA001, 0xA005, 2, 0xFFFF
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_XMP_ORIENTATION = re.compile(
    rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([1-8])(?=\s*["'<])""",
)


def directories(exif: bytes) -> tuple[list[Entry], dict[int, list[Entry]], Layout]:
    """Parse an EXIF block.

    Args:
        exif: With or without its ``Exif`` prefix.

    Returns:
        Tags of the main directory, those of ``EXIF_IFD`` and ``GPS_IFD``, and their layout.

    Raises:
        ValueError: If it is damaged.
    """
    tiff = exif.removeprefix(PREFIX)
    layout, first = read_start(tiff[:16])

    def read(at: int, length: int) -> bytes:
        return tiff[at : at + length]

    main, _ = read_directory(read, first, layout)
    parts = {
        entry.tag: read_directory(read, int(numbers(entry, layout)[0]), layout)[0]
        for entry in main
        if entry.tag in (EXIF_IFD, GPS_IFD)
    }
    return [entry for entry in main if entry.tag not in parts], parts, layout


def pack(
    main: Sequence[Entry], parts: Mapping[int, Sequence[Entry]], at: int, layout: Layout
) -> bytes:
    """Pack a main directory, followed by the directories that it points to.

    Args:
        main: Tags of the main directory.
        parts: Tags of ``EXIF_IFD`` and ``GPS_IFD``; empty ones are left out.
        at: Offset at which the result will stand; even.
        layout: Of the structure.
    """
    full = {tag: entries for tag, entries in parts.items() if entries}
    kind = 18 if layout.big else 4
    blank = [Entry(tag, kind, 1, bytes(layout.inline)) for tag in full]
    place = at + len(write_directory([*main, *blank], at, layout))
    pointers, tail = [], b""
    for tag, entries in full.items():
        pointers.append(Entry(tag, kind, 1, struct.pack(layout.offset, place + len(tail))))
        tail += write_directory(entries, place + len(tail), layout)
    return write_directory([*main, *pointers], at, layout) + tail


def orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """Return the orientation of the stored pixels, 1 to 8, by EXIF, else by XMP.

    Args:
        exif: EXIF block, with or without its prefix; a damaged one counts as none.
        xmp: XMP packet.
    """
    entry, layout = _find(exif, ORIENTATION)
    if entry is not None and entry.kind in (3, 4):
        stated = int(numbers(entry, layout)[0])
        return stated if 1 <= stated <= 8 else 1
    found = _XMP_ORIENTATION.search(xmp or b"")
    return int(found[2]) if found else 1


def upright_xmp(xmp: bytes) -> bytes:
    """Return the XMP packet with its orientation, if it states one, set to 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def upright_exif(exif: bytes) -> bytes:
    """Return the EXIF block with orientation 1, no thumbnail and no pixel sizes.

    All other bytes stay where they are, because makers' notes point at each other by offset.

    Args:
        exif: EXIF block, with or without its ``Exif`` prefix.

    Returns:
        The block with the prefix.

    Raises:
        ValueError: If it is damaged.
    """
    _, parts, layout = directories(exif)
    tiff = bytearray(exif.removeprefix(PREFIX))
    _, start = read_start(bytes(tiff[:16]))
    if layout.big:
        raise ValueError("an EXIF block of a kind that does not exist")
    thumbnail, details = _edit(tiff, start, layout)
    if EXIF_IFD in parts:
        _edit(tiff, details, layout)
    if start < thumbnail < len(tiff) - 2:
        _drop_thumbnail(tiff, thumbnail, layout)
    return PREFIX + bytes(tiff)


def software(exif: bytes | None) -> str:
    """Return the Software entry; empty without one, or in a damaged block."""
    entry, _ = _find(exif, SOFTWARE)
    value = b"" if entry is None else entry.value
    return value.split(b"\0")[0].decode("utf-8", "replace").strip()


def is_adobe_rgb(exif: bytes) -> bool:
    """Return True if cameras' EXIF says that colours are Adobe RGB (DCF 2.0); False if damaged."""
    tiff = exif.removeprefix(PREFIX)

    def read(at: int, length: int) -> bytes:
        return tiff[at : at + length]

    try:
        _, parts, layout = directories(exif)
        own = {entry.tag: entry for entry in parts.get(EXIF_IFD, ())}
        space = numbers(own[_COLOUR_SPACE], layout)[0]
        if space != _UNCALIBRATED:
            return space == _ADOBE_RGB
        entries, _ = read_directory(read, int(numbers(own[_INTEROPERABILITY], layout)[0]), layout)
    except (ValueError, LookupError):
        return False
    return any(entry.tag == 1 and entry.value[:3] == b"R03" for entry in entries)


def _find(exif: bytes | None, tag: int) -> tuple[Entry | None, Layout]:
    """Return an entry of the main directory, None in a block that is damaged or lacks it."""
    try:
        main, _, layout = directories(exif or b"")
    except ValueError:
        return None, Layout("<")
    return next((entry for entry in main if entry.tag == tag), None), layout


def with_software(exif: bytes | None, text: str) -> bytes:
    """Return the EXIF block with this Software entry, or a new block that has nothing else.

    The main directory moves to the end, all other bytes stay where they are, because makers' notes
    point at each other by offset.

    Args:
        exif: EXIF block, with or without its prefix.
        text: The entry.

    Raises:
        ValueError: If the block is damaged.
    """
    value = text.encode() + b"\0"
    if exif is None:
        layout = Layout("<")
        entry = Entry(SOFTWARE, 2, len(value), value)
        return PREFIX + write_start(layout, 8) + pack([entry], {}, 8, layout)
    tiff = exif.removeprefix(PREFIX)
    layout, start = read_start(tiff[:16])
    directories(exif)  # refuses damage
    first = start + struct.calcsize(layout.count)
    end = first + 12 * int(struct.unpack_from(layout.count, tiff, start)[0])
    rows = [tiff[at : at + 12] for at in range(first, end, 12)]
    rows = [row for row in rows if struct.unpack_from(layout.order + "H", row)[0] != SOFTWARE]
    tiff += bytes(len(tiff) % 2)
    place = len(tiff) + 2 + 12 * (len(rows) + 1) + 4
    rows.append(struct.pack(layout.order + "HHII", SOFTWARE, 2, len(value), place))
    rows.sort(key=lambda row: struct.unpack_from(layout.order + "H", row)[0])
    directory = struct.pack(layout.count, len(rows)) + b"".join(rows) + bytes(4)
    return PREFIX + write_start(layout, len(tiff)) + tiff[8:] + directory + value


def _edit(tiff: bytearray, start: int, layout: Layout) -> tuple[int, int]:
    """Drop the sizes of a directory in place, reset its orientation, unlink the next directory.

    Returns:
        Offsets of the next directory and of that of ``EXIF_IFD``, 0 where there is none.
    """
    end = start + 2 + 12 * int(struct.unpack_from(layout.count, tiff, start)[0])
    kept, following, details = [], 0, 0
    for at in range(start + 2, end, 12):
        tag = struct.unpack_from(layout.order + "H", tiff, at)[0]
        if tag == ORIENTATION:
            kept.append(struct.pack(layout.order + "HHIHH", ORIENTATION, 3, 1, 1, 0))
        elif tag not in _SIZES:
            kept.append(bytes(tiff[at : at + 12]))
        if tag == EXIF_IFD:
            details = int(struct.unpack_from(layout.offset, tiff, at + 8)[0])
    if len(tiff) >= end + 4:
        following = int(struct.unpack_from(layout.offset, tiff, end)[0])
        end += 4
    table = struct.pack(layout.count, len(kept)) + b"".join(kept)
    tiff[start:end] = table.ljust(end - start, b"\0")
    return following, details


def _drop_thumbnail(tiff: bytearray, start: int, layout: Layout) -> None:
    def read(at: int, length: int) -> bytes:
        return bytes(tiff[at : at + length])

    try:
        entries, _ = read_directory(read, start, layout)
    except ValueError:
        return
    values = {entry.tag: int(numbers(entry, layout)[0]) for entry in entries}
    begin = values.get(_THUMBNAIL_OFFSET, 0)
    end = min(begin + values.get(_THUMBNAIL_LENGTH, 0), len(tiff))
    if not start < begin < end or tiff[begin : begin + 2] != b"\xff\xd8":
        return
    if end >= len(tiff) - 4:
        del tiff[begin:]
    else:
        tiff[begin:end] = bytes(end - begin)
