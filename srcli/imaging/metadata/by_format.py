"""Metadata dressed for each format, told what it does not hold.

JPEG has segments, PNG chunks, of which several hold texts.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from PIL.ExifTags import Base

from srcli.imaging.files import tiff_pages
from srcli.imaging.files.formats import FORMATS
from srcli.imaging.metadata import colour_spaces, exif
from srcli.imaging.metadata.embedded import (
    EXIF_PREFIX,
    XMP_PREFIX,
    ColourSpace,
    Metadata,
    profile_fits,
)

_WORDS = {"exif": "EXIF", "xmp": "XMP", "iptc": "IPTC captions", "dpi": "resolution"}
_LARGEST_DPI = 2**16 - 1  # that a field of JPEG holds
# Bytes of a segment of JPEG, less the prefixes of EXIF, XMP, IPTC and profiles.
_JPEG_LIMITS = {"exif": 65_533, "xmp": 65_533 - len(XMP_PREFIX), "iptc": 65_533 - 27}
_ICC_BYTES = 65_533 - 14
_KEYWORDS_BY_TAG = {
    Base.ImageDescription: ("Description", "Title"),
    Base.Artist: ("Author", "Artist"),
    Base.Copyright: ("Copyright",),
}
"""Tags of EXIF, and the keywords of which the first that is there fills one."""
_LONGEST_OUTSIDE_PNG = 32_000
"""Bytes of a text outside PNG: EXIF of jpg has 64 KB for everything."""


def dress_metadata(metadata: Metadata, fmt: str) -> tuple[Metadata, tuple[str, ...]]:
    """Return the metadata as a format holds them, and what is lost, in words for the user.

    What is dressed for the format already stays as it is.
    """
    target = FORMATS[fmt]
    notes = []
    lost = []
    for name, words in _WORDS.items():
        if getattr(metadata, name) and name not in target.metadata:
            lost.append(words)
    if lost:
        notes.append(f"{fmt} holds no {' or '.join(lost)}: left out")
    notes += _note_colours(metadata, fmt)
    if not _holds_colour_space(fmt, metadata.colours):
        metadata = replace(metadata, icc=metadata.profile, colours=None)
    if fmt == "png":
        if metadata.comment:
            chunk = text_chunk("Comment", metadata.comment.encode())
            chunks = (*metadata.texts, chunk)
            metadata = replace(metadata, comment="", texts=chunks)
        return metadata, tuple(notes)
    metadata, keywords = _without_chunks(metadata, fmt)
    if keywords:
        names = ", ".join(keywords)[:200]
        notes.append(f"text entries left out (png keeps them): {names}")
    if fmt == "jpg":
        for name, limit in _JPEG_LIMITS.items():
            if len(getattr(metadata, name) or b"") > limit:
                notes.append(f"its {name.upper()} is too long for jpg: left out")
                without: dict[str, Any] = {name: None}
                metadata = replace(metadata, **without)
    return metadata, tuple(notes)


def _note_colours(metadata: Metadata, fmt: str) -> list[str]:
    """Note what becomes of colours whose description a format cannot hold."""
    target = FORMATS[fmt]
    profile = metadata.profile
    colour_space = metadata.colours
    if profile is None and colour_space is None:
        return []
    hdr = colour_spaces.hdr_of(colour_space, metadata.icc)
    loses_hdr = hdr is not None and not _holds_colour_space(fmt, colour_space)
    flattened = f"HDR ({hdr}) becomes SDR, bright parts are compressed"
    if "icc" not in target.metadata and profile is not None:
        change = flattened if hdr else "colours become sRGB"
        return [f"{fmt} holds no colour profile: {change}"]
    if loses_hdr and not target.gray and profile_fits(profile or b"", 1):
        return [f"{fmt} holds no gray: {flattened}"]
    if loses_hdr and colour_space is not None:
        return [
            f"HDR ({hdr}) is kept only as a colour profile in {fmt}: programs that do not know its "
            "cicp tag show SDR, with bright parts compressed; png and avif keep it as it is"
        ]
    return []


def _holds_colour_space(fmt: str, colour_space: ColourSpace | None) -> bool:
    """Return True if a format describes colours as a label does, without a profile."""
    if colour_space is None or fmt not in ("png", "avif"):
        return False
    return colour_space.cicp is not None or (fmt == "png" and bool(colour_space.chunks))


def _without_chunks(metadata: Metadata, fmt: str) -> tuple[Metadata, list[str]]:
    """Put texts of PNG where another format has them; return the keywords of those left out."""
    words: dict[str, str] = {}
    for kind, content in metadata.texts:
        keyword, text = unpack_text(kind, content)
        words.setdefault(keyword, decode_text(kind, text))
    if metadata.comment:
        words["Comment"] = metadata.comment
    short = [
        key
        for key, text in words.items()
        if 0 < len(text.encode()) <= _LONGEST_OUTSIDE_PNG
    ]
    comment = ""
    if fmt == "jpg" and "Comment" in short:
        comment = words.pop("Comment")
    block = metadata.exif
    software = metadata.software
    if "exif" in FORMATS[fmt].metadata:
        described: dict[int, str] = {}
        for tag, keywords in _KEYWORDS_BY_TAG.items():
            for keyword in keywords:
                if keyword in short:
                    described[tag] = words.pop(keyword)
                    break
        block = _with_texts(block, described, software)
        software = None
    dressed = replace(
        metadata, exif=block, software=software, comment=comment, texts=()
    )
    return dressed, list(words)


def _with_texts(
    block: bytes | None, described: dict[int, str], software: str | None
) -> bytes | None:
    """Return an EXIF block with texts, none of which makes it too long for jpg."""
    made_by: dict[int, str] = {}
    if software is not None:
        earlier = exif.software(block)
        if earlier not in software:
            software = f"{earlier}; {software}"
        made_by[Base.Software] = software
    for entries in (described | made_by, made_by):
        with suppress(ValueError):
            longer = exif.with_texts(block, entries)
            if len(longer or b"") <= max(_JPEG_LIMITS["exif"], len(block or b"")):
                return longer
    return block


def metadata_segments(metadata: Metadata) -> bytes:
    """Return the segments of a JPEG file that hold the metadata, which fit into them."""
    density = (0, 1, 1)  # without a unit
    if metadata.dpi is not None and max(metadata.dpi) <= _LARGEST_DPI:
        across, down = metadata.dpi
        density = (1, round(across), round(down))
    segments = [(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHxx", *density))]
    if metadata.exif:
        segments.append((0xE1, metadata.exif))
    if metadata.xmp:
        segments.append((0xE1, XMP_PREFIX + metadata.xmp))
    if metadata.iptc:
        length = len(metadata.iptc)
        sized = struct.pack(">I", length) + metadata.iptc + bytes(length % 2)
        segments.append((0xED, b"Photoshop 3.0\0008BIM\4\4\0\0" + sized))
    icc = metadata.icc or b""
    pieces = [icc[at : at + _ICC_BYTES] for at in range(0, len(icc), _ICC_BYTES)]
    for number, piece in enumerate(pieces, 1):
        position = bytes([number, len(pieces)])
        segments.append((0xE2, b"ICC_PROFILE\0" + position + piece))
    if metadata.comment:
        segments.append((0xFE, metadata.comment.encode()))
    packed = b""
    for mark, content in segments:
        packed += struct.pack(">BBH", 0xFF, mark, len(content) + 2) + content
    return packed


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
            room -= min(limit, len(content) * tiff_pages.DEFLATE_RATIO)
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
