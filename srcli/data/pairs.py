"""HR pictures with their LR pictures, in memory or, where there are too many, in mapped files.

LR is made by MATLAB-compatible bicubic. The system takes the memory of mapped pictures back when it
is needed, so that a data set of any size can be trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from srcli.data.pictures import digest
from srcli.imaging.mapped import mapped_array
from srcli.imaging.resize import downscale, mod_crop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Picture = NDArray[np.uint8]

FILE_BYTES = 2**28
"""Bytes of a mapped file, which holds many pictures: a process may map a few ten thousand files."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """HR pictures with their LR pictures; every HR side is ``scale`` times the LR side."""

    scale: int
    hr: list[NDArray[np.uint8]]
    lr: list[NDArray[np.uint8]]
    digest: str
    """Digest of the HR pixels of all pictures, in order."""


def make_pairs(images: Iterable[Picture], scale: int) -> Pairs:
    """Crop HR pictures to multiples of ``scale`` and make their LR."""
    hr = [np.ascontiguousarray(mod_crop(image, scale)) for image in images]
    return Pairs(scale=scale, hr=hr, lr=[downscale(each, scale) for each in hr], digest=digest(hr))


class PictureStore:
    """Keep pictures in main memory up to a limit, the others in mapped files.

    The files have no names, or lose them with the process: none is left behind, however it ends.

    Args:
        limit: Bytes of pictures in main memory; None for all of them.
        folder: Folder of the files; made if need be.
        warn: Called once if no file can be written; all further pictures stay in main memory.
    """

    def __init__(
        self,
        limit: int | None = None,
        folder: Path | None = None,
        *,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.in_memory = 0
        self.in_files = 0
        """Bytes of pictures, as ``in_memory``."""
        self._limit = limit
        self._folder = folder
        self._warn = warn
        self._free = np.empty(0, np.uint8)  # what is left of the last file

    def keep(self, picture: Picture) -> Picture:
        """Store a picture (H, W, 3); return a contiguous array of its pixels to use instead."""
        size = picture.nbytes
        if self._limit is None or self.in_memory + size <= self._limit or not self._has_room(size):
            self.in_memory += size
            return np.ascontiguousarray(picture)
        there, self._free = self._free[:size], self._free[size:]
        kept = there.reshape(picture.shape)
        kept[...] = picture
        kept.flags.writeable = False
        self.in_files += size
        return kept

    def _has_room(self, size: int) -> bool:
        """Make a new file if the last one is too small; warn, once, if that is impossible."""
        folder = self._folder
        try:
            if folder is not None and len(self._free) < size:
                folder.mkdir(parents=True, exist_ok=True)
                self._free = mapped_array((max(FILE_BYTES, size),), np.uint8, folder)
        except OSError as error:
            self._limit = None
            self._warn(
                f"{folder}: no room for decoded pictures ({error.strerror or error}); all stay "
                "in memory: if that is too small, set SRX_CACHE to a folder with room"
            )
        return self._limit is not None and folder is not None
