"""Texts of PNG files: what they hold besides words, which are kept, and which EXIF can hold."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from srcli.imaging.exif import PREFIX, tags, text_entry, with_entries
from srcli.imaging.ifd import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Chunk = tuple[bytes, bytes]
"""Type and content of a chunk of a PNG file."""

BEST_DEFLATE_RATIO = 1032
LARGEST_TEXT = 2**24
"""Bytes that a compressed chunk of metadata may unpack to."""
_MOST_TEXT = 2**25  # bytes that all texts of a file may unpack to
_LARGEST_KEPT = 2**20  # bytes that one may unpack to: Pillow opens no file with a larger one
_XMP_KEYWORD, _SOFTWARE_KEYWORD, _COMMENT_KEYWORD = b"XML:com.adobe.xmp", b"Software", "Comment"
_XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
_PROFILE_KEYWORD = b"Raw profile type "
# of programs, about the file that was read, or repeating its EXIF
_OF_THE_FILE = re.compile(rb"(date|exif|exifEX|tiff|icc|png|jpeg|Thumb:):")
_DESCRIPTION, _ARTIST, _COPYRIGHT, _TAKEN, _COMMENT = 0x010E, 0x013B, 0x8298, 0x9003, 0x9286
_BY_TAG = {
    _DESCRIPTION: ("Description", "Title"),
    _ARTIST: ("Author", "Artist"),
    _COPYRIGHT: ("Copyright",),
    _TAKEN: ("Creation Time",),
    _COMMENT: ("parameters", _COMMENT_KEYWORD),
}
"""Tags of EXIF, and the keywords of which the first that is there fills one."""
_LONGEST_COMMENT = 32_000  # bytes: EXIF of jpg has 64 KB for everything


@dataclass
class Texts:
    """What the text chunks of a PNG file hold."""

    kept: list[Chunk] = field(default_factory=list)
    """Words, as they are stored."""
    software: str | None = None
    xmp: bytes | None = None
    exif: bytes | None = None
    """From a raw profile, as ImageMagick and ExifTool write it; ``xmp`` and ``icc`` may be too."""
    icc: bytes | None = None
    repeats_exif: bool = False
    """Texts of ImageMagick name tags of EXIF; they are not kept."""
    notes: list[str] = field(default_factory=list)
    """What is left out, in words for the user."""


def read_texts(chunks: Iterable[Chunk]) -> Texts:
    """Read the text chunks of a PNG file; damaged ones, and more than 32 MiB, are left out."""
    found, room, left_out = Texts(), _MOST_TEXT, set()
    profiles: dict[str, bytes] = {}
    for kind, content in chunks:
        keyword, end, rest = content.partition(b"\0")
        if _OF_THE_FILE.match(keyword):
            found.repeats_exif |= keyword.startswith(b"exif:")
            continue
        limit = max(min(room, LARGEST_TEXT), 0)
        try:
            text = _unpack(kind, rest, limit if end else -1)
            room -= len(text)
            if keyword.startswith(_PROFILE_KEYWORD):
                name, profile = _raw_profile(text)
                profiles.setdefault(name, profile)
            elif keyword == _XMP_KEYWORD and kind == b"iTXt":
                found.xmp = text
            elif keyword == _SOFTWARE_KEYWORD:
                found.software = _words(kind, text).strip() or None
            elif len(text) <= max(len(rest), _LARGEST_KEPT):
                found.kept.append((kind, content))
            else:
                left_out.add(keyword.decode("latin-1"))
        except (IndexError, ValueError, zlib.error):
            room -= min(limit, len(rest) * BEST_DEFLATE_RATIO)
            left_out.add(keyword.decode("latin-1"))
    found.exif, found.icc = profiles.get("exif"), profiles.get("icc")
    found.xmp = found.xmp or profiles.get("xmp")
    if "iptc" in profiles:
        found.notes.append("IPTC captions left out")
    if left_out:
        names = ", ".join(sorted(left_out))[:100]
        found.notes.append(f"text entries left out, damaged or too large: {names}")
    return found


def inflate(content: bytes, limit: int = LARGEST_TEXT) -> bytes:
    """Unpack a compressed chunk.

    Raises:
        ValueError: If it is cut short or unpacks to more than the limit; zlib.error if damaged.
    """
    unpacker = zlib.decompressobj()
    result = unpacker.decompress(content, limit + 1)
    if not unpacker.eof or len(result) > limit:
        raise ValueError("a compressed chunk is cut short or too large")
    return result


def make_text(keyword: str, text: str) -> Chunk:
    """Return a text as a chunk."""
    text = text.replace("\0", "")
    try:
        return b"tEXt", keyword.encode() + b"\0" + text.encode("latin-1")
    except UnicodeEncodeError:
        return b"iTXt", keyword.encode() + b"\0\0\0\0\0" + text.encode()


def comment(value: bytes | None) -> tuple[Chunk, ...]:
    """Return the comment of a JPEG or GIF file, whose encoding is not stated, as a chunk."""
    if not value or not value.strip(b"\0 \r\n\t"):
        return ()
    try:
        return (make_text(_COMMENT_KEYWORD, value.decode()),)
    except UnicodeDecodeError:
        return (make_text(_COMMENT_KEYWORD, value.decode("latin-1")),)


def find_comment(texts: Sequence[Chunk]) -> bytes | None:
    """Return the comment for a JPEG file; None without one, or if it is too long."""
    text = _by_keyword(texts).get(_COMMENT_KEYWORD, "").encode()
    return text if 0 < len(text) <= _LONGEST_COMMENT else None


def text_to_exif(texts: Sequence[Chunk], exif: bytes | None, fmt: str) -> bytes | None:
    """Return the EXIF block with the texts that EXIF knows, where it says nothing about the same.

    Args:
        texts: From ``read_texts``.
        exif: EXIF block.
        fmt: Format of the file that is written.

    Raises:
        ValueError: If the block is damaged.
    """
    there = tags(exif)
    new = {tag: entry for tag, (_, entry) in _entries(texts, fmt).items() if tag not in there}
    details = [new.pop(tag) for tag in (_TAKEN, _COMMENT) if tag in new]
    return with_entries(exif, list(new.values()), details) if new or details else exif


def texts_without_tag(texts: Sequence[Chunk], fmt: str, has_exif: bool) -> tuple[str, ...]:
    """Return the keywords of the texts that a file of another format than PNG cannot hold."""
    known = {keyword for keyword, _ in _entries(texts, fmt).values()} if has_exif else set()
    if fmt == "jpg" and find_comment(texts):
        known.add(_COMMENT_KEYWORD)
    return tuple(keyword for keyword in _by_keyword(texts) if keyword not in known)


def _entries(texts: Sequence[Chunk], fmt: str) -> dict[int, tuple[str, Entry]]:
    """Return the texts that EXIF knows, by tag: keyword and entry."""
    words, found = _by_keyword(texts), {}
    if fmt == "jpg" and find_comment(texts):
        del words[_COMMENT_KEYWORD]  # it has a place of its own there
    for tag, keywords in _BY_TAG.items():
        for keyword in keywords:
            entry = _entry(tag, words.get(keyword, ""))
            if entry is not None and (fmt != "jpg" or entry.count <= _LONGEST_COMMENT):
                found[tag] = keyword, entry
                break
    return found


def _by_keyword(texts: Sequence[Chunk]) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, content in texts:
        keyword, _, rest = content.partition(b"\0")
        text = _words(kind, _unpack(kind, rest, LARGEST_TEXT)).strip()
        found.setdefault(keyword.decode("latin-1"), text)
    return found


def _unpack(kind: bytes, rest: bytes, limit: int) -> bytes:
    """Return the text behind the keyword of a chunk.

    Raises:
        ValueError: If it is damaged or longer than the limit; IndexError and zlib.error as well.
    """
    if kind == b"zTXt":
        return inflate(rest[1:], limit)
    if kind == b"iTXt":
        packed, rest = rest[0], rest[2:].split(b"\0", 2)[2]
        if packed:
            return inflate(rest, limit)
    if len(rest) > limit:
        raise ValueError("a text is too long")
    return rest


def _words(kind: bytes, text: bytes) -> str:
    return text.decode("utf-8", "replace") if kind == b"iTXt" else text.decode("latin-1")


def _raw_profile(text: bytes) -> tuple[str, bytes]:
    """Read a profile in hexadecimal digits, behind its name and its length in bytes.

    Returns:
        ``"exif"``, ``"xmp"``, ``"icc"`` or ``"iptc"``, and the profile.

    Raises:
        ValueError: If it is damaged.
    """
    name, length, digits = text.lstrip(b"\n").split(b"\n", 2)
    profile = bytes.fromhex(digits.decode("ascii"))
    if len(profile) != int(length):
        raise ValueError("a profile is cut short")
    if profile.startswith(PREFIX):
        return "exif", profile
    if profile.startswith(_XMP_PREFIX):
        return "xmp", profile.removeprefix(_XMP_PREFIX)
    kind = name.strip().decode("ascii").lower()
    return {"icm": "icc", "8bim": "iptc"}.get(kind, kind), profile


def _entry(tag: int, text: str) -> Entry | None:
    """Return a text as an entry of EXIF; None for a date that cannot be read."""
    if tag == _TAKEN:
        text = _exif_date(text)
    if not text:
        return None
    if tag != _COMMENT:
        return text_entry(tag, text)
    value = (
        b"ASCII\0\0\0" + text.encode()
        if text.isascii()
        else b"UNICODE\0" + text.encode("utf-16-be")
    )
    return Entry(tag, 7, len(value), value)


def _exif_date(text: str) -> str:
    """Return a date and time as EXIF writes it; empty if it is not known how to read it."""
    for parse in (
        datetime.fromisoformat,
        parsedate_to_datetime,
        lambda text: datetime.strptime(text, "%Y:%m:%d %H:%M:%S"),  # noqa: DTZ007 - EXIF has none
    ):
        try:
            return parse(text).strftime("%Y:%m:%d %H:%M:%S")
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return ""
