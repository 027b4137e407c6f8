"""PNG files: header and metadata by their chunks, pixels by libvips.

Chunks are walked here because libraries do not name those that are damaged or not kept, Pillow
refuses pictures for damaged metadata and does not see metadata behind the pixels before decoding.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from srcli.imaging import vips
from srcli.imaging.exif import PREFIX
from srcli.imaging.photograph import Metadata, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_INCHES_PER_METRE = 0.0254
_MOST_PER_METRE = 2**31 - 1
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type: gray, RGB, palette, with alpha
_ALPHA = frozenset({4, 6})
_BEST_DEFLATE_RATIO = 1032
_LARGEST_TEXT = 2**26  # bytes that a compressed chunk of metadata may unpack to
_SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
# keywords that programs write by themselves and nobody misses
_UNIMPORTANT = frozenset({b"Software", b"date:create", b"date:modify", b"date:timestamp"})


@dataclass
class _Chunks:
    """All chunks of a file but its pixels, by type, and remarks about them."""

    content: dict[bytes, list[bytes]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def first(self, kind: bytes) -> bytes | None:
        """Content of the first chunk of a type."""
        return next(iter(self.content.get(kind, ())), None)


def read_header(path: Path, stream: IO[bytes]) -> Picture:
    """Read the header and the metadata of a PNG file.

    Args:
        path: The file.
        stream: The same, from its start.

    Raises:
        ValueError: If the file is damaged.
    """
    chunks = _Chunks()
    stream.seek(len(_SIGNATURE))
    for kind, content, sound in _walk(stream):
        if sound:
            chunks.content.setdefault(kind, []).append(content)
        else:
            chunks.notes.append(f"damaged chunk {kind.decode('latin-1')} left out")
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks.first(b"IHDR") or b"")
    metadata = Metadata(
        icc=_profile(chunks),
        exif=chunks.first(b"eXIf"),
        xmp=_read_texts(chunks),
        dpi=_resolution(chunks),
    )
    _note_colours(chunks, has_profile=metadata.icc is not None)
    frames: int = struct.unpack(">I", (chunks.first(b"acTL") or bytes(4))[:4])[0]
    return Picture(
        path=path,
        format="png",
        height=height,
        width=width,
        channels=1 if colour in (0, 4) else 3,
        has_alpha=colour in _ALPHA or b"tRNS" in chunks.content,
        bits=16 if depth == 16 else 8,
        frames=max(frames, 1),
        orientation=0,
        metadata=metadata,
        warnings=tuple(chunks.notes),
    )


def read_pixels(stream: IO[bytes]) -> tuple[Array, Array | None]:
    """Decode a PNG file that ``read_header`` accepts.

    Args:
        stream: The file from its start.

    Returns:
        Pixels (H, W, C), uint8 or uint16, and alpha (H, W) or None.

    Raises:
        ValueError: If pixel data are damaged or missing.
    """
    data = stream.read()
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if len(data) * _BEST_DEFLATE_RATIO < height * width * depth * _SAMPLES.get(colour, 4) // 8:
        raise ValueError("it holds too little data for its size")
    values = vips.decode_png(data)
    if values.shape[2] in (1, 3):
        return values, None
    return values[:, :, :-1].copy(), values[:, :, -1].copy()


def write(stream: IO[bytes], values: Array, metadata: Metadata) -> None:
    """Write one picture.

    Args:
        stream: An empty file.
        values: (H, W, C), uint8 or uint16, C = 1 to 4 with alpha last.
        metadata: Metadata to embed.

    Raises:
        OSError: If the stream does not take it.
    """
    chunks = b""
    if metadata.icc is not None:
        chunks += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc))
    if metadata.dpi is not None:
        across, down = (
            min(round(one / _INCHES_PER_METRE), _MOST_PER_METRE) for one in metadata.dpi
        )
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if metadata.exif is not None:
        chunks += _chunk(b"eXIf", metadata.exif.removeprefix(PREFIX))
    if metadata.xmp is not None:
        chunks += _chunk(b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + metadata.xmp)
    vips.encode_png(stream, values, chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _walk(stream: IO[bytes]) -> Iterator[tuple[bytes, bytes, bool]]:
    """Type, content and soundness of all chunks but pixel data, which are skipped unread.

    Raises:
        ValueError: If the file ends early or a necessary chunk is damaged.
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
        if kind in (b"IDAT", b"fdAT"):
            stream.seek(length + 4, io.SEEK_CUR)
            continue
        content = stream.read(length)
        sound = stream.read(4) == struct.pack(">I", zlib.crc32(kind + content))
        # a lower-case first letter marks chunks that a reader may leave out
        if not sound and (kind[:1].isupper() or len(content) < length):
            raise ValueError(f"chunk {kind.decode('latin-1')} is damaged")
        yield kind, content, sound


def _resolution(chunks: _Chunks) -> tuple[float, float] | None:
    density = chunks.first(b"pHYs")
    if density is None or len(density) != 9 or density[8] != 1:
        return None
    across, down = struct.unpack(">II", density[:8])
    return across * _INCHES_PER_METRE, down * _INCHES_PER_METRE


def _profile(chunks: _Chunks) -> bytes | None:
    profile = chunks.first(b"iCCP")
    if profile is not None:
        try:
            return _inflate(profile.split(b"\0", 1)[1][1:])
        except (IndexError, zlib.error, ValueError):
            chunks.notes.append("damaged colour profile left out")
    return None


def _read_texts(chunks: _Chunks) -> bytes | None:
    """Return the XMP packet; note other texts as left out."""
    xmp, left_out = None, set()
    for kind in (b"iTXt", b"tEXt", b"zTXt"):
        for content in chunks.content.get(kind, ()):
            keyword, _, rest = content.partition(b"\0")
            if keyword == _XMP_KEYWORD and kind == b"iTXt" and len(rest) > 2:
                packet = rest[2:].split(b"\0", 2)[-1]
                xmp = _inflate(packet) if rest[0] else packet
            elif keyword not in _UNIMPORTANT:
                left_out.add(keyword.decode("latin-1"))
    if left_out:
        chunks.notes.append(f"text entries left out: {', '.join(sorted(left_out))[:100]}")
    return xmp


def _note_colours(chunks: _Chunks, *, has_profile: bool) -> None:
    """Note descriptions of colours that differ from sRGB and are no profile."""
    if has_profile or b"sRGB" in chunks.content:
        return
    gamma, primaries = chunks.first(b"gAMA"), chunks.first(b"cHRM")
    odd = b"cICP" in chunks.content
    if gamma is not None and len(gamma) == 4:
        odd |= abs(struct.unpack(">I", gamma)[0] - 45455) > 500
    if primaries is not None and len(primaries) == 32:
        stated = struct.unpack(">8I", primaries)
        odd |= any(abs(a - b) > 200 for a, b in zip(stated, _SRGB_PRIMARIES, strict=True))
    if odd:
        chunks.notes.append("a colour description other than an ICC profile is left out")


def _inflate(content: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    result = unpacker.decompress(content, _LARGEST_TEXT)
    if not unpacker.eof:
        raise ValueError("a compressed chunk is cut short or too large")
    return result
