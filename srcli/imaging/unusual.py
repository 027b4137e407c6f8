"""What libraries do not read or tell of unusual JPEG, BMP, TIFF and AVIF files."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.imaging.exif import read_directory, read_start
from srcli.imaging.labels import SRGB, ColourLabel, from_primaries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]

_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JFIF, _PHOTOSHOP, _ADOBE, _UNUSED = 0xE0, 0xED, 0xEE, 0xEF
_SHORTEST = 12  # bytes of a JFIF or Adobe segment that Pillow reads
_PROCESSES = {
    0xC3: "lossless",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB), "arithmetic coding"),
}
# Values of the tag "compression" of TIFF: words for those that are not read, and those that are.
_COMPRESSIONS = {
    6: "JPEG of the old style",
    34892: "lossy DNG",
    34934: "JPEG XR",
    **dict.fromkeys((33003, 33005, 34712), "JPEG 2000"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
}
_READ = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34887, 34925, 50000, 50001})
_BITS, _COMPRESSION, _JPEG = 258, 259, 7
_BMP = {4: "JPEG inside", 5: "PNG inside", 11: "CMYK", 12: "CMYK with RLE", 13: "CMYK with RLE"}

_FILE_HEADER = 14
_OS2_HEADER, _INFO_HEADER = 12, 40
_RGB, _MASKS, _MASKS_WITH_ALPHA = 0, 3, 6  # values of the field "compression"
_VERSION_4, _VERSION_5 = 108, 124  # bytes of the headers
_CALIBRATED, _EMBEDDED = 0, 0x4D424544  # kinds of colour spaces
_LARGEST_PROFILE = 2**26
_DEFAULT_MASKS = {16: (0x7C00, 0x3E0, 0x1F), 32: (0xFF0000, 0xFF00, 0xFF)}


def rare_kind(stream: IO[bytes]) -> str:
    """Describe a file of a kind that standards allow and readers often lack.

    Words are such as ``"JPEG (lossless, 16 bits)"``; empty for all others: if such a file is not
    read, it is damaged.
    """
    stream.seek(0)
    start = stream.read(2)
    known = {b"\xff\xd8": ("JPEG", _jpeg), b"BM": ("BMP", _bmp)}
    known |= dict.fromkeys((b"II", b"MM"), ("TIFF", _tiff))
    words = ""
    # such a file is cut short, or there is no sense in it
    with suppress(OSError, ValueError, LookupError, ArithmeticError, struct.error):
        name, describe = known[start]
        words = describe(stream)
    return f"{name} ({words})" if words else ""


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Iterate over the segments of a JPEG file up to its frame: place, marker, content."""
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _STANDALONE:
            at += 2
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
            yield at, marker, data[at + 4 : end]
            if marker in _FRAMES:
                return
            at = end


def mend_jpeg(data: bytes) -> tuple[bytes, int]:
    """Return a JPEG file without segments that Pillow stumbles over, and the bits of its values.

    One of 12 bits says 8, so that Pillow opens it; its pixels are left to another reader.
    """
    mended, bits = bytearray(data), 8
    for at, marker, content in _segments(data):
        short = marker in (_JFIF, _ADOBE) and len(content) < _SHORTEST
        if short or marker == _PHOTOSHOP:
            mended[at + 1] = _UNUSED
        if marker in _FRAMES and marker not in _PROCESSES and content[5] in (1, 3):
            bits = content[0]
            if bits == 12:
                mended[at + 4] = 8
    return bytes(mended), bits


def _jpeg(stream: IO[bytes]) -> str:
    *_, (_, marker, content) = _segments(b"\xff\xd8" + stream.read())
    process, bits, channels = _PROCESSES.get(marker, ""), content[0], content[5]
    by_gdal = not process and bits == 12 and channels in (1, 3)
    if marker not in _FRAMES or not 2 <= bits <= 16 or not channels or by_gdal:
        return ""
    words = [process] * bool(process) + [f"{bits} bits"] * (bits != 8)
    words += [f"{channels} channels"] * (channels not in (1, 3, 4))
    return ", ".join(words)


