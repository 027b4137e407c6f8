"""Image file directories, the tag tables of TIFF and EXIF, to and from bytes.

Values stay the bytes of the file. Pillow's directories guess types anew and move the strips of the
file that they are written to, tifffile writes no directories of EXIF, libvips no EXIF in TIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

Read = Callable[[int, int], bytes]
"""Gives bytes of a structure: (offset, length)."""

# Bytes of one value of each TIFF type, and how struct spells one number of it.
_TYPES = {
    1: (1, "B"), 2: (1, "B"), 3: (2, "H"), 4: (4, "I"), 5: (8, "I"), 6: (1, "b"), 7: (1, "B"),
    8: (2, "h"), 9: (4, "i"), 10: (8, "i"), 11: (4, "f"), 12: (8, "d"), 13: (4, "I"),
    16: (8, "Q"), 17: (8, "q"), 18: (8, "Q"),
}  # fmt: skip
_RATIONAL = frozenset({5, 10})
_MOST_ENTRIES = 4096


@dataclass(frozen=True)
class Entry:
    """One tag of an image file directory, its value as the bytes of the file."""

    tag: int
    kind: int
    """TIFF type code."""
    count: int
    value: bytes
    """In the file's byte order."""


@dataclass(frozen=True)
class Layout:
    """Byte order and size of offsets in the directories of one file."""

    order: str
    """``"<"`` or ``">"``."""
    big: bool = False
    """BigTIFF: 64-bit counts and offsets."""

    @property
    def count(self) -> str:
        """Code of ``struct`` for the number of entries."""
        return self.order + ("Q" if self.big else "H")

    @property
    def offset(self) -> str:
        """Code of ``struct`` for an offset."""
        return self.order + ("Q" if self.big else "I")

    @property
    def inline(self) -> int:
        """Largest value in bytes that is stored in the entry itself."""
        return 8 if self.big else 4


