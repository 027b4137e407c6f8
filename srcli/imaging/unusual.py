"""What libraries do not read or tell of unusual JPEG and BMP files."""

from __future__ import annotations

import struct
from typing import IO

from srcli.imaging.labels import SRGB, ColourLabel, from_primaries

_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive
_JFIF, _PHOTOSHOP, _ADOBE, _UNUSED, _SCAN = 0xE0, 0xED, 0xEE, 0xEF, 0xDA
_SHORTEST = 14  # bytes of a JFIF or Adobe segment that Pillow reads
_FILE_HEADER = 14
_VERSION_4, _VERSION_5 = 108, 124  # bytes of the headers
_CALIBRATED, _EMBEDDED = 0, 0x4D424544  # kinds of colour spaces
_LARGEST_PROFILE = 2**26


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
