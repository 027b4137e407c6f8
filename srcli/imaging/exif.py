"""Read EXIF blocks, and fit them to pixels that were turned upright or enlarged.

Blocks are edited in place: all libraries that were tried (Pillow, libvips, tifffile) move makers'
notes, which point at each other by offset, or drop what they do not know.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from srcli.imaging.ifd import (
    Entry,
    Layout,
    numbers,
    read_directory,
    read_start,
    with_numbers,
    write_directory,
    write_start,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from srcli.imaging.pixel_map import PixelMap

PREFIX = b"Exif\0\0"
ORIENTATION, SOFTWARE = 0x0112, 0x0131
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
# ImageWidth, ImageLength, PixelXDimension, PixelYDimension: no longer true once it is upscaled
_SIZES = frozenset({0x0100, 0x0101, 0xA002, 0xA003})
_COLOUR_SPACE, _INTEROPERABILITY, _ADOBE_RGB, _UNCALIBRATED = 0xA001, 0xA005, 2, 0xFFFF
# SubjectArea and SubjectLocation, in pixels of the picture as it is stored
_AREAS = (0x9214, 0xA214)
# pixels per length of the sensor across and down; the same of a print, which is not enlarged here
_FOCAL_PLANE, _RESOLUTION = (0xA20E, 0xA20F), (0x011A, 0x011B)
_CHANGING = frozenset({*_AREAS, *_FOCAL_PLANE, *_RESOLUTION})
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_SHORT, _LONG, _NO_NUMBERS = 3, 4, (2, 7)


def directories(exif: bytes) -> tuple[list[Entry], dict[int, list[Entry]], Layout]:
    """Parse an EXIF block.

    Args:
        exif: With or without its ``Exif`` prefix.

    Returns:
        Tags of the main directory, those of ``EXIF_IFD`` and ``GPS_IFD``, and their layout.

    Raises:
        ValueError: If it is damaged.
    """
    layout, first = read_start(exif.removeprefix(PREFIX)[:16])
    main, _ = _read(exif, first, layout)
    parts = {
        entry.tag: _read(exif, int(numbers(entry, layout)[0]), layout)[0]
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


def orientation(exif: bytes | None) -> int | None:
    """Return the orientation of the stored pixels, 1 to 8; None if the block states none.

    Args:
        exif: EXIF block, with or without its prefix; a damaged one counts as none.
    """
    entry, layout = _find(exif, ORIENTATION)
    if entry is None or entry.kind not in (_SHORT, _LONG):
        return None
    stated = int(numbers(entry, layout)[0])
    return stated if 1 <= stated <= 8 else 1


def fit(exif: bytes, pixels: PixelMap) -> bytes:
    """Fit an EXIF block to pixels that were turned or enlarged.

    Its orientation becomes 1, thumbnail and pixel sizes are dropped, the place of the subject and
    the resolution of the sensor follow the pixels.

    Args:
        exif: EXIF block, with or without its ``Exif`` prefix.
        pixels: What was done to the pixels.

    Returns:
        The block with the prefix.

    Raises:
        ValueError: If it is damaged.
    """
    main, parts, layout = directories(exif)
    if layout.big:
        raise ValueError("an EXIF block of a kind that does not exist")
    tiff = _without_thumbnail(exif)
    start = read_start(bytes(tiff[:16]))[1]
    changes = _changed(main, layout, pixels)
    if any(entry.tag == ORIENTATION for entry in main):
        changes[ORIENTATION] = with_numbers(Entry(ORIENTATION, _SHORT, 1, b""), [1], layout)
    _replace(tiff, start, changes, layout)
    for entry in _read(exif, start, layout)[0]:
        if entry.tag == EXIF_IFD:
            details = int(numbers(entry, layout)[0])
            _replace(tiff, details, _changed(parts[EXIF_IFD], layout, pixels), layout)
    return PREFIX + bytes(tiff)


def software(exif: bytes | None) -> str:
    """Return the Software entry; empty without one, or in a damaged block."""
    entry, _ = _find(exif, SOFTWARE)
    value = b"" if entry is None else entry.value
    return value.split(b"\0")[0].decode("utf-8", "replace").strip()


def is_adobe_rgb(exif: bytes) -> bool:
    """Return True if cameras' EXIF says that colours are Adobe RGB (DCF 2.0); False if damaged."""
    try:
        _, parts, layout = directories(exif)
        own = {entry.tag: entry for entry in parts.get(EXIF_IFD, ())}
        space = numbers(own[_COLOUR_SPACE], layout)[0]
        if space != _UNCALIBRATED:
            return space == _ADOBE_RGB
        entries, _ = _read(exif, int(numbers(own[_INTEROPERABILITY], layout)[0]), layout)
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


