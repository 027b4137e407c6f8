"""Directories of TIFF files and EXIF blocks: entries by their tags, read and edited in place.

Values stay the bytes of the file. All libraries that were tried (Pillow, libvips,
tifffile) move makers' notes, which point at each other by offset, guess types anew, or
drop what they do not know.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import IO

import numpy as np

ByteSource = bytes | bytearray | IO[bytes]
# How numpy spells one number of each TIFF type; fractions are two.
_NUMPY_TYPES = {
    1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4",
    11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
_RATIONAL_TYPES = frozenset({5, 10})
_VALUE_BYTES = {code: np.dtype(name).itemsize for code, name in _NUMPY_TYPES.items()}
_VALUE_BYTES |= dict.fromkeys(_RATIONAL_TYPES, 8)
"""Bytes of a value of each TIFF type."""
_MOST_ENTRIES = 4096
_LARGEST_VALUE = 2**26  # bytes of a tag of a file
# Types of entries.
TEXT = 2
SHORT = 3
LONG = 4
UNDEFINED = 7
LONG8 = 16


@dataclass(frozen=True)
class Entry:
    """The value of one tag of a directory, as the bytes of a little-endian file."""

    tiff_type: int
    """TIFF type code."""
    value: bytes

    @property
    def count(self) -> int:
        """Number of numbers that it holds, fractions counted once, or of bytes of a text."""
        return len(self.value) // _VALUE_BYTES[self.tiff_type]

    @property
    def numbers(self) -> list[float]:
        """Its numbers, fractions as quotients (0 if the denominator is 0); not of texts."""
        values: list[float] = np.frombuffer(
            self.value, "<" + _NUMPY_TYPES[self.tiff_type]
        ).tolist()
        if self.tiff_type not in _RATIONAL_TYPES:
            return values
        quotients = []
        for numerator, denominator in zip(values[::2], values[1::2], strict=True):
            quotient = 0.0
            if denominator:
                quotient = numerator / denominator
            quotients.append(quotient)
        return quotients

    def with_numbers(self, values: Sequence[float]) -> Entry | None:
        """Return it with other numbers, rounded for whole types; None if it does not hold them."""
        code = _NUMPY_TYPES[self.tiff_type]
        if self.tiff_type in _RATIONAL_TYPES:
            stored: list[float] = []
            for value in values:
                largest = int(2**31 / (abs(value) + 1)) or 1  # as exact as 32 bits are
                stored += Fraction(value).limit_denominator(largest).as_integer_ratio()
        elif code[0] == "f":
            stored = list(values)
        else:
            stored = [round(value) for value in values]
        with suppress(OverflowError):
            return replace(self, value=np.array(stored, "<" + code).tobytes())
        return None


Tags = dict[int, Entry]
"""The entries of one directory."""


def first_number(tags: Tags, tag: int, default: int) -> int:
    """Return the first number of a tag; the usual one where it is left out."""
    if tag in tags and tags[tag].tiff_type != TEXT:
        return int(tags[tag].numbers[0])
    return default


class DirectoryForm:
    """Layout of the directories of one file; the byte order is ``"<"`` or ``">"``."""

    def __init__(self, order: str, *, big: bool = False) -> None:
        self.order = order
        self.big = big
        count, offset, entry = ("Q", "Q", "HHQ8s") if big else ("H", "I", "HHI4s")
        self.count = struct.Struct(order + count)  # number of entries
        self.offset = struct.Struct(order + offset)
        # tag, type, number of values, and the value itself where it fits, else its
        # offset
        self.entry = struct.Struct(order + entry)
        self.inline = self.offset.size

    def start(self, first: int) -> bytes:
        """Return the start of a file whose first directory stands at an offset."""
        mark = b"II" if self.order == "<" else b"MM"
        if self.big:
            return mark + struct.pack(self.order + "HHHQ", 43, 8, 0, first)
        return mark + struct.pack(self.order + "HI", 42, first)

    def byteswapped(self, value: bytes, tiff_type: int) -> bytes:
        """Return a value between the byte order of the file and that of entries."""
        if self.order == "<":
            return value
        # comments may be UTF-16 behind a word for it
        if value.startswith(b"UNICODE\0") and len(value) % 2 == 0:
            return value[:8] + np.frombuffer(value[8:], "u2").byteswap().tobytes()
        return np.frombuffer(value, _NUMPY_TYPES[tiff_type]).byteswap().tobytes()


def read_start(source: ByteSource) -> tuple[DirectoryForm, int]:
    """Read the layout of a TIFF structure and the offset of its first directory.

    ValueError is raised for what is no such structure.
    """
    head = _read_at(source, 0, 16)
    with suppress(LookupError, struct.error):
        order = {b"II": "<", b"MM": ">"}[head[:2]]
        version, offset = struct.unpack_from(order + "HI", head, 2)
        if version == 42:
            return DirectoryForm(order), int(offset)
        if version == 43:
            (offset,) = struct.unpack_from(order + "Q", head, 8)
            return DirectoryForm(order, big=True), int(offset)
    raise ValueError("no TIFF structure")


def read_directory(
    source: ByteSource,
    at: int,
    layout: DirectoryForm,
    needed: Container[int] = (),
    *,
    only: int | None = None,
) -> tuple[Tags, int]:
    """Read one directory: its entries, and the offset of the next one, 0 after the last.

    Entries of unknown type, or whose value lies outside, are left out; ``only`` one tag
    is read. A ValueError is raised if the directory itself or the value of a needed tag
    is cut short.
    """
    start = at + layout.count.size
    entry_count = _unpack_number(layout.count, _read_at(source, at, layout.count.size))
    if entry_count is None or entry_count > _MOST_ENTRIES:
        raise ValueError("a tag directory is cut short, or of impossible length")
    length = entry_count * layout.entry.size
    table = _read_at(source, start, length)
    if len(table) != length:
        raise ValueError("a tag directory is cut short, or of impossible length")
    following = _read_at(source, start + length, layout.inline)
    tags: Tags = {}
    for tag, tiff_type, count, value in layout.entry.iter_unpack(table):
        length = _VALUE_BYTES.get(tiff_type, 0) * count
        if not length or tag in tags or only not in (None, tag):
            continue
        if length > layout.inline:
            value = _read_at(source, int(layout.offset.unpack(value)[0]), length)
        if len(value) >= length:
            tags[tag] = Entry(tiff_type, layout.byteswapped(value[:length], tiff_type))
        elif tag in needed:
            raise ValueError("the file ends before its tags")
    # some writers leave the offset of the next directory out when there is none
    return tags, _unpack_number(layout.offset, following) or 0


def _unpack_number(form: struct.Struct, data: bytes) -> int | None:
    """Return a number that was read; None where the file ends before it."""
    if len(data) != form.size:
        return None
    return int(form.unpack(data)[0])


def _read_at(source: ByteSource, at: int, length: int) -> bytes:
    if isinstance(source, (bytes, bytearray)):
        return bytes(source[at : at + length])
    source.seek(at)
    return source.read(min(length, _LARGEST_VALUE))  # a few bytes can claim any length


def edit_directory(
    tiff: bytearray,
    start: int | None,
    changes: Mapping[int, Entry | None],
    layout: DirectoryForm,
    shift: int = 0,
) -> int:
    """Put other entries, None for those that go, into a directory at an offset, or a new one.

    The next directory is unlinked. One that is new or grows moves to the end. What is
    given will stand at an even offset ``shift`` of the structure. The offset of the
    directory is returned.
    """
    head = layout.count.size
    size = layout.entry.size
    old_count = 0
    rows = {}
    if start is not None:
        old_count = int(layout.count.unpack_from(tiff, start)[0])
        for index in range(old_count):
            at = start + head + index * size
            rows[layout.entry.unpack_from(tiff, at)[0]] = bytes(tiff[at : at + size])
    for tag, entry in changes.items():
        rows.pop(tag, None)
        if entry is not None:
            value = layout.byteswapped(entry.value, entry.tiff_type)
            # never in place: some writers let tags share a value
            if len(value) > layout.inline:
                offset = _append(tiff, value)
                value = layout.offset.pack(shift + offset)
            rows[tag] = layout.entry.pack(tag, entry.tiff_type, entry.count, value)
    table = layout.count.pack(len(rows)) + b"".join(rows[tag] for tag in sorted(rows))
    if start is None or len(rows) > old_count:
        start = _append(tiff, bytes(len(table) + layout.inline))
    end = start + head + size * max(old_count, len(rows))
    offsets = {layout.offset.unpack(row[-layout.inline :])[0] for row in rows.values()}
    # with the offset of the next directory, where some writers put a value instead
    if offsets.isdisjoint(range(end, end + layout.inline)):
        end = min(end + layout.inline, len(tiff))
    tiff[start:end] = table.ljust(end - start, b"\0")
    return shift + start


def _append(tiff: bytearray, content: bytes) -> int:
    """Append content at the next even offset, and return that."""
    offset = len(tiff) + len(tiff) % 2
    tiff += bytes(offset - len(tiff)) + content
    return offset
