"""Structures of picture files that libraries do not tell: JPEG segments, WebP chunks, AVIF boxes.

By them, kinds of sound files are named that no reader here knows.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from srcli.imaging.exif import read_directory, read_start

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEGMENTS, _CHUNKS = 2000, 10_000  # a damaged file may have no end of them
_COLOURS = b"nclx"
_MONOCHROME = 0x10
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
    32766: "NeXT RLE",
    32809: "ThunderScan RLE",
    34892: "lossy DNG",
    34933: "PNG",
    34934: "JPEG XR",
    **dict.fromkeys((9, 10, 34661), "JBIG"),
    **dict.fromkeys((33003, 33005, 34712), "JPEG 2000"),
    **dict.fromkeys((34676, 34677), "LogLuv"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
}
_WIDTH, _BITS, _COMPRESSION, _MODEL, _PLANES = 256, 258, 259, 262, 284
_JPEG, _YCBCR, _SEPARATE = 7, 6, 2
_MASKS = (3, 32)  # no Huffman coding, which has one bit
_BMP = {3: "Huffman coding", 4: "JPEG inside", 5: "PNG inside", 11: "CMYK"}
_BMP |= dict.fromkeys((12, 13), "CMYK with RLE")


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


def code_points(data: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer function (ITU-T H.273) of the main picture; None if unsaid."""
    try:
        meta = next(content for kind, content in _boxes(data) if kind == b"meta")
        parts = dict(_boxes(meta[4:]))
        main, properties = parts[b"pitm"], list(_boxes(parts[b"iprp"]))
        number = int.from_bytes(main[4:8] if main[0] else main[4:6])
        known = [one for kind, content in properties if kind == b"ipco" for one in _boxes(content)]
        for kind, content in properties:
            for index in _associations(content, number) if kind == b"ipma" else ():
                kind, colours = known[index - 1]
                if kind == b"colr" and colours[:4] == _COLOURS:
                    primaries, transfer = struct.unpack_from(">HH", colours, 4)
                    return primaries, transfer
    except (StopIteration, LookupError, ValueError, struct.error):
        pass  # the decoder tells what is damaged
    return None


def _associations(data: bytes, number: int) -> list[int]:
    """Return the properties of one item, numbered from 1."""
    item_code, code, mask = ">I" if data[0] else ">H", "B", 0x7F
    if data[3] & 1:
        code, mask = "H", 0x7FFF
    at = 8
    for _ in range(int.from_bytes(data[4:8])):
        (item,) = struct.unpack_from(item_code, data, at)
        at += struct.calcsize(item_code)
        form = f">{data[at]}{code}"
        if item == number:
            found = (one & mask for one in struct.unpack_from(form, data, at + 1))
            return [index for index in found if index]
        at += 1 + struct.calcsize(form)
    return []


def with_code_points(data: bytes, cicp: bytes) -> bytes:
    """Return an AVIF file with other primaries and transfer function than its encoder wrote."""
    at = data.find(b"colr" + _COLOURS) + 8
    if at < 8:
        raise ValueError("the encoder wrote no colours")
    return data[:at] + struct.pack(">HH", cicp[0], cicp[1]) + data[at + 4 :]


def whole_meta(data: bytes) -> bytes:
    """Return the content of the box of metadata of a file."""
    found = [content for kind, content in _boxes(data) if kind == b"meta"]
    if not found:
        raise ValueError("it has no metadata")
    return found[0]


def count_gray(data: bytes) -> int:
    """Count the AV1 configurations of one channel: of gray pictures, alpha and gain maps."""
    parts = whole_meta(data).split(b"av1C")[1:]
    return sum(len(part) > 2 and bool(part[2] & _MONOCHROME) for part in parts)


def with_one_association(data: bytes) -> bytes:
    """Return a file with its boxes ``ipma``, of which there may be only one, made one.

    Old encoders wrote one for the colours and one for alpha, which libavif refuses and browsers
    showed. Nothing else in the file moves. NotImplementedError is raised for other files.
    """
    properties = dict(_boxes(whole_meta(data)[4:])).get(b"iprp", b"")
    parts = list(_boxes(properties))
    found = [content for kind, content in parts if kind == b"ipma"]
    if len(found) < 2 or len({content[:4] for content in found}) > 1:
        raise NotImplementedError
    count = sum(int.from_bytes(content[4:8]) for content in found)
    entries = b"".join(content[8:] for content in found)
    merged = _box(b"ipma", found[0][:4] + struct.pack(">I", count) + entries)
    others = b"".join(_box(kind, content) for kind, content in parts if kind != b"ipma")
    old, new = _box(b"iprp", properties), _box(b"iprp", others + merged)
    # what is saved becomes an empty box
    return data.replace(old, new + _box(b"free", bytes(len(old) - len(new) - 8)), 1)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over boxes: their kind and content."""
    at = 0
    while at < len(data):
        size, head = int.from_bytes(data[at : at + 4]), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16]), 16
        end = at + size if size else len(data)  # 0 is up to the end
        if not at + head <= end <= len(data):
            raise ValueError("the file ends too early")
        yield data[at + 4 : at + 8], data[at + head : end]
        at = end
