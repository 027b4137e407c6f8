"""Headers of JPEG XL (ISO/IEC 18181), as far as Pillow's plugin does not hand them out."""

from __future__ import annotations

from typing import IO, NamedTuple

from srcli.imaging.files.isobmff import find_box

_SIGNATURE = b"\xff\x0a"
_SIZES = ((9, 1), (13, 1), (18, 1), (30, 1))
_PREVIEW_SIZES = ((6, 1), (8, 65), (10, 321), (12, 1345))
_PREVIEW_BLOCKS = ((0, 16), (0, 32), (5, 1), (9, 33))
_WHOLE_BITS = ((0, 8), (0, 10), (0, 12), (6, 1))
_FLOAT_BITS = ((0, 32), (0, 16), (0, 24), (6, 1))
"""Numbers of bits, and what is added to them, between which two bits choose."""


class _Bits:
    """Reads a header bit by bit, the lowest of each byte first; zeros follow its end."""

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data, "little")

    def read(self, count: int) -> int:
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        return value

    def choose(self, choices: tuple[tuple[int, int], ...]) -> int:
        count, offset = choices[self.read(2)]
        return offset + self.read(count)

    def skip_size(self) -> None:
        small = self.read(1)
        self._skip_side(small)
        if self.read(3) == 0:  # else the width is told by a ratio
            self._skip_side(small)

    def _skip_side(self, small: int) -> None:
        if small:
            self.read(5)
        else:
            self.choose(_SIZES)

    def skip_preview(self) -> None:
        sizes = _PREVIEW_BLOCKS if self.read(1) else _PREVIEW_SIZES
        self.choose(sizes)
        if self.read(3) == 0:
            self.choose(sizes)


def is_animation(start: bytes) -> bool:
    """Return True if the first bytes of a file say that it has frames."""
    return _read_header(start).is_animation


def bits_per_sample(start: bytes) -> int:
    """Return how many bits values have, 1 to 32, by the first bytes of a file."""
    return _read_header(start).bits


def read_xmp(stream: IO[bytes]) -> bytes | None:
    """Return the XMP in a file's container, which Pillow's plugin does not give."""
    if not _is_container(stream):
        return None
    return find_box(stream, b"xml ") or None


def _is_container(stream: IO[bytes]) -> bool:
    """Return False for a file of pixels alone, and go to its beginning."""
    stream.seek(0)
    start = stream.read(len(_SIGNATURE))
    stream.seek(0)
    return start != _SIGNATURE


class _Header(NamedTuple):
    """Metadata of a codestream."""

    is_animation: bool = False
    bits: int = 8


def _read_header(start: bytes) -> _Header:
    """Read the fields of image metadata up to the depth (ISO/IEC 18181-1, D.3)."""
    bits = _Bits(_codestream(start)[len(_SIGNATURE) :][:64])
    bits.skip_size()
    if bits.read(1):  # all as by default
        return _Header()
    if bits.read(1):  # further fields
        bits.read(3)  # orientation
        if bits.read(1):
            bits.skip_size()
        if bits.read(1):
            bits.skip_preview()
        if bits.read(1):
            return _Header(is_animation=True)
    is_float = bits.read(1)
    return _Header(bits=bits.choose(_FLOAT_BITS if is_float else _WHOLE_BITS))


def _codestream(start: bytes) -> bytes:
    """Return the codestream, perhaps the first part of it, that a container holds."""
    if start.startswith(_SIGNATURE):
        return start
    codestream = find_box(start, b"jxlc")
    # parts stand behind their numbers
    return codestream or find_box(start, b"jxlp")[4:]
