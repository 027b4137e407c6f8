"""What libraries do not read or tell of unusual JPEG, BMP, TIFF and AVIF files."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.imaging.exif import read_directory, read_start
from srcli.imaging.labels import SRGB, ColourLabel, from_primaries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]

_SEGMENTS = 2000  # a damaged file may have no end of them
_COLOURS = b"nclx"
_MONOCHROME = 0x10
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROCESSES = {
    0xC3: "lossless",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB), "arithmetic coding"),
}
# Values of the tag "compression" of TIFF: words for those that are not read; high ones that are.
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
_READ = frozenset({32773, 32946, 34887, 34925, 50000, 50001})
_WIDTH, _BITS, _COMPRESSION, _MODEL, _PLANES = 256, 258, 259, 262, 284
_JPEG, _YCBCR, _SEPARATE = 7, 6, 2
_BITFIELDS = (3, 32)  # no Huffman coding, which has one bit
_BMP = {3: "Huffman coding", 4: "JPEG inside", 5: "PNG inside", 11: "CMYK"}
_BMP |= dict.fromkeys((12, 13), "CMYK with RLE")

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
    name = {b"\xff\xd8": "JPEG", b"BM": "BMP", b"II": "TIFF", b"MM": "TIFF"}.get(stream.read(2))
    try:
        words = {"JPEG": _jpeg, "BMP": _bmp, "TIFF": _tiff}[name](stream) if name else ""
    except (OSError, ValueError, LookupError, ArithmeticError, struct.error):
        words = ""  # cut short, or no sense in it
    return f"{name} ({words})" if words else ""


def jpeg_frame(stream: IO[bytes]) -> tuple[str, int, int] | None:
    """Return how a JPEG file is coded: process, bits and channels; None if it is cut short before.

    The process is a word for what is neither baseline nor progressive with Huffman coding.
    """
    stream.seek(2)
    for _ in range(_SEGMENTS):
        mark, marker = stream.read(2).ljust(2, b"\0")
        if mark != 0xFF:
            return None
        while marker == 0xFF:  # fill bytes
            marker = int.from_bytes(stream.read(1))
        if marker in _STANDALONE:
            continue
        content = stream.read(max(int.from_bytes(stream.read(2)) - 2, 0))
        if marker in _FRAMES:
            return (_PROCESSES.get(marker, ""), content[0], content[5]) if content[5:] else None
    return None


def _jpeg(stream: IO[bytes]) -> str:
    process, bits, channels = jpeg_frame(stream) or ("", 0, 0)
    if not 2 <= bits <= 16 or not channels:
        return ""
    if not process and bits == 12 and channels in (1, 3):
        return ""  # by GDAL
    words = [process] * bool(process) + [f"{bits} bits"] * (bits != 8)
    words += [f"{channels} channels"] * (channels not in (1, 3, 4))
    return ", ".join(words)


def _bmp(stream: IO[bytes]) -> str:
    stream.seek(14)
    size, _, _, _, bits, compression = struct.unpack("<IiiHHI", stream.read(20))
    if compression == 4 and bits == 24:
        return "RLE of 24 bits"
    known = 16 <= size <= 124 and bits in (0, 1, 8, 24, 32) and (compression, bits) != _BITFIELDS
    return _BMP.get(compression, "") if known else ""


def _tiff(stream: IO[bytes]) -> str:
    layout, first = read_start(stream)
    entries, _ = read_directory(stream, first, layout)
    wanted = (_WIDTH, _BITS, _COMPRESSION, _MODEL, _PLANES)
    tags = {one.tag: int(one.numbers[0]) for one in entries if one.tag in wanted}
    compression, bits = tags.get(_COMPRESSION, 1), tags.get(_BITS, 1)
    if _WIDTH not in tags:
        return ""
    if compression in _COMPRESSIONS:
        return _COMPRESSIONS[compression]
    if compression > 32767 and compression not in _READ:
        return f"compression {compression}"
    if compression == _JPEG and bits > 8:
        return f"JPEG of {bits} bits inside"
    if tags.get(_MODEL) == _YCBCR and compression != _JPEG:
        return "YCbCr without JPEG" + ", one plane a channel" * (tags.get(_PLANES) == _SEPARATE)
    return ""


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


def open_unusual_bmp(data: bytes) -> Image.Image:
    """Decode an uncompressed BMP file of a kind that Pillow refuses.

    Those kinds are 2 bits a pixel, channel masks of any width with or without alpha, headers of
    OS/2 and palettes of unusual length.

    The picture notes its ``dpi`` and ``bit_depth`` as those of Pillow's readers do.

    Raises:
        NotImplementedError: If it is of another kind; ValueError if it is damaged.
    """
    offset, size = struct.unpack_from("<II", data, 10)
    # as those of the usual header; what other headers leave out counts as 0
    fields = data[18 : max(_FILE_HEADER + size, 30)][:32].ljust(32, b"\0")
    if size == _OS2_HEADER:
        fields = struct.pack("<iiI20x", *struct.unpack("<HHI", fields[:8]))
    width, height, _, bits, compression, _, across, down, colours = struct.unpack(
        "<iiHHIIiiI", fields
    )
    extra = {_MASKS: 3, _MASKS_WITH_ALPHA: 4}.get(compression, 0)
    masks: tuple[int, ...] = _DEFAULT_MASKS.get(bits, ())
    if extra:
        # after the short header, inside of the longer ones, which know alpha
        extra = 4 if size >= 56 else extra
        masks = struct.unpack_from(f"<{extra}I", data, _FILE_HEADER + _INFO_HEADER)
    known = compression in (_RGB, _MASKS, _MASKS_WITH_ALPHA) and size <= _VERSION_5
    if not known or bits not in ((16, 32) if extra else (1, 2, 4, 8, 16, 24, 32)):
        raise NotImplementedError
    if width < 1 or not height or not all(masks[:3]):
        raise ValueError("its header is damaged")
    stride, count = (width * bits + 31) // 32 * 4, abs(height)
    if len(data) < offset + stride * count:
        raise ValueError("the file ends before its last row")
    rows = np.frombuffer(data, np.uint8, stride * count, offset).reshape(count, stride)
    rows = rows if height < 0 else rows[::-1]
    if bits <= 8:
        start = _FILE_HEADER + size + (4 * extra if size == _INFO_HEADER else 0)
        step = 3 if size == _OS2_HEADER else 4
        most = min((max(offset, start) - start) // step, colours or 2**bits, 2**bits)
        palette = np.frombuffer(data, np.uint8, most * step, start).reshape(most, step)[:, 2::-1]
        if not most:
            raise ValueError("its palette is missing")
        table = np.pad(palette, ((0, 256 - most), (0, 0)))  # black beyond it
        shifts = np.arange(8 - bits, -1, -bits).astype(np.uint8)
        indices = rows[:, :, None] >> shifts & np.uint8(2**bits - 1)
        is_gray = np.all(table[:, :1] == table)
        values = (table[:, 0] if is_gray else table)[indices.reshape(count, -1)[:, :width]]
    elif bits == 24:
        values = rows[:, : 3 * width].reshape(count, width, 3)[:, :, ::-1]
    else:
        words = rows.view("<u2" if bits == 16 else "<u4")[:, :width].astype(np.uint32)
        masks = masks if len(masks) < 4 or masks[3] else masks[:3]
        values = np.stack([_channel(words, mask) for mask in masks], axis=2)
    image = Image.fromarray(np.ascontiguousarray(values))
    image.info["bit_depth"] = max((mask.bit_count() for mask in masks), default=8)
    if across > 0 and down > 0:
        image.info["dpi"] = across * 0.0254, down * 0.0254
    return image


def _channel(words: Array, mask: int) -> Array:
    """Return the bits of a mask, scaled to 0 to 255."""
    shift = (mask & -mask).bit_length() - 1
    peak = mask >> shift
    if peak & (peak + 1):
        raise ValueError("a channel mask with gaps")
    scaled: Array = np.rint(((words & mask) >> np.uint32(shift)) * (255 / peak)).astype(np.uint8)
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
