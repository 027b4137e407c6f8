"""What Pillow does not read of BMP files: unusual kinds, and the colours of versions 4 and 5.

Those kinds are 2 bits a pixel, channel masks of any width with or without alpha, headers of OS/2
and palettes of unusual length. Compressed files (RLE) are read by Pillow.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.labels import SRGB, ColourLabel, from_primaries
from srcli.imaging.photograph import Metadata, Picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.imaging.icc import Curve

    Array = NDArray[Any]

_FILE_HEADER = 14
_OS2_HEADER, _INFO_HEADER = 12, 40
_RGB, _MASKS, _MASKS_WITH_ALPHA = 0, 3, 6  # values of the field "compression"
_VERSION_4, _VERSION_5 = 108, 124  # bytes of the headers
_CALIBRATED, _EMBEDDED = 0, 0x4D424544  # kinds of colour spaces
_LARGEST_PROFILE = 2**26
_DEFAULT_MASKS = {
    16: (0x7C00, 0x3E0, 0x1F),
    24: (0xFF0000, 0xFF00, 0xFF),
    32: (0xFF0000, 0xFF00, 0xFF),
}


@dataclass(frozen=True)
class _Layout:
    width: int
    height: int
    top_down: bool
    bits: int
    masks: tuple[int, ...]
    """Of red, green, blue and perhaps alpha; none with a palette."""
    palette: Array
    """(N, 3) uint8, RGB."""
    offset: int
    """Of the pixels."""
    dpi: tuple[float, float] | None

    @property
    def is_gray(self) -> bool:
        return bool(len(self.palette) and np.all(self.palette == self.palette[:, :1]))


def read_header(path: Path, stream: IO[bytes]) -> Picture:
    """Read the header of an uncompressed BMP file.

    Raises:
        NotImplementedError: If it is of another kind.
        ValueError: If it is damaged.
    """
    layout = _read_layout(stream)
    wide = any(mask.bit_count() > 8 for mask in layout.masks)
    return Picture(
        path=path,
        format="bmp",
        height=layout.height,
        width=layout.width,
        channels=1 if layout.is_gray else 3,
        has_alpha=len(layout.masks) > 3,
        bits=8,
        metadata=Metadata(dpi=layout.dpi),
        warnings=("over 8 bits: rounded to 8",) if wide else (),
    )


def read_pixels(stream: IO[bytes]) -> tuple[Array, Array | None]:
    """Decode an uncompressed BMP file.

    Returns:
        Pixels (H, W, C), uint8, and alpha (H, W) or None.

    Raises:
        NotImplementedError: If it is of another kind.
        ValueError: If it is damaged or ends early.
    """
    layout = _read_layout(stream)
    stride = (layout.width * layout.bits + 31) // 32 * 4
    length = stride * layout.height
    if stream.seek(0, os.SEEK_END) < layout.offset + length:
        raise ValueError("the file ends before its last row")
    stream.seek(layout.offset)
    data = stream.read(length)
    rows = np.frombuffer(data, np.uint8).reshape(layout.height, stride)
    if not layout.top_down:
        rows = rows[::-1]
    if layout.bits <= 8:
        return _from_palette(rows, layout), None
    values = _packed(rows, layout)
    channels = [_channel(values, mask) for mask in layout.masks]
    return np.stack(channels[:3], axis=2), channels[3] if len(channels) > 3 else None


def bmp_profile(stream: IO[bytes]) -> bytes | None:
    """Return the ICC profile that a BMP file embeds, if any."""
    header = _colour_header(stream)
    if len(header) < _VERSION_5 or _colour_space(header) != _EMBEDDED:
        return None
    start, size = struct.unpack_from("<II", header, 112)
    stream.seek(_FILE_HEADER + start)
    icc = stream.read(min(size, _LARGEST_PROFILE))
    return icc if len(icc) == size and icc[36:40] == b"acsp" else None


def read_bmp_label(stream: IO[bytes], channels: int, notes: list[str]) -> ColourLabel | None:
    """Return the calibrated colours that a BMP file describes; None is sRGB.

    As in browsers, its white is D65.

    Args:
        stream: The file.
        channels: Of the picture, 1 or 3.
        notes: Gets a line for values that are impossible.
    """
    header = _colour_header(stream)
    if len(header) < _VERSION_4 or _colour_space(header) != _CALIBRATED:
        return None
    ends, gammas = struct.unpack_from("<9i", header, 60), struct.unpack_from("<3I", header, 96)
    sums = [sum(ends[at : at + 3]) for at in (0, 3, 6)]
    if min(sums) <= 0 or min(gammas) == 0:
        return None  # most programs leave them empty
    xy = [ends[3 * one + axis] / sums[one] for one in range(3) for axis in range(2)]
    curves: list[Curve] = [(gamma / 65536,) for gamma in gammas]
    return from_primaries((*SRGB[:2], *xy), curves, channels, notes)


def _read_layout(stream: IO[bytes]) -> _Layout:
    stream.seek(0)
    head = stream.read(_FILE_HEADER + _VERSION_5)
    try:
        offset, size = struct.unpack_from("<II", head, 10)
        if size == _OS2_HEADER:
            width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
            fields = (_RGB, 0, 0, 0, 0)
        else:
            width, height, _, bits = struct.unpack_from("<iiHH", head, 18)
            # OS/2 leaves fields out at the end, which count as 0 then
            own = head[30 : max(_FILE_HEADER + size, 30)].ljust(20, b"\0")
            fields = struct.unpack_from("<IIiiI", own)
        compression, _, across, down, colours = fields
        extra = {_MASKS: 3, _MASKS_WITH_ALPHA: 4}.get(compression, 0)
        masks: tuple[int, ...] = _DEFAULT_MASKS.get(bits, ())
        if extra:
            # after the short header, inside of the longer ones, which know alpha
            extra = 4 if size >= 56 else extra
            masks = struct.unpack_from(f"<{extra}I", head, _FILE_HEADER + _INFO_HEADER)
    except struct.error:
        raise ValueError("its header is cut short") from None
    known = compression in (_RGB, _MASKS, _MASKS_WITH_ALPHA) and size <= _VERSION_5
    if not known or bits not in ((16, 32) if extra else (1, 2, 4, 8, *_DEFAULT_MASKS)):
        raise NotImplementedError
    if width < 1 or not height or not all(masks[:3]):
        raise ValueError("its header is damaged")
    start = _FILE_HEADER + size + (4 * extra if size == _INFO_HEADER else 0)
    palette = np.empty((0, 3), np.uint8)
    if bits <= 8:
        palette = _read_palette(stream, start, offset, 3 if size == _OS2_HEADER else 4)
        palette = palette[: min(colours or 2**bits, 2**bits)]
        if not len(palette):
            raise ValueError("its palette is missing")
    return _Layout(
        width=width,
        height=abs(height),
        top_down=height < 0,
        bits=bits,
        masks=masks if len(masks) < 4 or masks[3] else masks[:3],
        palette=palette,
        offset=offset,
        dpi=(across * 0.0254, down * 0.0254) if across > 0 and down > 0 else None,
    )


def _read_palette(stream: IO[bytes], start: int, end: int, step: int) -> Array:
    stream.seek(start)
    data = stream.read(max(min(end - start, 256 * step), 0))
    entries = np.frombuffer(data[: len(data) // step * step], np.uint8).reshape(-1, step)
    return entries[:, 2::-1]


def _from_palette(rows: Array, layout: _Layout) -> Array:
    bits = layout.bits
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    indices = (rows[:, :, None] >> shifts) & np.uint8(2**bits - 1)
    indices = indices.reshape(layout.height, -1)[:, : layout.width]
    table = np.zeros((256, 3), np.uint8)  # black beyond the palette
    table[: len(layout.palette)] = layout.palette
    pixels: Array = (table[:, :1] if layout.is_gray else table)[indices]
    return pixels


def _packed(rows: Array, layout: _Layout) -> Array:
    """Return one number a pixel, (H, W) uint16 or uint32."""
    height, width = layout.height, layout.width
    if layout.bits != 24:
        words = np.ascontiguousarray(rows[:, : width * layout.bits // 8])
        return words.view("<u2" if layout.bits == 16 else "<u4")
    parts = rows[:, : 3 * width].reshape(height, width, 3).astype(np.uint32)
    packed: Array = parts[:, :, 0] | parts[:, :, 1] << 8 | parts[:, :, 2] << 16
    return packed


def _channel(values: Array, mask: int) -> Array:
    """Return the bits of a mask, scaled to 0 to 255."""
    shift = (mask & -mask).bit_length() - 1
    peak = mask >> shift
    if peak & (peak + 1):
        raise ValueError("a channel mask with gaps")
    found = (values.astype(np.uint32) & np.uint32(mask)) >> np.uint32(shift)
    scaled: Array = np.rint(found * (255 / peak)).astype(np.uint8)
    return scaled


def _colour_header(stream: IO[bytes]) -> bytes:
    """Return the header behind the file's, as long as it says."""
    stream.seek(_FILE_HEADER)
    size = int.from_bytes(stream.read(4), "little")
    stream.seek(_FILE_HEADER)
    return stream.read(size) if size <= _VERSION_5 else b""


def _colour_space(header: bytes) -> int:
    return int.from_bytes(header[56:60], "little")
