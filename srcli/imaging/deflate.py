"""How hard to compress pixels with deflate, decided on a sample."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Settings of zlib."""

    level: int
    strategy: int

    def pack(self, data: bytes) -> bytes:
        """Compress a block on its own."""
        packer = self.packer()
        return packer.compress(data) + packer.flush()

    def packer(self) -> zlib._Compress:
        """A compressor for one stream."""
        return zlib.compressobj(self.level, strategy=self.strategy)


# Filtered photographs hardly repeat themselves: looking for repetitions costs four times the time
# and gains 2 %. Drawings and text do repeat, and are small and fast either way.
PHOTOGRAPH = Effort(level=1, strategy=zlib.Z_RLE)
DRAWING = Effort(level=3, strategy=zlib.Z_DEFAULT_STRATEGY)


def effort_for(sample: bytes) -> Effort:
    """The settings that suit a picture.

    Args:
        sample: Some rows of it, filtered as they will be stored.
    """
    # drawings shrink several times; what gains less is a photograph with smooth parts
    plain, searched = len(PHOTOGRAPH.pack(sample)), len(DRAWING.pack(sample))
    return DRAWING if searched < 0.75 * plain else PHOTOGRAPH
