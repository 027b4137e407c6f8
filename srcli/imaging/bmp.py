"""The colours that headers of BMP files, versions 4 and 5, describe; Pillow does not read them."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING

from srcli.imaging.labels import SRGB, ColourLabel, from_primaries

if TYPE_CHECKING:
    from srcli.imaging.icc import Curve

_HEADER = 14  # bytes before it
_VERSION_4, _VERSION_5 = 108, 124  # bytes of the headers
_CALIBRATED, _EMBEDDED = 0, 0x4D424544  # kinds of colour spaces
_LARGEST_PROFILE = 2**26


def bmp_profile(stream: IO[bytes]) -> bytes | None:
    """Return the ICC profile that a BMP file embeds, if any."""
    header = _read(stream)
    if len(header) < _VERSION_5 or _kind(header) != _EMBEDDED:
        return None
    start, size = struct.unpack_from("<II", header, 112)
    stream.seek(_HEADER + start)
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
    header = _read(stream)
    if len(header) < _VERSION_4 or _kind(header) != _CALIBRATED:
        return None
    ends, gammas = struct.unpack_from("<9i", header, 60), struct.unpack_from("<3I", header, 96)
    sums = [sum(ends[at : at + 3]) for at in (0, 3, 6)]
    if min(sums) <= 0 or min(gammas) == 0:
        return None  # most programs leave them empty
    xy = [ends[3 * one + axis] / sums[one] for one in range(3) for axis in range(2)]
    curves: list[Curve] = [(gamma / 65536,) for gamma in gammas]
    return from_primaries((*SRGB[:2], *xy), curves, channels, notes)


def _read(stream: IO[bytes]) -> bytes:
    """Return the header behind the file's, as long as it says."""
    stream.seek(_HEADER)
    size = int.from_bytes(stream.read(4), "little")
    stream.seek(_HEADER)
    return stream.read(size) if size <= _VERSION_5 else b""


def _kind(header: bytes) -> int:
    return int.from_bytes(header[56:60], "little")
