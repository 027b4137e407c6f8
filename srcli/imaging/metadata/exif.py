"""EXIF blocks: read, packed, and edited in place, so that makers' notes stay where they are.

The orientation that they state, XMP may state as well.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from PIL.ExifTags import Base

from srcli.files import open_input
from srcli.imaging.files.tiff_directories import (
    LONG,
    SHORT,
    TEXT,
    ByteSource,
    DirectoryForm,
    Entry,
    Tags,
    edit_directory,
    first_number,
    read_directory,
    read_start,
)
from srcli.imaging.metadata import descriptions
from srcli.imaging.metadata.embedded import EXIF_PREFIX

LINKED_IFDS = (Base.ExifOffset, Base.GPSInfo)
"""Directories that the main one (IFD0) points to."""
DAMAGED = "damaged part of EXIF left out"
_OFFSET_TYPES = (4, 13, 16, 18)  # types of offsets
_ADOBE_RGB = 2
_UNCALIBRATED = 0xFFFF
_NO_UNIT = 1  # of ResolutionUnit


def is_pixel_size(tags: Tags) -> bool:
    """Return True for a resolution that is pixels for a unit which the description names.

    Its own unit is none, or, where ImageJ counts in centimetres or inches, that one.
    """
    if first_number(tags, Base.ResolutionUnit, 0) == _NO_UNIT:
        return True
    description = tags.get(Base.ImageDescription)
    return description is not None and descriptions.names_pixel_unit(
        description.value.decode("latin-1")
    )


def read_linked_ifds(
    source: ByteSource, main: Tags, layout: DirectoryForm
) -> tuple[dict[int, Tags], list[int]]:
    """Read the ``LINKED_IFDS`` of a main directory, and list those that are damaged."""
    linked_ifds: dict[int, Tags] = {}
    for pointer in LINKED_IFDS:
        if pointer in main and main[pointer].tiff_type in _OFFSET_TYPES:
            with suppress(ValueError):
                offset = int(main[pointer].numbers[0])
                linked_ifds[pointer], _ = read_directory(source, offset, layout)
    missing = main.keys() - linked_ifds.keys()
    return linked_ifds, [pointer for pointer in LINKED_IFDS if pointer in missing]


def pack(
    main: Tags, linked_ifds: Mapping[int, Tags], at: int, layout: DirectoryForm
) -> tuple[bytes, int]:
    """Pack a main directory, which has no pointers, and those that it points to.

    The result will stand at an even offset. Empty parts, and what parts point to, are
    left out. The offset of the main directory is given with it.
    """
    data = bytearray()
    main = dict(main)
    for pointer, tags in linked_ifds.items():
        tags = dict(tags)
        tags.pop(Base.ExifInteroperabilityOffset, None)
        if tags:
            start = edit_directory(data, None, tags, layout, at)
            offset = start.to_bytes(layout.inline, "little")
            main[pointer] = Entry(18 if layout.big else LONG, offset)
    start = edit_directory(data, None, main, layout, at)
    return bytes(data), start


class ExifBlock:
    """An EXIF block, read, and edited copies of it.

    These keep everything at its place: makers' notes point at each other by offset.
    """

    def __init__(self, exif: bytes) -> None:
        self.tiff = exif.removeprefix(EXIF_PREFIX)
        self.layout, self.start = read_start(self.tiff)
        if self.layout.big:
            raise ValueError("an EXIF block of a kind that does not exist")
        self.main, self.following = read_directory(self.tiff, self.start, self.layout)
        self.linked_ifds, self.damaged = read_linked_ifds(
            self.tiff, self.main, self.layout
        )

    def edited(
        self,
        main: Mapping[int, Entry | None],
        exif_ifd: Mapping[int, Entry | None] | None = None,
        tiff: bytearray | None = None,
    ) -> bytes:
        """Return it with other entries of two directories; None for those that go.

        ``tiff`` is a copy that differs elsewhere.
        """
        tiff = tiff or bytearray(self.tiff)
        start = edit_directory(tiff, self.start, main, self.layout)
        tiff[:8] = self.layout.start(start)
        if exif_ifd and Base.ExifOffset in self.linked_ifds:
            at = int(self.main[Base.ExifOffset].numbers[0])
            edit_directory(tiff, at, exif_ifd, self.layout)
        return EXIF_PREFIX + bytes(tiff)


@lru_cache(maxsize=16)
def read_exif(exif: bytes) -> ExifBlock:
    """Read an EXIF block, once for all that ask; ValueError is raised for a damaged one."""
    return ExifBlock(exif)


def read_main(exif: bytes | None) -> Tags:
    """Return the main directory of an EXIF block; a damaged one counts as empty."""
    with suppress(ValueError):
        return read_exif(exif or b"").main
    return {}


def software(exif: bytes | None) -> str:
    """Return the Software entry; empty without one, or in a damaged block."""
    entry = read_main(exif).get(Base.Software)
    if entry is None:
        return ""
    return entry.value.split(b"\0")[0].decode("utf-8", "replace").strip()


def is_adobe_rgb(exif: bytes) -> bool:
    """Return True if cameras' EXIF says that colours are Adobe RGB (DCF 2.0); False if damaged."""
    with suppress(ValueError, LookupError):
        block = read_exif(exif)
        tags = block.linked_ifds[Base.ExifOffset]
        space = tags[Base.ColorSpace].numbers[0]
        if space != _UNCALIBRATED:
            return space == _ADOBE_RGB
        offset = int(tags[Base.ExifInteroperabilityOffset].numbers[0])
        rules, _ = read_directory(block.tiff, offset, block.layout)
        return rules[1].value[:3] == b"R03"
    return False


