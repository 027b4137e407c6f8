"""What of a file no output holds, in words for the user: a row of a table for each mark."""

from __future__ import annotations

import io
import re
from typing import IO

CREDENTIALS_LEFT_OUT = (
    "content credentials (C2PA) left out: they hold for the original's pixels"
)
HDR_LEFT_OUT = "HDR gain map left out: the result is the picture without HDR"
VIDEO_LEFT_OUT = "video of the motion photo left out"
_ASPECT_LEFT_OUT = "its pixels are not square ({}), which is not kept"
_CROP_LEFT_OUT = (
    "its crop (clean aperture) is not applied: the stored picture is enlarged"
)
_COLOURS_LEFT_OUT = "colours that its header describes left out: taken as sRGB"
_FLIR_LEFT_OUT = "thermal measurements (FLIR) left out: the picture alone is enlarged"
_PACKED_LEFT_OUT = "XMP left out: it is compressed by Brotli in the file"
_INSTA360_LEFT_OUT = "data of Insta360 on lenses and motion left out"
_SEARCHED = 2**20
"""Bytes at either end of a file: marks stand before the pixels, or behind them."""
_PIXELS_LEFT_OUT = _ASPECT_LEFT_OUT.format("density {2}:{1}")
_PICTURES = ("jpg", "png", "webp", "avif", "heic", "jxl", "gif", "bmp", "tif", "jp2")
_MARKS = (
    # C2PA 2.1, 11.1.4.1: a manifest store in any format
    (
        _PICTURES,
        rb"jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71",
        CREDENTIALS_LEFT_OUT,
    ),
    # ISO 21496-1, Adobe, Apple
    (("jpg",), rb"urn:iso:std:iso:ts:21496:-1\0", HDR_LEFT_OUT),
    # no choice in one: patterns that begin with letters are found fifty times as fast
    (("jpg",), rb"hdrgm:Version\b", HDR_LEFT_OUT),
    (("jpg",), rb"HDRGainMapVersion\b", HDR_LEFT_OUT),
    (("avif", "heic"), rb"infe.{8}(?:..)?tmap|:aux:hdrgainmap\0", HDR_LEFT_OUT),
    (("jxl",), rb"\0.{3}jhgm|brobjhgm", HDR_LEFT_OUT),
    (("jxl",), rb"brobxml ", _PACKED_LEFT_OUT),
    (
        ("avif", "heic"),
        rb"\0\0\0\x10pasp(?!(.{4})\1)(.{4})(.{4})",
        _PIXELS_LEFT_OUT,
    ),
    (("avif",), rb"\0\0\0\x28clap", _CROP_LEFT_OUT),
    (
        ("jpg",),
        rb"\xff\xe1..FLIR\0",
        _FLIR_LEFT_OUT,
    ),
    # entries of 12 bytes between Samsung's marks of a directory: one of a film
    (("jpg",), rb"SEFH.{8}(?:.{12})*?..0\n.{8}(?:.{12})*.{4}SEFT\Z", VIDEO_LEFT_OUT),
    (("jpg", "video"), rb"8db42d694ccc418790edff439fe026bf\Z", _INSTA360_LEFT_OUT),
    # versions 4 and 5 with a profile, or with primaries and gamma
    (
        ("bmp",),
        rb"\ABM.{12}[l|]\0{3}.{52}(?:DEBM|\0{4}(?!\0{36})(?!.{36}\0{4}))",
        _COLOURS_LEFT_OUT,
    ),
)
"""Formats, a pattern of bytes, and what is told where they are found."""


def note_marks(stream: IO[bytes], fmt: str, *, is_whole: bool = False) -> list[str]:
    """Note what a file holds besides its picture, by marks near its ends, or anywhere in it."""
    stream.seek(0)
    data = stream.read(-1 if is_whole else _SEARCHED)
    length = stream.seek(0, io.SEEK_END)
    if length > len(data):
        stream.seek(max(length - _SEARCHED, len(data)))
        data += stream.read()
    notes = []
    for formats, pattern, note in _MARKS:
        match = fmt in formats and re.search(pattern, data, re.DOTALL)
        if match:
            numbers = [int.from_bytes(group or b"") for group in match.groups()]
            notes.append(note.format(*numbers))
    return notes


def note_aspect(across: int, down: int) -> list[str]:
    """Note a resolution without a unit that says that pixels are not square."""
    if across == down or min(across, down) < 1:
        return []
    return [_ASPECT_LEFT_OUT.format(f"density {across}:{down}")]
