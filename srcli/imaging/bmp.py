"""What Pillow does not read of BMP files: unusual kinds, and the colours of versions 4 and 5."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.imaging.labels import SRGB, ColourLabel, from_primaries

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_FILE_HEADER = 14
_OS2_HEADER, _INFO_HEADER = 12, 40
_RGB, _MASKS, _MASKS_WITH_ALPHA = 0, 3, 6  # values of the field "compression"
_VERSION_4, _VERSION_5 = 108, 124  # bytes of the headers
_CALIBRATED, _EMBEDDED = 0, 0x4D424544  # kinds of colour spaces
_LARGEST_PROFILE = 2**26
_DEFAULT_MASKS = {16: (0x7C00, 0x3E0, 0x1F), 32: (0xFF0000, 0xFF00, 0xFF)}


def open_unusual(data: bytes) -> Image.Image:
    """Decode an uncompressed BMP file of a kind that Pillow refuses.

    Those kinds are 2 bits a pixel, channel masks of any width with or without alpha, headers of
    OS/2 and palettes of unusual length.

    The picture notes its ``dpi`` and ``bit_depth`` as those of Pillow's readers do.

    Raises:
        NotImplementedError: If it is of another kind; ValueError if it is damaged.
    """
    try:
        offset, size = struct.unpack_from("<II", data, 10)
        if size == _OS2_HEADER:
            width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
            compression = across = down = colours = 0
        else:
            width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
            # OS/2 leaves fields out at the end, which count as 0 then
            own = data[30 : max(_FILE_HEADER + size, 30)][:20].ljust(20, b"\0")
            compression, _, across, down, colours = struct.unpack("<IIiiI", own)
        extra = {_MASKS: 3, _MASKS_WITH_ALPHA: 4}.get(compression, 0)
        masks: tuple[int, ...] = _DEFAULT_MASKS.get(bits, ())
        if extra:
            # after the short header, inside of the longer ones, which know alpha
            extra = 4 if size >= 56 else extra
            masks = struct.unpack_from(f"<{extra}I", data, _FILE_HEADER + _INFO_HEADER)
    except struct.error:
        raise ValueError("its header is cut short") from None
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
        palette = data[start : max(offset, start)][: min(colours or 2**bits, 2**bits) * step]
        shifts = np.arange(8 - bits, -1, -bits).astype(np.uint8)
        indices = rows[:, :, None] >> shifts & np.uint8(2**bits - 1)
        values = _table(palette, step)[indices.reshape(count, -1)[:, :width]]
    elif bits == 24:
        values = rows[:, : 3 * width].reshape(count, width, 3)[:, :, ::-1]
    else:
        words = rows.view("<u2" if bits == 16 else "<u4")[:, :width]
        masks = masks if len(masks) < 4 or masks[3] else masks[:3]
        values = np.stack([_channel(words, mask) for mask in masks], axis=2)
    image = Image.fromarray(np.ascontiguousarray(values))
    image.info["bit_depth"] = max((mask.bit_count() for mask in masks), default=8)
    if across > 0 and down > 0:
        image.info["dpi"] = across * 0.0254, down * 0.0254
    return image


def _table(palette: bytes, step: int) -> Array:
    """Return 256 colours of palette entries of 3 or 4 bytes; gray where all of them are."""
    entries = np.frombuffer(palette[: len(palette) // step * step], np.uint8).reshape(-1, step)
    if not len(entries):
        raise ValueError("its palette is missing")
    table = np.zeros((256, 3), np.uint8)  # black beyond the palette
    table[: len(entries)] = entries[:, 2::-1]
    return table[:, 0] if np.all(table[:, :1] == table) else table


def _channel(values: Array, mask: int) -> Array:
    """Return the bits of a mask, scaled to 0 to 255."""
    shift = (mask & -mask).bit_length() - 1
    peak = mask >> shift
    if peak & (peak + 1):
        raise ValueError("a channel mask with gaps")
    found = (values.astype(np.uint32) & np.uint32(mask)) >> np.uint32(shift)
    scaled: Array = np.rint(found * (255 / peak)).astype(np.uint8)
    return scaled


def read_colours(
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
