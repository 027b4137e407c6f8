"""HR pictures with their LR pictures, in memory or, where there are too many, in mapped files.

LR is made once by MATLAB-compatible bicubic and cached on disk. The system takes the memory of
mapped pictures back when it is needed, so that a data set of any size can be trained on.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srcli.data.pictures import digest
from srcli.errors import SrxError, one_file
from srcli.files import replacing
from srcli.imaging.mapped import mapped_array
from srcli.imaging.resize import downscale, mod_crop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Picture = NDArray[np.uint8]

CACHE_VERSION = 1
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
        if len(self._free) < size:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._free = mapped_array((max(FILE_BYTES, size),), np.uint8, folder)
            except OSError as error:
                self._warn(
                    f"{folder}: no room for decoded pictures ({error.strerror or error}); all stay "
                    "in memory: if that is too small, set SRX_CACHE to a folder with room"
                )
                return False
        return True


def make_pairs(
    images: Sequence[Picture],
    scale: int,
    *,
    cache: Path | None = None,
    workers: int = 2,
    keep: Callable[[Picture], Picture] = lambda picture: picture,
) -> Pairs:
    """Crop HR pictures to multiples of ``scale`` and make, or read from the cache, their LR.

    ``keep`` replaces every LR picture.
    """
    hr = [np.ascontiguousarray(mod_crop(image, scale)) for image in images]
    name = digest(hr)
    file = cache / f"lr-x{scale}-v{CACHE_VERSION}-{name[:24]}.npz" if cache else None
    lr = _read(file, hr, scale, keep) if file else None
    if lr is None:
        with ThreadPoolExecutor(workers) as pool:
            lr = [keep(small) for small in pool.map(lambda image: downscale(image, scale), hr)]
        if file:
            _write(file, lr)
    return Pairs(scale=scale, hr=hr, lr=lr, digest=name)


def _read(
    file: Path, hr: Sequence[Picture], scale: int, keep: Callable[[Picture], Picture]
) -> list[Picture] | None:
    lr = []
    try:
        with one_file(file), file.open("rb") as stream, np.load(stream) as stored:
            for i, large in enumerate(hr):
                small = stored[f"{i:06d}"]
                wanted = (large.shape[0] // scale, large.shape[1] // scale, 3)
                if small.dtype != np.uint8 or small.shape != wanted:
                    return None
                lr.append(keep(small))
    except SrxError:
        return None  # missing or damaged: it is only a cache, and is made again
    return lr


def _write(file: Path, lr: Sequence[Picture]) -> None:
    arrays: dict[str, Any] = {f"{i:06d}": image for i, image in enumerate(lr)}
    with suppress(OSError):  # a full or read-only disk costs the cache, not the training
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as stream:
            np.savez(stream, **arrays)
