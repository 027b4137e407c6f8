"""Read EXIF blocks, and fit them to pixels that were turned upright or enlarged.

Blocks are edited in place: all libraries that were tried (Pillow, libvips, tifffile) move makers'
notes, which point at each other by offset, or drop what they do not know.
"""

from __future__ import annotations

import struct
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


def tags(exif: bytes | None) -> frozenset[int]:
    """Return the tags of the main directory and of ``EXIF_IFD``; none of a damaged block."""
    try:
        main, parts, _ = directories(exif or b"")
    except ValueError:
        return frozenset()
    return frozenset(entry.tag for entry in (*main, *parts.get(EXIF_IFD, ())))


def fit(exif: bytes, pixels: PixelMap) -> bytes:
    """Fit an EXIF block to pixels that were turned or enlarged.

    Its orientation becomes 1, thumbnail and pixel sizes are dropped, the place of the subject and
    the resolution of the sensor follow the pixels. All other bytes stay where they are, because
    makers' notes point at each other by offset.

    Args:
        exif: EXIF block, with or without its ``Exif`` prefix.
        pixels: What was done to the pixels.

    Returns:
        The block with the prefix.

    Raises:
        ValueError: If it is damaged.
    """
    directories(exif)  # refuses damage
    tiff = bytearray(exif.removeprefix(PREFIX))
    layout, start = read_start(bytes(tiff[:16]))
    if layout.big:
        raise ValueError("an EXIF block of a kind that does not exist")
    _drop_thumbnail(tiff, start, layout)
    details = _details(tiff, start, layout)
    _edit(tiff, start, layout, pixels)
    if details:
        _edit(tiff, details, layout, pixels)
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


def text_entry(tag: int, text: str) -> Entry:
    """Return an entry that holds a text."""
    value = text.encode() + b"\0"
    return Entry(tag, 2, len(value), value)


def with_software(exif: bytes | None, text: str) -> bytes:
    """Return the EXIF block with this Software entry; as ``with_entries`` otherwise."""
    return with_entries(exif, [text_entry(SOFTWARE, text)])


def with_entries(exif: bytes | None, main: Sequence[Entry], details: Sequence[Entry] = ()) -> bytes:
    """Return the EXIF block with these entries, or a new block that has nothing else.

    Directories that grow move to the end, all other bytes stay where they are, because makers'
    notes point at each other by offset.

    Args:
        exif: EXIF block, with or without its prefix.
        main: Entries of the main directory, of bytes or text.
        details: Those of ``EXIF_IFD``.

    Raises:
        ValueError: If the block is damaged.
    """
    if exif is None:
        layout = Layout("<")
        return PREFIX + write_start(layout, 8) + pack(main, {EXIF_IFD: details}, 8, layout)
    directories(exif)  # refuses damage
    tiff = bytearray(exif.removeprefix(PREFIX))
    layout, start = read_start(bytes(tiff[:16]))
    if details:
        own = _details(tiff, start, layout)
        place = struct.pack(layout.offset, _extend(tiff, own, details, layout))
        main = [*main, Entry(EXIF_IFD, _LONG, 1, place)]
    tiff[:8] = write_start(layout, _extend(tiff, start, main, layout))
    return PREFIX + bytes(tiff)


def _extend(tiff: bytearray, start: int, entries: Sequence[Entry], layout: Layout) -> int:
    """Append a copy of a directory (none at 0) with these entries; return its offset."""
    rows = {_tag(row, layout): row for row in _rows(tiff, start, layout)} if start else {}
    rows |= {entry.tag: b"" for entry in entries}
    tiff += bytes(len(tiff) % 2)
    place = len(tiff)
    tiff += bytes(2 + 12 * len(rows) + 4)
    for entry in entries:
        rows[entry.tag] = _row(tiff, entry, layout)
    table = struct.pack(layout.count, len(rows)) + b"".join(rows[tag] for tag in sorted(rows))
    tiff[place : place + len(table)] = table
    return place


