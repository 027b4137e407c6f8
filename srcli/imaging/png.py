"""Read PNG files chunk by chunk: layout and metadata."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from srcli.imaging.header import Header

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
INCHES_PER_METRE = 0.0254
GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # colour types
_LARGEST_TEXT = 2**26  # bytes that a compressed chunk of metadata may unpack to
_SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
# keywords that programs write by themselves and nobody misses
_DULL = frozenset({b"Software", b"date:create", b"date:modify", b"date:timestamp"})


@dataclass
class PngFile:
    """The chunks of a PNG file."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: int
    chunks: dict[bytes, list[bytes]] = field(default_factory=dict)
    """All but the pixel data, by type."""
    data: list[bytes] = field(default_factory=list)
    """Compressed pixel data of the first (default) picture, if asked for."""
    notes: list[str] = field(default_factory=list)

    def first(self, kind: bytes) -> bytes | None:
        """Content of the first chunk of a type."""
        return next(iter(self.chunks.get(kind, ())), None)


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk as it stands in the file."""
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
    )


def read_chunks(stream: IO[bytes], *, with_data: bool) -> PngFile:
    """Walk through all chunks and check them.

    Args:
        stream: The file from its start.
        with_data: Keep the pixel data, too; otherwise they are skipped unread.

    Raises:
        ValueError: If the file ends early or a necessary chunk is damaged.
    """
    if stream.read(8) != SIGNATURE:
        raise ValueError("no PNG signature")
    chunks = _chunks(stream, with_data=with_data)
    kind, content, _ = next(chunks)
    if kind != b"IHDR" or len(content) != 13:
        raise ValueError("the first chunk is no header")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", content)
    png = PngFile(width, height, depth, colour, interlaced)
    for kind, content, sound in chunks:
        if kind == b"IDAT":
            png.data.append(content)
        elif sound:
            png.chunks.setdefault(kind, []).append(content)
        else:
            png.notes.append(f"damaged chunk {kind.decode('latin-1')} left out")
    return png


def _chunks(stream: IO[bytes], *, with_data: bool) -> Iterator[tuple[bytes, bytes, bool]]:
    """Type, content and soundness of the chunks before the end mark."""
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise ValueError("the file ends before its end mark")
        length, kind = struct.unpack(">I4s", head)
        if kind == b"fdAT" or (kind == b"IDAT" and not with_data):
            stream.seek(length + 4, io.SEEK_CUR)
            continue
        content = stream.read(length)
        sound = stream.read(4) == struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
        if kind == b"IEND":
            return
        # a lower-case first letter marks what a reader may leave out
        if not sound and (kind[:1].isupper() or len(content) < length):
            raise ValueError(f"chunk {kind.decode('latin-1')} is damaged")
        yield kind, content, sound


def read_header(stream: IO[bytes]) -> Header:
    """Read the header and the metadata of a PNG file.

    Args:
        stream: The file from its start.

    Raises:
        ValueError: If the file is damaged.
    """
    return _header(read_chunks(stream, with_data=False))


def _header(png: PngFile) -> Header:
    frames = struct.unpack(">I", (png.first(b"acTL") or bytes(4))[:4])[0]
    header = Header(
        format="png",
        height=png.height,
        width=png.width,
        channels=1 if png.colour in (GRAY, GRAY_ALPHA) else 3,
        has_alpha=png.colour in (GRAY_ALPHA, RGB_ALPHA) or b"tRNS" in png.chunks,
        bits=16 if png.depth == 16 else 8,
        frames=max(frames, 1),
        exif=png.first(b"eXIf"),
        notes=png.notes,
    )
    density = png.first(b"pHYs")
    if density is not None and len(density) == 9 and density[8] == 1:
        across, down = struct.unpack(">II", density[:8])
        header.dpi = (across * INCHES_PER_METRE, down * INCHES_PER_METRE)
    profile = png.first(b"iCCP")
    if profile is not None:
        try:
            header.icc = _inflate(profile.split(b"\0", 1)[1][1:])
        except (IndexError, zlib.error, ValueError):
            png.notes.append("damaged colour profile left out")
    _read_texts(png, header)
    _note_colour(png, has_profile=header.icc is not None)
    return header


def _read_texts(png: PngFile, header: Header) -> None:
    left_out = []
    for kind in (b"iTXt", b"tEXt", b"zTXt"):
        for content in png.chunks.get(kind, ()):
            keyword, _, rest = content.partition(b"\0")
            if keyword == XMP_KEYWORD and kind == b"iTXt" and len(rest) > 2:
                packet = rest[2:].split(b"\0", 2)[-1]
                header.xmp = _inflate(packet) if rest[0] else packet
            elif keyword not in _DULL:
                left_out.append(keyword.decode("latin-1"))
    if left_out:
        png.notes.append(f"text entries left out: {', '.join(sorted(set(left_out)))[:100]}")


def _note_colour(png: PngFile, *, has_profile: bool) -> None:
    """Say so where colours are described in a way that a photograph does not carry."""
    if has_profile or b"sRGB" in png.chunks:
        return
    gamma, primaries = png.first(b"gAMA"), png.first(b"cHRM")
    odd = b"cICP" in png.chunks
    if gamma is not None and len(gamma) == 4:
        odd |= abs(struct.unpack(">I", gamma)[0] - 45455) > 500
    if primaries is not None and len(primaries) == 32:
        stated = struct.unpack(">8I", primaries)
        odd |= any(abs(a - b) > 200 for a, b in zip(stated, _SRGB_PRIMARIES, strict=True))
    if odd:
        png.notes.append("a colour description other than an ICC profile is left out")


def _inflate(content: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    result = unpacker.decompress(content, _LARGEST_TEXT)
    if not unpacker.eof:
        raise ValueError("a compressed chunk is cut short or too large")
    return result