def _bmp(stream: IO[bytes]) -> str:
    stream.seek(_FILE_HEADER)
    size, _, _, _, bits, compression = struct.unpack("<IiiHHI", stream.read(20))
    if compression == 4 and bits == 24:
        return "RLE of 24 bits"
    known = 16 <= size <= _VERSION_5 and bits in (0, 1, 8, 24, 32)
    return _BMP.get(compression, "") if known else ""


def _tiff(stream: IO[bytes]) -> str:
    layout, first = read_start(stream)
    stored, _ = read_directory(stream, first, layout)
    compression, bits = (
        int(stored[tag].numbers[0]) if tag in stored else 1 for tag in (_COMPRESSION, _BITS)
    )
    if compression not in _READ:
        return _COMPRESSIONS.get(compression, f"compression {compression}")
    return f"JPEG of {bits} bits inside" if compression == _JPEG and bits > 8 else ""


def mend_avif(data: bytes) -> bytes:
    """Return an AVIF file whose properties are associated with its items as libavif demands.

    Old encoders wrote one box of associations for the colours and one for alpha, or left the size
    of alpha out; browsers showed them. The new box of metadata stands at the end, so that nothing
    else moves.
    """
    start = data.index(b"meta")
    meta = data[start + 4 : start - 4 + int.from_bytes(data[start - 4 : start])]
    parts = dict(_boxes(meta[4:]))
    properties = list(_boxes(parts[b"iprp"]))
    kinds = [b"", *(kind for kind, _ in _boxes(dict(properties)[b"ipco"]))]  # counted from 1
    entries = []
    for content in (content for kind, content in properties if kind == b"ipma"):
        if content[:4] != bytes(4):  # over 127 properties, or items beyond 65535
            raise ValueError("associations of an unknown kind")
        at = 8  # behind their number
        while at < len(content):
            end = at + 3 + content[at + 2]
            indices = content[at + 3 : end]
            # the highest bit says if readers must know the property
            if b"ispe" not in {kinds[index & 127] for index in indices}:
                indices += bytes([kinds.index(b"ispe")])
            entries.append(content[at : at + 2] + bytes([len(indices)]) + indices)
            at = end
    others = b"".join(_box(*one) for one in properties if one[0] != b"ipma")
    merged = bytes(4) + struct.pack(">I", len(entries)) + b"".join(entries)
    parts[b"iprp"] = others + _box(b"ipma", merged)
    rest = b"".join(_box(*one) for one in parts.items())
    return data.replace(b"meta" + meta, b"free" + meta, 1) + _box(b"meta", meta[:4] + rest)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the boxes inside of one: their kind and content."""
    while data:
        size = int.from_bytes(data[:4])
        if not 8 <= size <= len(data):
            raise ValueError("the file ends too early")
        yield data[4:8], data[8:size]
        data = data[size:]


def open_bmp(data: bytes) -> Image.Image:
    """Decode an uncompressed BMP file of a kind that Pillow refuses.

    Those kinds are 2 bits a pixel, channel masks of any width with or without alpha, headers of
    OS/2 and palettes of unusual length. A ValueError or struct.error is raised for others.

    The picture notes its ``dpi`` and ``bit_depth`` as those of Pillow's readers do.
    """
    offset, size = struct.unpack_from("<II", data, 10)
    # as those of the usual header; what other headers leave out counts as 0
    fields = data[18 : max(_FILE_HEADER + size, 30)][:32].ljust(32, b"\0")
    if size == _OS2_HEADER:
        fields = struct.pack("<iiI20x", *struct.unpack("<HHI", fields[:8]))
    width, height, _, bits, compression, _, *density, colours = struct.unpack("<iiHHIIiiI", fields)
    extra = {_MASKS: 3, _MASKS_WITH_ALPHA: 4}.get(compression, 0)
    masks: tuple[int, ...] = _DEFAULT_MASKS.get(bits, ())
    if extra:
        # after the short header, inside of the longer ones, which know alpha
        masks = struct.unpack_from(f"<{4 if size >= 56 else extra}I", data, 54)
        masks = masks if len(masks) < 4 or masks[3] else masks[:3]
    known = compression in (_RGB, _MASKS, _MASKS_WITH_ALPHA) and size <= _VERSION_5
    if not known or bits not in ((16, 32) if extra else (1, 2, 4, 8, 16, 24, 32)):
        raise ValueError("a BMP file of an unknown kind")
    if width < 1 or not height or not all(masks[:3]):
        raise ValueError("its header is damaged")
    stride, count = (width * bits + 31) // 32 * 4, abs(height)
    rows = np.frombuffer(data, np.uint8, stride * count, offset).reshape(count, stride)
    if bits <= 8:
        start = _FILE_HEADER + size + (4 * extra if size == _INFO_HEADER else 0)
        step = 3 if size == _OS2_HEADER else 4
        most = min((max(offset, start) - start) // step, colours or 2**bits, 2**bits)
        palette = np.frombuffer(data, np.uint8, most * step, start).reshape(most, step)[:, 2::-1]
        table = np.pad(palette, ((0, 256 - most), (0, 0)))  # black beyond it
        shifts = np.arange(8 - bits, -1, -bits).astype(np.uint8)
        indices = rows[:, :, None] >> shifts & np.uint8(2**bits - 1)
        is_gray = np.all(table[:, :1] == table)
        values = (table[:, 0] if is_gray else table)[indices.reshape(count, -1)[:, :width]]
    elif bits == 24:
        values = rows[:, : 3 * width].reshape(count, width, 3)[:, :, ::-1]
    else:
        words = rows.view("<u2" if bits == 16 else "<u4")[:, :width].astype(np.uint32)
        values = np.stack([_channel(words, mask) for mask in masks], axis=2)
    image = Image.fromarray(np.ascontiguousarray(values if height < 0 else values[::-1]))
    image.info["bit_depth"] = max((mask.bit_count() for mask in masks), default=8)
    if min(density) > 0:
        image.info["dpi"] = density[0] * 0.0254, density[1] * 0.0254
    return image


def _channel(words: Array, mask: int) -> Array:
    """Return the bits of a mask, scaled to 0 to 255."""
    low = mask & -mask
    peak = mask // low
    if peak & (peak + 1):
        raise ValueError("a channel mask with gaps")
    scaled: Array = np.rint((words & mask) // low * (255 / peak)).astype(np.uint8)
    return scaled


def colours_of_bmp(
    stream: IO[bytes], channels: int, notes: list[str]
) -> tuple[bytes | None, ColourLabel | None]:
    """Return the ICC profile that a BMP file embeds, or its calibrated colours; None is sRGB.

    As in browsers, the white of calibrated colours is D65.

    Values that are impossible are told in the notes.
    """
    stream.seek(_FILE_HEADER)
    header = stream.read(_VERSION_5)
    size, space = int.from_bytes(header[:4], "little"), int.from_bytes(header[56:60], "little")
    if size == _VERSION_5 == len(header) and space == _EMBEDDED:
        start, length = struct.unpack_from("<II", header, 112)
        stream.seek(_FILE_HEADER + start)
        icc = stream.read(min(length, _LARGEST_PROFILE))
        if len(icc) == length and icc[36:40] == b"acsp":
            return icc, None
    if not _VERSION_4 <= size <= min(_VERSION_5, len(header)) or space != _CALIBRATED:
        return None, None
    ends, gammas = struct.unpack_from("<9i", header, 60), struct.unpack_from("<3I", header, 96)
    sums = [sum(ends[at : at + 3]) for at in (0, 3, 6)]
    if min(sums) <= 0 or min(gammas) == 0:
        return None, None  # most programs leave them empty
    xy = [ends[3 * one + axis] / sums[one] for one in range(3) for axis in range(2)]
    curves = [(gamma / 65536,) for gamma in gammas]
    return None, from_primaries((*SRGB[:2], *xy), curves, channels, notes)