def _rows(tiff: bytearray, start: int, layout: Layout) -> list[bytes]:
    """Return the rows of a directory, 12 bytes each."""
    number = int(struct.unpack_from(layout.count, tiff, start)[0])
    return [bytes(tiff[at : at + 12]) for at in range(start + 2, start + 2 + 12 * number, 12)]


def _tag(row: bytes, layout: Layout) -> int:
    return int(struct.unpack_from(layout.order + "H", row)[0])


def _read(tiff: bytearray, start: int, layout: Layout) -> tuple[list[Entry], int]:
    """Return the entries of a directory, and the offset of the next one."""
    return read_directory(lambda at, length: bytes(tiff[at : at + length]), start, layout)


def _details(tiff: bytearray, start: int, layout: Layout) -> int:
    """Return the offset of ``EXIF_IFD``, 0 without it."""
    entries, _ = _read(tiff, start, layout)
    found = [numbers(entry, layout)[0] for entry in entries if entry.tag == EXIF_IFD]
    return int(found[0]) if found else 0


def _row(tiff: bytearray, entry: Entry, layout: Layout) -> bytes:
    """Return an entry as a row; a value that is too long for it is appended to the block."""
    field = entry.value.ljust(layout.inline, b"\0")
    if len(field) > layout.inline:
        field = struct.pack(layout.offset, len(tiff))
        tiff += entry.value + bytes(len(entry.value) % 2)
    return struct.pack(layout.order + "HHI", entry.tag, entry.kind, entry.count) + field


def _edit(tiff: bytearray, start: int, layout: Layout, pixels: PixelMap) -> None:
    """Fit a directory in place and unlink the next one.

    Changed values that do not fit into the directory are appended: some writers let several tags
    share one value.
    """
    entries, _ = _read(tiff, start, layout)
    changed = {} if pixels.changes_nothing else _changed(entries, layout, pixels)
    rows = _rows(tiff, start, layout)
    # with the offset of the next directory, which some writers leave out
    end = min(start + 2 + 12 * len(rows) + 4, len(tiff))
    kept = []
    for row in rows:
        tag = _tag(row, layout)
        if tag == ORIENTATION:
            kept.append(struct.pack(layout.order + "HHIHH", ORIENTATION, _SHORT, 1, 1, 0))
        elif tag not in changed:
            kept += [row] * (tag not in _SIZES)
        elif (entry := changed[tag]) is not None:
            kept.append(_row(tiff, entry, layout))
    table = struct.pack(layout.count, len(kept)) + b"".join(kept)
    tiff[start:end] = table.ljust(end - start, b"\0")


def _changed(entries: Sequence[Entry], layout: Layout, pixels: PixelMap) -> dict[int, Entry | None]:
    """Return the entries that change with the pixels, None for values that no longer fit."""
    known = {e.tag: e for e in entries if e.tag in _CHANGING and e.kind not in _NO_NUMBERS}
    old = {tag: numbers(entry, layout) for tag, entry in known.items()}
    new = {tag: pixels.area(old[tag]) for tag in _AREAS if len(old.get(tag, ())) in (2, 3, 4)}
    for across, down in (_FOCAL_PLANE, *[_RESOLUTION] * pixels.swaps):
        if across in old and down in old:
            x, y = old[across][0], old[down][0]
            x, y = pixels.size(x, y) if across in _FOCAL_PLANE else (y, x)
            new |= {across: [x], down: [y]}
    return {tag: with_numbers(known[tag], values, layout) for tag, values in new.items()}


def _drop_thumbnail(tiff: bytearray, main: int, layout: Layout) -> None:
    """Blank the thumbnail of the directory behind the main one, or cut it off at the end."""
    _, start = _read(tiff, main, layout)
    if not main < start < len(tiff) - 2:
        return
    try:
        entries, _ = _read(tiff, start, layout)
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
