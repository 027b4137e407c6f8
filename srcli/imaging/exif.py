"""Tags of TIFF files and EXIF blocks: read, packed, and edited in place.

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

Source = bytes | bytearray | IO[bytes]

PREFIX = b"Exif\0\0"
ORIENTATION = 0x0112
SOFTWARE = 0x0131
INTEROPERABILITY = 0xA005
PARTS = EXIF_IFD, GPS_IFD = 0x8769, 0x8825  # directories that the main one points to
DAMAGED = "damaged part of EXIF left out"
# How numpy spells one number of each TIFF type; fractions are two.
_TYPES = {
    1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4",
    11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
_RATIONAL = frozenset({5, 10})
_BYTES = {
    kind: int(code[1]) * (1 + (kind in _RATIONAL)) for kind, code in _TYPES.items()
}
_POINTERS = (4, 13, 16, 18)  # types of offsets
_MOST_ENTRIES = 4096
_LARGEST_VALUE = 2**26  # bytes of a tag of a file
_COLOUR_SPACE = 0xA001
_ADOBE_RGB = 2
_UNCALIBRATED = 0xFFFF
TEXT = 2
SHORT = 3
LONG = 4
UNDEFINED = 7
"""Types of entries."""


@dataclass(frozen=True)
class Entry:
    """The value of one tag of a directory, as the bytes of a little-endian file."""

    kind: int
    """TIFF type code."""
    value: bytes

    @property
    def numbers(self) -> list[float]:
        """Its numbers, fractions as quotients (0 if the denominator is 0); not of texts."""
        parts: list[float] = np.frombuffer(self.value, "<" + _TYPES[self.kind]).tolist()
        if self.kind not in _RATIONAL:
            return parts
        return [
            a / b if b else 0.0 for a, b in zip(parts[::2], parts[1::2], strict=True)
        ]

    def with_numbers(self, values: Sequence[float]) -> Entry | None:
        """Return it with other numbers, rounded for whole types; None if it does not hold them."""
        parts, code = values, _TYPES[self.kind]
        if self.kind in _RATIONAL:
            # as exact as 32 bits are
            ratios = [
                Fraction(v).limit_denominator(int(2**31 / (abs(v) + 1)) or 1)
                for v in values
            ]
            parts = [part for ratio in ratios for part in ratio.as_integer_ratio()]
        elif code[0] != "f":
            parts = [round(value) for value in values]
        with suppress(OverflowError):
            return replace(self, value=np.array(parts, "<" + code).tobytes())
        return None


Tags = dict[int, Entry]
"""The entries of one directory."""


class Layout:
    """How the directories of one file are laid out; the byte order is ``"<"`` or ``">"``."""

    def __init__(self, order: str, *, big: bool = False) -> None:
        self.order, self.big = order, big
        self.count = struct.Struct(order + "HQ"[big])  # number of entries
        self.offset = struct.Struct(order + "IQ"[big])
        # tag, type, number of values, and the value itself where it fits, else its
        # offset
        self.entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
        self.inline = self.offset.size

    def start(self, first: int) -> bytes:
        """Return the start of a file whose first directory stands at an offset."""
        mark = b"II" if self.order == "<" else b"MM"
        if self.big:
            return mark + struct.pack(self.order + "HHHQ", 43, 8, 0, first)
        return mark + struct.pack(self.order + "HI", 42, first)

    def turned(self, value: bytes, kind: int) -> bytes:
        """Return a value between the byte order of the file and that of entries."""
        if self.order == "<":
            return value
        # comments may be UTF-16 behind a word for it
        wide = value.startswith(b"UNICODE\0") and len(value) % 2 == 0
        head, code = (8, "u2") if wide else (0, _TYPES[kind])
        return value[:head] + np.frombuffer(value[head:], code).byteswap().tobytes()


def read_start(source: Source) -> tuple[Layout, int]:
    """Read the layout of a TIFF structure and the offset of its first directory.

    ValueError is raised for what is no such structure.
    """
    head = _piece(source, 0, 16)
    with suppress(LookupError, struct.error):
        order = {b"II": "<", b"MM": ">"}[head[:2]]
        version, first = struct.unpack_from(order + "HI", head, 2)
        if version == 42:
            return Layout(order), int(first)
        if version == 43:
            return Layout(order, big=True), int(
                struct.unpack_from(order + "Q", head, 8)[0]
            )
    raise ValueError("no TIFF structure")


def read_directory(
    source: Source,
    at: int,
    layout: Layout,
    needed: Container[int] = (),
    *,
    only: int | None = None,
) -> tuple[Tags, int]:
    """Read one directory: its entries, and the offset of the next one, 0 after the last.

    Entries of unknown type, or whose value lies outside, are left out; ``only`` one tag
    is read. A ValueError is raised if the directory itself or the value of a needed tag
    is cut short.
    """
    head, size, inline = layout.count.size, layout.entry.size, layout.inline
    stated = _piece(source, at, head)
    number = int(layout.count.unpack(stated)[0]) if len(stated) == head else -1
    table = (
        _piece(source, at + head, number * size)
        if 0 <= number <= _MOST_ENTRIES
        else b""
    )
    if len(table) != number * size:
        raise ValueError("a tag directory is cut short, or of impossible length")
    tags: Tags = {}
    for tag, kind, count, value in layout.entry.iter_unpack(table):
        length = _BYTES.get(kind, 0) * count
        if not length or tag in tags or only not in (None, tag):
            continue
        if length > inline:
            value = _piece(source, int(layout.offset.unpack(value)[0]), length)
        if len(value) >= length:
            tags[tag] = Entry(kind, layout.turned(value[:length], kind))
        elif tag in needed:
            raise ValueError("the file ends before its tags")
    # some writers leave the offset of the next directory out when there is none
    following = _piece(source, at + head + len(table), inline)
    return tags, int(layout.offset.unpack(following)[0]) if len(
        following
    ) == inline else 0


def _piece(source: Source, at: int, length: int) -> bytes:
    if isinstance(source, (bytes, bytearray)):
        return bytes(source[at : at + length])
    source.seek(at)
    return source.read(min(length, _LARGEST_VALUE))  # a few bytes can claim any length


def read_parts(
    source: Source, main: Tags, layout: Layout
) -> tuple[dict[int, Tags], list[int]]:
    """Read the ``PARTS`` that the main directory points to, and list those that are damaged."""
    parts = {}
    for tag in PARTS:
        with suppress(ValueError):
            if tag in main and main[tag].kind in _POINTERS:
                parts[tag] = read_directory(source, int(main[tag].numbers[0]), layout)[
                    0
                ]
    return parts, [tag for tag in PARTS if tag in main and tag not in parts]


def pack(
    main: Tags, parts: Mapping[int, Tags], at: int, layout: Layout
) -> tuple[bytes, int]:
    """Pack a main directory, which has no pointers, and those that it points to.

    The result will stand at an even offset. Empty parts, and what parts point to, are
    left out. The offset of the main directory is given with it.
    """
    data, main = bytearray(), {**main}
    for tag, part in parts.items():
        if carried := {t: one for t, one in part.items() if t != INTEROPERABILITY}:
            start = edit_directory(data, None, carried, layout, at)
            pointer = start.to_bytes(layout.inline, "little")
            main[tag] = Entry(18 if layout.big else LONG, pointer)
    start = edit_directory(data, None, main, layout, at)
    return bytes(data), start


class Block:
    """An EXIF block, read; ValueError is raised for a damaged one.

    It is edited in place: makers' notes point at each other by offset.
    """

    def __init__(self, exif: bytes) -> None:
        self.tiff = bytearray(exif.removeprefix(PREFIX))
        self.layout, self.start = read_start(self.tiff)
        if self.layout.big:
            raise ValueError("an EXIF block of a kind that does not exist")
        self.main, self.following = read_directory(self.tiff, self.start, self.layout)
        self.parts, self.damaged = read_parts(self.tiff, self.main, self.layout)

    def edited(
        self,
        main: Mapping[int, Entry | None],
        details: Mapping[int, Entry | None] | None = None,
    ) -> bytes:
        """Return it with other entries of two directories; None for those that go."""
        start = edit_directory(self.tiff, self.start, main, self.layout)
        self.tiff[:8] = self.layout.start(start)
        if details and EXIF_IFD in self.parts:
            edit_directory(
                self.tiff, int(self.main[EXIF_IFD].numbers[0]), details, self.layout
            )
        return PREFIX + bytes(self.tiff)


def read_main(exif: bytes | None) -> Tags:
    """Return the main directory of an EXIF block; a damaged one counts as empty."""
    with suppress(ValueError):
        return Block(exif or b"").main
    return {}


def orientation(exif: bytes | None) -> int | None:
    """Return the orientation of the stored pixels, 1 to 8; None if the block states none."""
    entry = read_main(exif).get(ORIENTATION)
    if entry is None or entry.kind not in (SHORT, LONG):
        return None
    stated = int(entry.numbers[0])
    return stated if 1 <= stated <= 8 else 1


def software(exif: bytes | None) -> str:
    """Return the Software entry; empty without one, or in a damaged block."""
    entry = read_main(exif).get(SOFTWARE)
    return (
        entry.value.split(b"\0")[0].decode("utf-8", "replace").strip() if entry else ""
    )


def is_adobe_rgb(exif: bytes) -> bool:
    """Return True if cameras' EXIF says that colours are Adobe RGB (DCF 2.0); False if damaged."""
    with suppress(ValueError, LookupError):
        block = Block(exif)
        own = block.parts[EXIF_IFD]
        space = own[_COLOUR_SPACE].numbers[0]
        if space != _UNCALIBRATED:
            return space == _ADOBE_RGB
        at = int(own[INTEROPERABILITY].numbers[0])
        return read_directory(block.tiff, at, block.layout)[0][1].value[:3] == b"R03"
    return False


