"""Texts of pictures: the chunks of PNG files that hold them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

from srcli.imaging.files.tiff_pages import DEFLATE_RATIO
from srcli.imaging.metadata.embedded import EXIF_PREFIX, XMP_PREFIX, Metadata

TEXT_CHUNKS = (b"iTXt", b"tEXt", b"zTXt")
"""Types of the chunks that hold texts."""
_LARGEST_TEXT = 2**24  # bytes that a compressed chunk of metadata may unpack to
_MOST_TEXT = 2**25  # bytes that all texts of a file may unpack to
_LARGEST_KEPT = 2**20
"""Bytes that a text may unpack to: Pillow opens no file with a larger one."""
XMP_KEYWORD = "XML:com.adobe.xmp"
# of programs, about the file that was read, or repeating its EXIF
_ABOUT_THE_FILE = re.compile(rb"(date|exif|exifEX|tiff|icc|png|jpeg|Thumb:):")


Chunk = tuple[bytes, bytes]
"""Type and content of a chunk."""


def read_texts(chunks: Iterable[Chunk], notes: list[str]) -> Metadata:
    """Read the text chunks of a PNG file; damaged ones, and more than 32 MiB, are left out.

    They are kept as they are stored. EXIF, XMP and the colour profile may be raw
    profiles, as ImageMagick and ExifTool write them. The notes get what is left out, in
    words for the user.
    """
    texts = []
    software = None
    room = _MOST_TEXT
    left_out = set()
    profiles: dict[str, bytes] = {}
    for kind, content in chunks:
        if _ABOUT_THE_FILE.match(content):
            continue
        limit = max(min(room, _LARGEST_TEXT), 0)
        try:
            keyword, text = unpack_text(kind, content, limit)
            room -= len(text)
            if keyword.startswith("Raw profile type "):
                name, profile = _raw_profile(text)
                profiles.setdefault(name, profile)
            elif keyword == XMP_KEYWORD and kind == b"iTXt":
                profiles["proper xmp"] = text
            elif keyword == "Software":
                software = decode_text(kind, text) or None
            elif len(text) <= max(len(content), _LARGEST_KEPT):
                texts.append((kind, content))
            else:
                left_out.add(keyword)
        except (IndexError, ValueError, zlib.error):
            room -= min(limit, len(content) * DEFLATE_RATIO)
            left_out.add(content.partition(b"\0")[0].decode("latin-1"))
    if "iptc" in profiles:
        notes.append("IPTC captions left out")
    if left_out:
        names = ", ".join(sorted(left_out))[:100]
        notes.append(f"text entries left out, damaged or too large: {names}")
    return Metadata(
        icc=profiles.get("icc"),
        exif=profiles.get("exif"),
        xmp=profiles.get("proper xmp") or profiles.get("xmp"),
        software=software,
        texts=tuple(texts),
    )


def text_chunk(keyword: str, text: bytes) -> Chunk:
    """Return a chunk of a text in UTF-8, not packed, and in no language."""
    return b"iTXt", keyword.encode() + bytes(5) + text


def unpack_text(
    kind: bytes, content: bytes, limit: int = _LARGEST_TEXT
) -> tuple[str, bytes]:
    """Return keyword and text of a chunk, which may be packed; a longer text is a ValueError."""
    keyword, body = content.split(b"\0", 1)
    packed = kind == b"zTXt" or (kind == b"iTXt" and bool(body[0]))
    text = body
    if kind == b"zTXt":
        text = body[1:]
    elif kind == b"iTXt":
        text = body[2:].split(b"\0", 2)[2]
    if packed:
        text = inflate(text, limit)
    if len(text) > limit:
        raise ValueError("a text is too long")
    return keyword.decode("latin-1"), text


def inflate(content: bytes, limit: int = _LARGEST_TEXT) -> bytes:
    """Unpack a compressed chunk; one that is cut short or unpacks to more is a ValueError."""
    unpacker = zlib.decompressobj()
    result = unpacker.decompress(content, limit + 1)
    if not unpacker.eof:
        raise ValueError("a compressed chunk is cut short or too large")
    return result


def decode_text(kind: bytes, text: bytes) -> str:
    """Return a text that was unpacked of a chunk of a type."""
    return text.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace").strip()


def _raw_profile(text: bytes) -> tuple[str, bytes]:
    """Read a profile in hexadecimal digits, behind its name and its length in bytes.

    The name is ``"exif"``, ``"xmp"``, ``"icc"`` or ``"iptc"``.
    """
    name, length, digits = text.lstrip(b"\n").split(b"\n", 2)
    # some writers put a few bytes behind them
    profile = bytes.fromhex(b"".join(digits.split())[: 2 * int(length)].decode("ascii"))
    if len(profile) != int(length):
        raise ValueError("a profile is cut short")
    if profile.startswith(EXIF_PREFIX):
        return "exif", profile
    if profile.startswith(XMP_PREFIX):
        return "xmp", profile.removeprefix(XMP_PREFIX)
    kind = name.strip().decode("ascii").lower()
    return {"icm": "icc", "8bim": "iptc"}.get(kind, kind), profile
