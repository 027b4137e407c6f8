"""Decoded pictures in main memory up to a limit, the others in memory-mapped files.

The system takes the memory of mapped pictures back when it is needed, so that a data set of any
size can be trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.mapped import mapped_array

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

SMALLEST = 2**26
"""Bytes of the first file."""
LARGEST = 2**31
"""Bytes up to which every file is twice as large as the one before."""


class PictureStore:
    """Store decoded pictures, one by one.

    The files have no names, or lose them with the process: none is left behind, however it ends.

    Args:
        limit: Bytes of pictures in main memory; None for all of them.
        folder: Folder of the files; made if need be.
        smallest: Bytes of the first file.
        warn: Called once if no file can be written; all further pictures stay in main memory.
    """

    def __init__(
        self,
        limit: int | None = None,
        folder: Path | None = None,
        *,
        smallest: int = SMALLEST,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.in_memory = 0
        """Bytes of pictures."""
        self.in_files = 0
        """Bytes of pictures."""
        self._limit = limit
        self._folder = folder
        self._next = smallest  # bytes of the next file
        self._warn = warn
        self._free = np.empty(0, np.uint8)  # what is left of the last one

    def keep(self, picture: Picture) -> Picture:
        """Store a picture (H, W, 3); return a contiguous array of its pixels to use instead."""
        size = picture.nbytes
        if self._limit is not None and self.in_memory + size > self._limit:
            if self._folder is not None and self._has_room(self._folder, size):
                there, self._free = self._free[:size], self._free[size:]
                kept = there.reshape(picture.shape)
                kept[...] = picture
                kept.flags.writeable = False
                self.in_files += size
                return kept
            self._limit = None
        self.in_memory += size
        return np.ascontiguousarray(picture)

    def _has_room(self, folder: Path, size: int) -> bool:
        """Make a new file if the last one is too small; warn if that is impossible."""
        if len(self._free) >= size:
            return True
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._free = mapped_array((max(self._next, size),), np.uint8, folder)
        except OSError as error:
            self._warn(
                f"{folder}: no room for decoded pictures ({error.strerror or error}); all stay in "
                "memory: if that is too small, set SRX_CACHE to a folder with room"
            )
            return False
        self._next = min(2 * self._next, LARGEST)
        return True
