"""File formats: what each can hold as it is written, how its files begin, and what is not read.

``formats.toml`` and ``other_kinds.toml`` have the tables.
"""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from srcli.files import format_table, open_input, picture_suffixes, shipped_text


@dataclass(frozen=True)
class Format:
    """Capabilities of one file format as srx writes it."""

    name: str
    suffixes: tuple[str, ...]
    """Lower case with the dot; the first is the usual one."""
    bits: tuple[int, ...] = (8,)
    """Bits per value that it holds; 32 is floating point."""
    alpha: bool = False
    gray: bool = True
    """It holds pictures of one channel; otherwise gray is stored as equal R, G and
    B."""
    metadata: tuple[str, ...] = ()
    """The fields of ``Metadata`` that it holds: ``icc``, ``exif``, ``xmp``, ``dpi``."""
    largest_side: int = 2**31 - 1
    largest_area: int = 2**62
    animated: bool = False
    default_quality: int | None = None
    """1 to 100, or None where the format is lossless."""
    video: bool = False
    """A container of videos."""
    map_tiles: bool = False
    """A file of map tiles, for rasters on the grid of one alone."""


def _read_format(name: str, row: dict[str, Any]) -> Format:
    """Read a row of ``formats.toml``, whose lists become tuples."""
    values = dict(row)
    for key, value in row.items():
        if isinstance(value, list):
            values[key] = tuple(value)
    return Format(name, **values)


_TABLE = format_table()
FORMATS = {name: _read_format(name, row) for name, row in _TABLE["format"].items()}
"""The formats that can be written, by name."""
_STARTS: dict[str, str] = _TABLE["starts"]
READ_ONLY: dict[str, list[str]] = _TABLE["read_only"]
"""Suffixes of the formats that can only be read, by name."""
READABLE_SUFFIXES = picture_suffixes()
"""Lower-case suffixes of the files that a search of a folder finds; HEIC and JPEG XL
need ``srcli[formats]``, and fail one by one without it."""
INDIRECT_SUFFIXES = frozenset({".vrt", ".gti", ".mrf"})
"""Rasters that are made of files elsewhere; a search of a folder leaves them out."""
RASTER_SUFFIXES = INDIRECT_SUFFIXES.union(_TABLE["suffixes"]["rasters"])
"""Lower-case suffixes of rasters besides those of photographs; only unambiguous ones.
Files given by name may have any."""
ARCHIVE_SUFFIXES = frozenset({".cbz", ".zip", ".cbr"})
"""Lower-case suffixes of zips whose pictures are enlarged; ``.cbr`` is mostly packed by RAR."""
VIDEO = "video"
"""Format of a ``Picture`` that is a video, whatever its container."""
FRAMES = "frames"
"""Format of a ``Picture`` that is a folder of the numbered frames of a video."""
FRAME_FORMATS = ("png", "tif", "jpg", "webp", "avif", "bmp")
"""Formats in which the frames of a video are written."""
FRAME_TABLE_SUFFIX = ".timecodes"
"""That of the table of their times, which is beside them."""
_WRITTEN_VIDEOS = [form.suffixes for form in FORMATS.values() if form.video]
VIDEO_SUFFIXES = frozenset(chain(_TABLE["suffixes"]["videos"], *_WRITTEN_VIDEOS))
"""Lower-case suffixes of videos, which need ``srcli[video]``."""
VIDEO_EXTRA = 'pip install "srcli[video]"'
"""Command that installs what reads and writes videos."""
_TEXTS_TOO = frozenset({".ts", ".mts", ".mod"})
"""Those of these that texts have, too: TypeScript, Qt's translations, Modula."""
_TEXT = re.compile(rb"(\xef\xbb\xbf)?[\t\n\f\r\x20-\x7e\x80-\xf4]*")
_VIDEO_STARTS = re.compile(
    rb"""
    ....(ftyp(?!crx\ )|moov|mdat|wide|pnot)  # MP4, QuickTime and 3GP, but for pictures
    |\x1a\x45\xdf\xa3  # Matroska, WebM
    |RIFF....AVI\x20
    |\x30\x26\xb2\x75\x8e\x66\xcf\x11  # ASF, WMV
    |FLV\x01
    |\0\0\x01[\xba\xb3]  # MPEG, also of DVDs
    |\x06\x0e\x2b\x34\x02\x05\x01\x01  # MXF
    |YUV4MPEG2\x20
    """,
    re.DOTALL | re.VERBOSE,
)
_TS_PACKETS = ((0, 188), (4, 192))
"""Start and distance of the bytes by which packets of transport streams are known."""
_VIDEO_HEAD_BYTES = 1024
"""First bytes by which a video is known."""


def can_read_videos() -> bool:
    """Return True if PyAV is installed."""
    return find_spec("av") is not None


def is_video(path: Path) -> bool:
    """Return True for the name of a video, and for a file with another one that holds a video.

    Files with names of pictures are not looked into, those that may be texts are.
    """
    suffix = path.suffix.lower()
    if suffix in _TEXTS_TOO:
        with suppress(OSError, ValueError), open_input(path) as stream:
            head = stream.read(_VIDEO_HEAD_BYTES)
            return not head or _TEXT.fullmatch(head) is None
    if suffix in VIDEO_SUFFIXES:
        return True
    if suffix in READABLE_SUFFIXES:
        return False
    return holds_video(path)


def holds_video(path: Path) -> bool:
    """Return True for a file that is a video by its first bytes."""
    with suppress(OSError, ValueError), open_input(path) as stream:
        return _is_video_content(stream.read(_VIDEO_HEAD_BYTES))
    return False


def _is_video_content(head: bytes) -> bool:
    """Tell by the first bytes of a file if it is a video, whatever its name."""
    if format_of_content(head) is not None:
        return False
    if _VIDEO_STARTS.match(head):
        return True
    if head.startswith(b"OggS"):
        return b"theora" in head or b"\x01video" in head
    for start, distance in _TS_PACKETS:
        marks = head[start::distance]
        if len(marks) >= 5 and marks[:5] == b"\x47" * 5:
            return True
    return False


def format_of_suffix(suffix: str) -> str | None:
    """Return the name of the format of a file name's suffix."""
    suffix = "." + suffix.lower().removeprefix(".")
    for form in FORMATS.values():
        if suffix in form.suffixes:
            return form.name
    return None


def format_of_content(head: bytes) -> str | None:
    """Detect a file's format by its first bytes."""
    for name, start in _STARTS.items():
        if re.match(start.encode(), head, re.DOTALL):
            return name
    return None


_OTHER_HEAD_BYTES = 512


def describe_other_kind(path: Path) -> str:
    """Return what a file is by its first bytes, and what to do with it, by ``other_kinds.toml``.

    Empty for other kinds, and for a file that cannot be opened.
    """
    head = b""
    with suppress(OSError, ValueError), open_input(path) as stream:
        # errors, as of a name with a zero byte, are told by whoever reads it
        head = stream.read(_OTHER_HEAD_BYTES)
    table = tomllib.loads(shipped_text("other_kinds.toml", "srcli.imaging.files"))
    for kind in table["kind"]:
        if re.match(kind["start"].encode(), head, re.DOTALL):
            advice = table["advice"].get(kind["advice"], kind["advice"])
            return f"{kind['words']}, which srx does not read; {advice}"
    return ""
