"""Headers of JPEG XL (ISO/IEC 18181-1), of which Pillow's plugin does not tell animations."""

from __future__ import annotations

import io

from srcli.imaging.isobmff import find_box

_SIGNATURE = b"\xff\x0a"
_SIZES = ((9, 1), (13, 1), (18, 1), (30, 1))
_PREVIEW_SIZES = ((6, 1), (8, 65), (10, 321), (12, 1345))
_PREVIEW_BLOCKS = ((0, 16), (0, 32), (5, 1), (9, 33))
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
    bits = _Bits(_codestream(start)[len(_SIGNATURE) :][:64])
    bits.skip_size()
    all_default = bits.read(1)
    if all_default or not bits.read(1):  # no further fields
        return False
    bits.read(3)  # orientation
    if bits.read(1):
        bits.skip_size()
    if bits.read(1):
        bits.skip_preview()
    return bool(bits.read(1))


def _codestream(start: bytes) -> bytes:
    """Return the codestream, perhaps the first part of it, that a container holds."""
    if start.startswith(_SIGNATURE):
        return start
    codestream = find_box(io.BytesIO(start), b"jxlc")
    # parts stand behind their numbers
    return codestream or find_box(io.BytesIO(start), b"jxlp")[4:]
