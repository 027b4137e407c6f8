"""PNG files: their chunks and texts; pixels are read and written by libvips.

Chunks are walked here because libraries do not name those that are damaged or not kept,
Pillow refuses pictures for damaged metadata and does not see metadata behind the pixels
before decoding.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from typing import IO

from srcli.imaging.metadata import by_format, colour_spaces
from srcli.imaging.metadata.embedded import (
    EXIF_PREFIX,
    ColourSpace,
    Metadata,
    profile_fits,
)
from srcli.imaging.metadata.left_out import note_aspect
from srcli.imaging.photographs import vips
from srcli.imaging.photographs.photograph import Picture, check_png
from srcli.imaging.pixels.arrays import Array, Size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INCHES_PER_METRE = 0.0254
_MOST_PER_METRE = 2**31 - 1
_COLOUR_CHUNKS = (b"cICP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI")
_COLOUR_UNIT = 100_000  # of gAMA and cHRM
_MOST_FRAMES = 2**31


def read_png_header(path: Path, stream: IO[bytes]) -> Picture:
    """Read the header and the metadata of a file."""
    notes: list[str] = []
    chunks: dict[bytes, bytes] = {}
    """Content of the first chunk of each type, by their order."""
    text_chunks = []
    frames: list[Size] = []
    """(width, height) of each frame of an animation."""
    stream.seek(len(SIGNATURE))
    for kind, content, is_intact in read_chunks(stream):
        if not is_intact:
            notes.append(f"damaged chunk {kind.decode('latin-1')} left out")
            continue
        chunks.setdefault(kind, content)
        if kind in by_format.TEXT_CHUNKS:
            text_chunks.append((kind, content))
        elif kind == b"fcTL":
            frames.append(struct.unpack(">II", content[4:12].ljust(8, b"\0")))
    written = by_format.read_texts(text_chunks, notes)
    width, height, depth, colour, *_ = struct.unpack(
        ">IIBBBBB", chunks.get(b"IHDR", b"")
    )
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    sizes = [(width, height), *frames[1:]]
    check_png(path, sizes, bits, stream.seek(0, io.SEEK_END))
    # others are 2, 3 and 6: RGB, palette, RGB with alpha
    channels = 1 if colour in (0, 4) else 3
    icc, colour_space = _read_colours(chunks, written.icc, channels, notes)
    exif = written.exif
    if chunks.get(b"eXIf"):
        exif = EXIF_PREFIX + chunks[b"eXIf"].removeprefix(EXIF_PREFIX)
    dpi = None
    density = chunks.get(b"pHYs", b"")
    if len(density) == 9 and density[8] == 1:
        across, down = struct.unpack(">II", density[:8])
        dpi = (across * _INCHES_PER_METRE, down * _INCHES_PER_METRE)
    elif len(density) == 9:
        notes += note_aspect(*struct.unpack(">II", density[:8]))
    stated = int.from_bytes(chunks.get(b"acTL", b"")[:4])
    # readers are to take the first picture then, and do
    readable = len(frames) if stated <= _MOST_FRAMES else 1
    if stated > readable:
        notes.append(
            f"an animation of {stated} pictures by its header: {readable} can be read"
        )
    frame_count = max(min(stated, readable), 1)
    # by which pixels in front of the first frame are a picture of their own
    order = [kind for kind in chunks if kind in (b"IDAT", b"fcTL")]
    return Picture(
        path=path,
        format="png",
        height=height,
        width=width,
        channels=channels,
        has_alpha=colour in (4, 6) or b"tRNS" in chunks,
        bits=16 if depth == 16 else 8,
        frames=frame_count,
        has_default_image=order[:1] == [b"IDAT"] and frame_count > 1,
        orientation=0,
        metadata=replace(written, exif=exif, icc=icc, colours=colour_space, dpi=dpi),
        warnings=tuple(notes),
    )


def _read_colours(
    chunks: Mapping[bytes, bytes],
    raw_icc: bytes | None,
    channels: int,
    notes: list[str],
) -> tuple[bytes | None, ColourSpace | None]:
    """Return the ICC profile and the label of colours; one is None where the other rules it out.

    The order of precedence is cICP, iCCP, sRGB, then gAMA and cHRM (PNG, third
    edition). A profile among the texts comes after sRGB.
    """
    icc = None
    if b"iCCP" in chunks:
        try:
            icc = by_format.inflate(chunks[b"iCCP"].split(b"\0", 1)[1][1:])
        except (IndexError, zlib.error, ValueError):
            notes.append("damaged colour profile left out")
    if not icc and b"sRGB" not in chunks:
        icc = raw_icc
    described = tuple((kind, chunks[kind]) for kind in _COLOUR_CHUNKS if kind in chunks)
    if chunks.get(b"cICP"):
        with_profile = described
        fits = icc is not None and profile_fits(icc, channels)
        if fits and b"iCCP" in chunks:
            with_profile = (*described, (b"iCCP", chunks[b"iCCP"]))
        colour_space = colour_spaces.from_cicp(
            chunks[b"cICP"], channels, notes, with_profile
        )
        if colour_space:
            return None, colour_space
    if icc is not None or b"sRGB" in chunks:
        if described:
            return icc, ColourSpace(None, None, described)
        return icc, None
    gamma = chunks.get(b"gAMA", b"")
    points = chunks.get(b"cHRM", b"")
    curve: tuple[float, ...] = colour_spaces.SRGB_CURVE
    if len(gamma) == 4 and any(gamma):
        curve = (_COLOUR_UNIT / int.from_bytes(gamma),)
    xy = None
    if len(points) == 32:
        xy = [value / _COLOUR_UNIT for value in struct.unpack(">8I", points)]
    return None, colour_spaces.from_primaries(xy, curve, channels, notes, described)


def write(stream: IO[bytes], values: Array, metadata: Metadata) -> None:
    """Write one picture into an empty file: (H, W, C), uint8 or uint16, with alpha last.

    libvips would write EXIF, but never as it was given.
    """

    def edit(head: bytes) -> bytes:
        """Put the chunks of the metadata behind the header instead of a resolution."""
        end = 54 if head[37:41] == b"pHYs" else 33
        return head[:33] + pack_metadata(metadata) + head[end:]

    # Of about the size and speed that Pillow has at level 1: more would cost seconds
    # for 2 %.
    bits = values.dtype.itemsize * 8
    vips.encode_by_libvips(
        stream, values, ".png", edit, compression=4, filter="paeth", bitdepth=bits
    )


def pack_metadata(metadata: Metadata) -> bytes:
    """Return the chunks that hold the metadata."""
    icc = metadata.icc
    chunks: list[by_format.Chunk] = []
    colour_space = metadata.colours
    if colour_space is not None and colour_space.chunks:
        chunks += colour_space.chunks
    elif colour_space is not None and colour_space.cicp is not None:
        # programs that do not know code points take the profile
        chunks.append((b"cICP", colour_space.cicp))
        icc = metadata.profile
    if icc is not None:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if metadata.dpi is not None:
        density = [
            min(round(dpi / _INCHES_PER_METRE), _MOST_PER_METRE) for dpi in metadata.dpi
        ]
        chunks.append((b"pHYs", struct.pack(">IIB", *density, 1)))
    if metadata.exif is not None:
        chunks.append((b"eXIf", metadata.exif.removeprefix(EXIF_PREFIX)))
    if metadata.xmp is not None:
        chunks.append(by_format.text_chunk(by_format.XMP_KEYWORD, metadata.xmp))
    if metadata.software is not None:
        chunks.append(by_format.text_chunk("Software", metadata.software.encode()))
    return b"".join(starmap(pack_chunk, (*chunks, *metadata.texts)))


def pack_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    checksum = zlib.crc32(kind + content)
    return (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    )


def read_chunks(
    stream: IO[bytes], *, pixels: bool = False
) -> Iterator[tuple[bytes, bytes, bool]]:
    """Iterate over chunks: type, content, and True if the checksum is right.

    The content of pixels is empty, and not checked, unless they are asked for.

    A necessary chunk that is damaged, or a file that ends early, is a ValueError.
    """
    if stream.read(8) != b"\0\0\0\x0dIHDR":
        raise ValueError("the first chunk is no header")
    stream.seek(-8, io.SEEK_CUR)
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise ValueError("the file ends before its end mark")
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind in (b"IDAT", b"fdAT") and not pixels:
            stream.seek(length + 4, io.SEEK_CUR)
            yield kind, b"", True
            continue
        content = stream.read(length)
        is_intact = stream.read(4) == struct.pack(">I", zlib.crc32(kind + content))
        # a lower-case first letter marks chunks that a reader may leave out
        if not is_intact and (kind[:1].isupper() or len(content) < length):
            raise ValueError(f"chunk {kind.decode('latin-1')} is damaged")
        yield kind, content, is_intact