def text_entry(tag: int, text: str) -> Entry:
    """Return an entry that holds a text."""
    value = text.encode() + b"\0"
    return Entry(tag, 2, len(value), value)


def with_entries(
    exif: bytes | None, entries: Sequence[Entry], *, overwrite: bool = False
) -> bytes | None:
    """Return the EXIF block with these entries of the main directory, of bytes or text.

    All else stays where it is, because makers' notes point at each other by offset.

    Args:
        exif: EXIF block, with or without its prefix; None for a new one.
        entries: Of types without byte order.
        overwrite: Entries that are there are replaced; they stay by default.

    Raises:
        ValueError: If the block is damaged.
    """
    if not entries:
        return exif
    if exif is None:
        exif = write_start(Layout("<"), 8) + bytes(6)
    there = {entry.tag for entry in directories(exif)[0] if not overwrite}
    tiff = bytearray(exif.removeprefix(PREFIX))
    layout, start = read_start(bytes(tiff[:16]))
    start = _replace(tiff, start, {e.tag: e for e in entries if e.tag not in there}, layout)
    tiff[:8] = write_start(layout, start)
    return PREFIX + bytes(tiff)


def _read(exif: bytes, start: int, layout: Layout) -> tuple[list[Entry], int]:
    """Return the entries of a directory, and the offset of the next one."""
    tiff = exif.removeprefix(PREFIX)
    return read_directory(lambda at, length: tiff[at : at + length], start, layout)


def _replace(
    tiff: bytearray, start: int, changes: Mapping[int, Entry | None], layout: Layout
) -> int:
    """Put other entries, None for those that go, into the directory at an offset.

    The next directory is unlinked. One that grows moves to the end.

    Returns:
        Its offset.
    """
    number = int(struct.unpack_from(layout.count, tiff, start)[0])
    places = range(start + 2, start + 2 + 12 * number, 12)
    rows = {
        struct.unpack_from(layout.order + "H", tiff, at)[0]: tiff[at : at + 12] for at in places
    }
    for tag, entry in changes.items():
        rows.pop(tag, None)
        if entry is not None:
            field = entry.value.ljust(layout.inline, b"\0")
            if len(field) > layout.inline:  # never in place: some writers let tags share a value
                field = struct.pack(layout.offset, len(tiff))
                tiff += entry.value + bytes(len(entry.value) % 2)
            head = struct.pack(layout.order + "HHI", tag, entry.kind, entry.count)
            rows[tag] = bytearray(head + field)
    table = struct.pack(layout.count, len(rows)) + b"".join(rows[tag] for tag in sorted(rows))
    if len(rows) > number:
        start = len(tiff) + len(tiff) % 2
        tiff += bytes(start + len(table) + 4 - len(tiff))
    # with the offset of the next directory, which some writers leave out
    end = min(start + 2 + 12 * max(number, len(rows)) + 4, len(tiff))
    tiff[start:end] = table.ljust(end - start, b"\0")
    return start


def _changed(entries: Sequence[Entry], layout: Layout, pixels: PixelMap) -> dict[int, Entry | None]:
    """Return the entries that change with the pixels, None for those that are no longer true."""
    gone: dict[int, Entry | None] = dict.fromkeys(_SIZES)
    if pixels.changes_nothing:
        return gone
    known = {e.tag: e for e in entries if e.tag in _CHANGING and e.kind not in _NO_NUMBERS}
    old = {tag: numbers(entry, layout) for tag, entry in known.items()}
    new = {tag: pixels.area(old[tag]) for tag in _AREAS if len(old.get(tag, ())) in (2, 3, 4)}
    for across, down in (_FOCAL_PLANE, *[_RESOLUTION] * pixels.swaps):
        if across in old and down in old:
            x, y = old[across][0], old[down][0]
            x, y = pixels.size(x, y) if across in _FOCAL_PLANE else (y, x)
            new |= {across: [x], down: [y]}
    return gone | {tag: with_numbers(known[tag], values, layout) for tag, values in new.items()}


def _without_thumbnail(exif: bytes) -> bytearray:
    """Return the block, less its prefix, with the thumbnail cut off at the end or blanked."""
    tiff = bytearray(exif.removeprefix(PREFIX))
    layout, first = read_start(bytes(tiff[:16]))
    start = _read(exif, first, layout)[1]
    values: dict[int, int] = {}
    with suppress(ValueError):
        entries = _read(exif, start, layout)[0] if start > first else []
        values = {entry.tag: int(numbers(entry, layout)[0]) for entry in entries}
    begin = values.get(_THUMBNAIL_OFFSET, 0)
    end = min(begin + values.get(_THUMBNAIL_LENGTH, 0), len(tiff))
    if start < begin < end and tiff[begin : begin + 2] == b"\xff\xd8":
        tiff[begin:end] = bytes(end - begin if end < len(tiff) - 4 else 0)
    return tiff
