"""What libraries do not read or tell of unusual JPEG, BMP and AVIF files."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.imaging.labels import SRGB, ColourLabel, from_primaries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]

_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive
_JFIF, _PHOTOSHOP, _ADOBE, _UNUSED, _SCAN = 0xE0, 0xED, 0xEE, 0xEF, 0xDA
_SHORTEST = 14  # bytes of a JFIF or Adobe segment that Pillow reads
_FILE_HEADER = 14
_OS2_HEADER, _INFO_HEADER = 12, 40
_RGB, _MASKS, _MASKS_WITH_ALPHA = 0, 3, 6  # values of the field "compression"
_VERSION_4, _VERSION_5 = 108, 124  # bytes of the headers
_CALIBRATED, _EMBEDDED = 0, 0x4D424544  # kinds of colour spaces
_LARGEST_PROFILE = 2**26
_DEFAULT_MASKS = {16: (0x7C00, 0x3E0, 0x1F), 32: (0xFF0000, 0xFF00, 0xFF)}


def mend_jpeg(data: bytes) -> tuple[bytes, int]:
    """Return a JPEG file without segments that Pillow stumbles over, and the bits of its values.

    One of 12 bits says 8, so that Pillow opens it; its pixels are left to another reader.
    """
    mended, bits, at = bytearray(data), 8, 2
    while data[at] == 0xFF and (marker := data[at + 1]) != _SCAN:
        length = int.from_bytes(data[at + 2 : at + 4])
        if marker == _PHOTOSHOP or (marker in (_JFIF, _ADOBE) and length < _SHORTEST):
            mended[at + 1] = _UNUSED
        elif marker in _FRAMES and data[at + 9] in (1, 3):  # channels
            bits = data[at + 4]
            mended[at + 4] = 8 if bits == 12 else bits
        at += 2 + length
    return bytes(mended), bits


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
