"""Content credentials (C2PA): signed statements of who made a picture, and how.

They hold a digest of the picture's bytes, so that validators would report a larger
picture as tampered with.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import IO

CREDENTIALS_LEFT_OUT = (
    "content credentials (C2PA) left out: they hold for the original's pixels"
)
PROVENANCE = "http://purl.org/dc/terms/provenance"
"""XMP's property that points at such a statement elsewhere."""
_MARK = b"jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71"
"""How the description of a manifest store begins in every format (C2PA 2.1, 11.1.4.1)."""
_SEARCHED = 2**20
"""Bytes at either end of a file: they stand before the pixels, in WebP behind them."""


def note_credentials(pieces: Iterable[bytes]) -> list[str]:
    """Note content credentials in what a reader has taken out of a file: segments, chunks."""
    return [CREDENTIALS_LEFT_OUT] if any(_MARK in piece for piece in pieces) else []


def has_credentials(stream: IO[bytes]) -> bool:
    """Return True if a file of other formats, whose boxes nobody reads, holds some."""
    stream.seek(0)
    if _MARK in stream.read(_SEARCHED):
        return True
    length = stream.seek(0, io.SEEK_END)
    if length <= _SEARCHED:
        return False
    # a mark across the first border counts, too
    stream.seek(max(length - _SEARCHED, _SEARCHED - len(_MARK)))
    return _MARK in stream.read()
