"""Segments of JPEG and chunks of WebP; kinds of sound files that no reader here knows."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from srcli.imaging.exif import read_directory, read_start

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEGMENTS, _CHUNKS = 2000, 10_000  # a damaged file may have no end of them
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROCESSES = {
    0xC3: "lossless",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB), "arithmetic coding"),
}
# Values of the tag "compression" of TIFF: those that are always read, and words for others.
_USUAL = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000, 50001, 34887})
_COMPRESSIONS = {
    6: "JPEG of the old style",
    9: "JBIG",
    10: "JBIG",
    32766: "NeXT RLE",
    32809: "ThunderScan RLE",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "LogLuv",
    34677: "LogLuv",
    34712: "JPEG 2000",
    34892: "lossy DNG",
    34933: "PNG",
    34934: "JPEG XR",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_WIDTH, _BITS, _COMPRESSION, _MODEL, _PLANES = 256, 258, 259, 262, 284
_JPEG, _YCBCR, _SEPARATE = 7, 6, 2
_MASKS = (3, 32)  # no Huffman coding, which has one bit
_BMP = {
    3: "Huffman coding",
    4: "JPEG inside",
    5: "PNG inside",
    11: "CMYK",
    12: "CMYK with RLE",
    13: "CMYK with RLE",
}


def rare_kind(stream: IO[bytes]) -> str:
    """Describe a file of a kind that standards allow and readers often lack.

    Words are such as ``"JPEG (lossless, 16 bits)"``; empty for all others: if such a file is not
    read, it is damaged.
    """
    stream.seek(0)
    head = stream.read(64)
    try:
        if head.startswith(b"\xff\xd8"):
            return _jpeg(stream)
        if head[:2] == b"BM":
            return _bmp(head)
        if head[:2] in (b"II", b"MM"):
            return _tiff(stream)
    except (OSError, ValueError, LookupError, ArithmeticError, struct.error):
        pass  # cut short, or no sense in it
    return ""


@dataclass(frozen=True)
class JpegFrame:
    """How the pixels of a JPEG file are coded."""

    process: str
    """A word for what is neither baseline nor progressive with Huffman coding."""
    bits: int
    channels: int


def jpeg_frame(stream: IO[bytes]) -> JpegFrame | None:
    """Read the frame header of a JPEG file; None if it is cut short before."""
    for marker, rest in jpeg_segments(stream):
        if marker in _FRAMES:
            return JpegFrame(_PROCESSES.get(marker, ""), rest[0], rest[5]) if rest[5:] else None
    return None


def jpeg_segments(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Iterate over the segments of a JPEG file up to damage: marker and content."""
    stream.seek(2)
    for _ in range(_SEGMENTS):
        mark, marker = stream.read(2).ljust(2, b"\0")
        if mark != 0xFF:
            return
        while marker == 0xFF:  # fill bytes
            marker = int.from_bytes(stream.read(1))
        if marker not in _STANDALONE:
            yield marker, stream.read(max(int.from_bytes(stream.read(2)) - 2, 0))


def webp_chunks(stream: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Iterate over the chunks of a WebP file and its frames: kind and length; content is next."""
    stream.seek(12)
    for _ in range(_CHUNKS):
        kind, length = stream.read(4), int.from_bytes(stream.read(4), "little")
        if len(kind) < 4:
            return
        start = stream.tell()
        yield kind, length
        # the chunks of a frame lie inside it; others are padded to even lengths
        stream.seek(start + (16 if kind == b"ANMF" else length + length % 2))


def _jpeg(stream: IO[bytes]) -> str:
    frame = jpeg_frame(stream)
    if frame is None or not 2 <= frame.bits <= 16 or not frame.channels:
        return ""
    if not frame.process and frame.bits == 12 and frame.channels in (1, 3):
        return ""  # by GDAL
    words = [frame.process] if frame.process else []
    words += [f"{frame.bits} bits"] * (frame.bits != 8)
    words += [f"{frame.channels} channels"] * (frame.channels not in (1, 3, 4))
    return f"JPEG ({', '.join(words)})" if words else ""


def _bmp(head: bytes) -> str:
    size, _, _, _, bits, compression = struct.unpack_from("<IiiHHI", head, 14)
    known = 16 <= size <= 124 and bits in (0, 1, 8, 24, 32)
    word = _BMP.get(compression) if known and (compression, bits) != _MASKS else None
    if compression == 4 and bits == 24:
        word = "RLE of 24 bits"
    return f"BMP ({word})" if word else ""


def _tiff(stream: IO[bytes]) -> str:
    layout, first = read_start(stream)
    entries, _ = read_directory(stream, first, layout)
    wanted = (_WIDTH, _BITS, _COMPRESSION, _MODEL, _PLANES)
    tags = {one.tag: int(one.numbers[0]) for one in entries if one.tag in wanted}
    compression, bits = tags.get(_COMPRESSION, 1), tags.get(_BITS, 1)
    if _WIDTH not in tags or compression not in (*_USUAL, *_COMPRESSIONS):
        word = f"compression {compression}" if compression > 32767 and _WIDTH in tags else ""
    else:
        word = _COMPRESSIONS.get(compression, "")
    if compression == _JPEG and bits > 8:
        word = f"JPEG of {bits} bits inside"
    elif tags.get(_MODEL) == _YCBCR and compression != _JPEG and not word:
        planes = ", one plane a channel" * (tags.get(_PLANES) == _SEPARATE)
        word = f"YCbCr without JPEG{planes}"
    return f"TIFF ({word})" if word else ""