def with_texts(exif: bytes | None, texts: Mapping[int, str]) -> bytes | None:
    """Return the EXIF block with texts as entries of the main directory.

    Entries that are there stay, but for Software.
    """
    if not texts:
        return exif
    block = read_exif(exif or DirectoryForm("<").start(8) + bytes(6))
    entries = {}
    for tag, text in texts.items():
        if tag == Base.Software or tag not in block.main:
            entries[tag] = Entry(TEXT, text.encode() + b"\0")
    return block.edited(entries)


XMP_ORIENTATION = re.compile(
    rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([1-8])(?=\s*["'<])"""
)
"""The property of an XMP packet; its value is the second group."""
_LARGEST_SIDECAR = 2**22
"""Bytes in which the orientation is looked for."""


def stated_orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """Return the orientation of the stored pixels, 1 to 8; 1 if neither block states one."""
    return _exif_orientation(exif) or xmp_orientation(xmp or b"") or 1


def sidecar_orientation(path: Path) -> int | None:
    """Return the orientation by the sidecar ``a.jpg.xmp`` of a picture; None for none."""
    for suffix in (".xmp", ".XMP"):
        with suppress(OSError), open_input(Path(f"{path}{suffix}")) as stream:
            return xmp_orientation(in_utf8(stream.read(_LARGEST_SIDECAR)))
    return None


def in_utf8(xmp: bytes) -> bytes:
    """Return a sidecar of UTF-16 in UTF-8, which XML without a declaration is in; others as is."""
    if not xmp.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return xmp
    text = xmp.decode("utf-16", "replace")
    return re.sub(r"^<\?xml.*?\?>", "", text).encode()


def xmp_orientation(xmp: bytes) -> int | None:
    """Return the orientation by an XMP packet; None if it states none."""
    match = XMP_ORIENTATION.search(xmp)
    return int(match[2]) if match else None


def _exif_orientation(exif: bytes | None) -> int | None:
    """Return the orientation by an EXIF block; None if it states none, or is damaged."""
    entry = read_main(exif).get(Base.Orientation)
    if entry is None or entry.tiff_type not in (SHORT, LONG):
        return None
    stated = int(entry.numbers[0])
    return stated if 1 <= stated <= 8 else 1
