"""Orientation of stored pixels, as EXIF or XMP state it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from PIL.ExifTags import Base

from srcli.files import open_input
from srcli.imaging.files.tiff_directories import LONG, SHORT
from srcli.imaging.metadata.exif import read_main

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
            return xmp_orientation(stream.read(_LARGEST_SIDECAR))
    return None


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
