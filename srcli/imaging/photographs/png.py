"""PNG files: their chunks and texts; pixels are read and written by libvips.

Chunks are walked here because libraries do not name those that are damaged or not kept,
Pillow refuses pictures for damaged metadata and does not see metadata behind the pixels
before decoding.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import starmap
from pathlib import Path
from typing import IO

from srcli.imaging.metadata import texts
from srcli.imaging.metadata.embedded import (
    EXIF_PREFIX,
    Metadata,
)
from srcli.imaging.photographs import size_checks, vips
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.pixels.arrays import Array, Size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
INCHES_PER_METRE = 0.0254
_MOST_PER_METRE = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Chunks of a file, without pixels."""

    chunks: dict[bytes, bytes]
    """Content of the first chunk of each type, but for texts."""
    texts: Metadata
    """Texts, and the metadata that are in them."""
    frames: list[Size]
    """(width, height) of each frame of an animation."""
    has_default_image: bool
    """An animation has a picture beside its frames."""
    damaged: tuple[str, ...]
    """Chunks that are left out, in words for the user."""
    damaged_texts: tuple[str, ...]
    """Texts that are left out, likewise."""


def read_contents(stream: IO[bytes]) -> Contents:
    """Read all chunks of a file but those of pixels."""
    chunks: dict[bytes, bytes] = {}
    text_chunks = []
    damaged: list[str] = []
    frames: list[Size] = []
    has_default_image = False
    stream.seek(len(SIGNATURE))
    for kind, content, is_intact in read_chunks(stream):
        if not is_intact:
            damaged.append(f"damaged chunk {kind.decode('latin-1')} left out")
        elif kind in texts.TEXT_CHUNKS:
            text_chunks.append((kind, content))
        elif kind == b"IDAT":
            has_default_image = has_default_image or not frames
        else:
            chunks.setdefault(kind, content)
            if kind == b"fcTL":
                frames.append(struct.unpack(">II", content[4:12].ljust(8, b"\0")))
    damaged_texts: list[str] = []
    return Contents(
        chunks=chunks,
        texts=texts.read_texts(text_chunks, damaged_texts),
        frames=frames,
        has_default_image=has_default_image,
        damaged=tuple(damaged),
        damaged_texts=tuple(damaged_texts),
    )


def read_layout(path: Path, contents: Contents, stream: IO[bytes]) -> Picture:
    """Return how the pixels of a file are stored; its metadata are those of texts, and EXIF."""
    chunks = contents.chunks
    width, height, depth, colour, *_ = struct.unpack(
        ">IIBBBBB", chunks.get(b"IHDR", b"")
    )
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    sizes = [(width, height), *contents.frames[1:]]
    size_checks.check_png(path, sizes, bits, stream.seek(0, io.SEEK_END))
    exif = chunks.get(b"eXIf") or contents.texts.exif
    return Picture(
        path=path,
        format="png",
        height=height,
        width=width,
        # others are 2, 3 and 6: RGB, palette, RGB with alpha
        channels=1 if colour in (0, 4) else 3,
        has_alpha=colour in (4, 6) or b"tRNS" in chunks,
        bits=16 if depth == 16 else 8,
        orientation=0,
        metadata=replace(contents.texts, exif=exif),
        warnings=contents.damaged,
    )


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
    vips.encode(
        stream, values, ".png", edit, compression=4, filter="paeth", bitdepth=bits
    )


def pack_metadata(metadata: Metadata) -> bytes:
    """Return the chunks that hold the metadata."""
    icc = metadata.icc
    chunks: list[texts.Chunk] = []
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
            min(round(dpi / INCHES_PER_METRE), _MOST_PER_METRE) for dpi in metadata.dpi
        ]
        chunks.append((b"pHYs", struct.pack(">IIB", *density, 1)))
    if metadata.exif is not None:
        chunks.append((b"eXIf", metadata.exif.removeprefix(EXIF_PREFIX)))
    if metadata.xmp is not None:
        chunks.append(texts.text_chunk(texts.XMP_KEYWORD, metadata.xmp))
    if metadata.software is not None:
        chunks.append(texts.text_chunk("Software", metadata.software.encode()))
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