def read_start(head: bytes) -> tuple[Layout, int]:
    """Read the first 16 bytes of a TIFF structure: layout, and offset of the first directory.

    Raises:
        ValueError: If it is not a TIFF structure.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(head[:2]))
    if order is None or len(head) < 8:
        raise ValueError("no TIFF structure")
    version = struct.unpack_from(order + "H", head, 2)[0]
    if version == 43 and len(head) >= 16:
        return Layout(order, big=True), int(struct.unpack_from(order + "Q", head, 8)[0])
    if version != 42:
        raise ValueError("no TIFF structure")
    return Layout(order), int(struct.unpack_from(order + "I", head, 4)[0])


def write_start(layout: Layout, first: int) -> bytes:
    """Pack the first 8 bytes of a TIFF structure (16 of a BigTIFF)."""
    mark = b"II" if layout.order == "<" else b"MM"
    if layout.big:
        return mark + struct.pack(layout.order + "HHHQ", 43, 8, 0, first)
    return mark + struct.pack(layout.order + "HI", 42, first)


def read_directory(
    read: Read,
    at: int,
    layout: Layout,
    needed: Container[int] = (),
    *,
    only: int | None = None,
) -> tuple[list[Entry], int]:
    """Read one directory.

    Args:
        read: Gives the bytes of the structure: (offset, length).
        at: Where the directory starts.
        layout: Of the structure.
        needed: Tags whose value must not lie outside.
        only: The one tag whose value is read; None reads all.

    Returns:
        Its entries, without those of unknown type or whose value lies outside, and the offset of
        the next directory, 0 after the last.

    Raises:
        ValueError: If the directory itself or the value of a needed tag is cut short.
    """
    head, inline = struct.calcsize(layout.count), layout.inline
    size = 4 + 2 * inline
    number = int(struct.unpack(layout.count, _exactly(read, at, head))[0])
    if number > _MOST_ENTRIES:
        raise ValueError("a tag directory of impossible length")
    table = _exactly(read, at + head, number * size)
    entries = []
    for place in range(0, len(table), size):
        tag, kind = struct.unpack_from(layout.order + "HH", table, place)
        if only not in (None, tag):
            continue
        count = int(struct.unpack_from(layout.offset, table, place + 4)[0])
        length = _TYPES.get(kind, (0, ""))[0] * count
        field = table[place + size - inline : place + size]
        value = field[:length]
        if length > inline:
            value = read(int(struct.unpack(layout.offset, field)[0]), length)
        if length and len(value) == length:
            entries.append(Entry(tag, kind, count, value))
        elif length and tag in needed:
            raise ValueError("the file ends before its tags")
    # some writers leave the offset of the next directory out when there is none
    following = read(at + head + len(table), inline)
    after = int(struct.unpack(layout.offset, following)[0]) if len(following) == inline else 0
    return entries, after


def write_directory(entries: Sequence[Entry], at: int, layout: Layout) -> bytes:
    """Pack one directory, the last of its structure, and its values.

    Args:
        entries: Its tags, values in the layout's byte order.
        at: Offset at which the result will stand; even.
        layout: Of the structure.
    """
    inline = layout.inline
    start = at + struct.calcsize(layout.count) + (4 + 2 * inline) * len(entries) + inline
    table, values = b"", b""
    for entry in sorted(entries, key=lambda one: one.tag):
        field = entry.value
        if len(field) > inline:
            field = struct.pack(layout.offset, start + len(values))
            values += entry.value + b"\0" * (len(entry.value) % 2)
        table += struct.pack(layout.order + "HH", entry.tag, entry.kind)
        table += struct.pack(layout.offset, entry.count) + field.ljust(inline, b"\0")
    return struct.pack(layout.count, len(entries)) + table + bytes(inline) + values


def numbers(entry: Entry, layout: Layout) -> list[float]:
    """Return the numbers of an entry, fractions as quotients (0 if the denominator is 0).

    Args:
        entry: Any but text.
        layout: Of its structure.
    """
    size, code = _TYPES[entry.kind]
    if entry.kind not in _RATIONAL:
        return list(struct.unpack(f"{layout.order}{len(entry.value) // size}{code}", entry.value))
    parts = struct.unpack(f"{layout.order}{len(entry.value) // 4}{code}", entry.value)
    return [a / b if b else 0.0 for a, b in zip(parts[::2], parts[1::2], strict=True)]


def with_numbers(entry: Entry, values: Sequence[float], layout: Layout) -> Entry | None:
    """Return an entry with other numbers; None if its type does not hold them.

    Args:
        entry: Any but text.
        values: Rounded where the type is one of whole numbers.
        layout: Of its structure.
    """
    code = _TYPES[entry.kind][1]
    parts: Sequence[float] = values
    if entry.kind in _RATIONAL:
        # as exact as 32 bits are
        ratios = [Fraction(v).limit_denominator(int(2**31 / (abs(v) + 1)) or 1) for v in values]
        parts = [part for ratio in ratios for part in ratio.as_integer_ratio()]
    elif code not in "fd":
        parts = [round(value) for value in values]
    try:
        value = struct.pack(f"{layout.order}{len(parts)}{code}", *parts)
    except (struct.error, OverflowError):
        return None
    return replace(entry, count=len(values), value=value)


def repacked(entry: Entry, old: Layout, new: Layout) -> Entry:
    """Return an entry with its value in the byte order of another structure."""
    if old.order == new.order:
        return entry
    size = _TYPES[entry.kind][0] // (2 if entry.kind in _RATIONAL else 1)
    places = range(0, len(entry.value), size)
    return replace(entry, value=b"".join(entry.value[i : i + size][::-1] for i in places))


def _exactly(read: Read, at: int, length: int) -> bytes:
    data = read(at, length)
    if len(data) != length:
        raise ValueError("a tag directory is cut short")
    return data
