"""Texts of PNG files: what they hold besides words, which are kept, and which EXIF can hold."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from srcli.imaging.exif import PREFIX, text_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from srcli.imaging.exif import Entry

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
_BY_TAG = {0x010E: ("Description", "Title"), 0x013B: ("Author", "Artist"), 0x8298: ("Copyright",)}
"""Tags of EXIF, and the keywords of which the first that is there fills one."""
_LONGEST = 32_000  # bytes of a text outside PNG: EXIF of jpg has 64 KB for everything


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
    notes: list[str] = field(default_factory=list)
    """What is left out, in words for the user."""


def read_texts(chunks: Iterable[Chunk]) -> Texts:
    """Read the text chunks of a PNG file; damaged ones, and more than 32 MiB, are left out."""
    found, room, left_out = Texts(), _MOST_TEXT, set()
    profiles: dict[str, bytes] = {}
    for kind, content in chunks:
        keyword, end, rest = content.partition(b"\0")
        if _OF_THE_FILE.match(keyword):
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


def comment(value: bytes | None) -> tuple[Chunk, ...]:
    """Return the comment of a JPEG or GIF file, whose encoding is not stated, as a chunk."""
    if not value or not value.strip(b"\0 \r\n\t"):
        return ()
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return ((b"iTXt", _COMMENT_KEYWORD.encode() + b"\0\0\0\0\0" + text.replace("\0", "").encode()),)


def find_comment(texts: Sequence[Chunk]) -> bytes | None:
    """Return the comment for a JPEG file; None without one, or if it is too long."""
    text = _by_keyword(texts).get(_COMMENT_KEYWORD, "").encode()
    return text if 0 < len(text) <= _LONGEST else None


def exif_entries(texts: Sequence[Chunk]) -> list[Entry]:
    """Return the texts that EXIF knows as entries of its main directory."""
    return [text_entry(tag, text) for tag, (_, text) in _known(texts).items()]


def texts_without_tag(texts: Sequence[Chunk], fmt: str, has_exif: bool) -> tuple[str, ...]:
    """Return the keywords of the texts that a file of another format than PNG cannot hold."""
    known = {keyword for keyword, _ in _known(texts).values()} if has_exif else set()
    if fmt == "jpg" and find_comment(texts):
        known.add(_COMMENT_KEYWORD)
    return tuple(keyword for keyword in _by_keyword(texts) if keyword not in known)


def _known(texts: Sequence[Chunk]) -> dict[int, tuple[str, str]]:
    """Return the texts that EXIF knows, by tag: keyword and text."""
    words = _by_keyword(texts)
    return {
        tag: (keyword, words[keyword])
        for tag, keywords in _BY_TAG.items()
        for keyword in reversed(keywords)  # the first counts
        if 0 < len(words.get(keyword, "").encode()) <= _LONGEST
    }


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