def with_texts(exif: bytes | None, texts: Mapping[int, str]) -> bytes | None:
    """Return the EXIF block with texts as entries of the main directory.

    Entries that are there stay, but for Software.
    """
    if not texts:
        return exif
    block = Block(exif or Layout("<").start(8) + bytes(6))
    there = {*block.main} - {SOFTWARE}
    new = {
        t: Entry(TEXT, text.encode() + b"\0")
        for t, text in texts.items()
        if t not in there
    }
    return block.edited(new)


def edit_directory(
    tiff: bytearray,
    start: int | None,
    changes: Mapping[int, Entry | None],
    layout: Layout,
    shift: int = 0,
) -> int:
    """Put other entries, None for those that go, into a directory at an offset, or a new one.

    The next directory is unlinked. One that is new or grows moves to the end. What is
    given will stand at an even offset ``shift`` of the structure. The offset of the
    directory is returned.
    """
    head, size, number = layout.count.size, layout.entry.size, 0
    rows: dict[int, bytes] = {}
    if start is not None:
        number = int(layout.count.unpack_from(tiff, start)[0])
        for at in range(start + head, start + head + size * number, size):
            rows[layout.entry.unpack_from(tiff, at)[0]] = bytes(tiff[at : at + size])
    for tag, entry in changes.items():
        rows.pop(tag, None)
        if entry is not None:
            field = layout.turned(entry.value, entry.kind)
            if (
                len(field) > layout.inline
            ):  # never in place: some writers let tags share a value
                place = len(tiff) + len(tiff) % 2  # even
                tiff += bytes(place - len(tiff)) + field
                field = layout.offset.pack(shift + place)
            count = len(entry.value) // _BYTES[entry.kind]
            rows[tag] = layout.entry.pack(tag, entry.kind, count, field)
    table = layout.count.pack(len(rows)) + b"".join(rows[tag] for tag in sorted(rows))
    if start is None or len(rows) > number:
        start = len(tiff) + len(tiff) % 2
        tiff += bytes(start + len(table) + layout.inline - len(tiff))
    end = start + head + size * max(number, len(rows))
    places = {layout.offset.unpack(row[-layout.inline :])[0] for row in rows.values()}
    # with the offset of the next directory, where some writers put a value instead
    if places.isdisjoint(range(end, end + layout.inline)):
        end = min(end + layout.inline, len(tiff))
    tiff[start:end] = table.ljust(end - start, b"\0")
    return shift + start
