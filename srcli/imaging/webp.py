"""Tell lossless WebP files from lossy ones, which Pillow does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LOSSLESS, _LOSSY, _FRAME = b"VP8L", b"VP8 ", b"ANMF"
_FRAME_HEADER = 16
_MOST_CHUNKS = 64  # profile, animation and transparency come before the picture


def is_lossless(path: Path) -> bool:
    """Whether a file is a WebP whose (first) picture is stored without loss.

    Args:
        path: Any file.

    Returns:
        False for lossy ones, for other formats, and for what cannot be read.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(12)
            if head[:4] != b"RIFF" or head[8:] != b"WEBP":
                return False
            for _ in range(_MOST_CHUNKS):
                kind, length = stream.read(4), int.from_bytes(stream.read(4), "little")
                if kind in (_LOSSLESS, _LOSSY) or len(kind) < 4:
                    return kind == _LOSSLESS
                # the chunks of a frame lie inside it; others are skipped, padded to even lengths
                stream.seek(_FRAME_HEADER if kind == _FRAME else length + length % 2, 1)
    except OSError:
        pass
    return False
