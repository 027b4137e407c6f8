"""Decoded training pictures, kept in the user's cache for the next start.

A picture is known by the bytes of its file, so that one that has changed is never taken
for the old one. Files of the cache are mapped: processes share them, and the system
takes the memory back when it is needed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from tokenize import TokenError

import numpy as np
import PIL

import srcli
from srcli.files import replacing
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import downscale
from srcli.input_files import checksum

LARGEST_CACHE = 20 * 10**9
"""Bytes of pictures that are kept; half of the free disk where that is less."""
_FORM = 1
"""To be raised whenever decoding, or shrinking, gives other pixels."""
_DAMAGE = (
    OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError,
    TokenError,
)  # fmt: skip
"""Exceptions that numpy raises of files that are empty, cut short or hold other bytes."""


class PictureCache:
    """Decoded pictures in files of a folder, the oldest of which make room for new ones.

    Args:
        folder: Made when the first picture is stored.
        limit: Bytes of all files; None for ``LARGEST_CACHE``.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder
        self.hits = 0
        """Pictures that were found."""
        self._lock = Lock()
        self._files: dict[str, tuple[Path, int]] = {}
        """Files, and their bytes as they count, by the keys of their pictures, the one
        that was used last at the end."""
        self._used: set[str] = set()
        """Keys of this run, whose files stay."""
        self._bytes = 0
        for _, size, path in sorted(_list_files(folder)):
            self._keep(path.name.rpartition("-")[0], path, size)
        if limit is None:
            limit = LARGEST_CACHE
            with suppress(OSError):
                nearest = next(path for path in folder.parents if path.is_dir())
                free = shutil.disk_usage(nearest).free
                limit = min(limit, (free + self._bytes) // 2)
        self._limit = limit

    def decoded(self, encoded: bytes, decode: Callable[[], Array]) -> Array:
        """Return the pixels of a file with these bytes, which ``decode`` gives if need be."""
        versions = f"{_FORM} {srcli.__version__} {PIL.__version__}"
        digest = hashlib.sha256(versions.encode())
        digest.update(encoded)
        return self._find_or_make(digest.hexdigest()[:40], decode)

    def shrunk(self, picture: Array, scale: int) -> Array:
        """Return a picture, (H, W, 3), 1/scale as large, as ``downscale`` makes it."""
        if not isinstance(picture, np.memmap) or picture.filename is None:
            return downscale(picture, scale)
        height, width = picture.shape[:2]
        key, _, _ = Path(picture.filename).name.rpartition("-")
        key = f"{key}.{height}x{width}.{scale}"
        return self._find_or_make(key, lambda: downscale(picture, scale))

    def _find_or_make(self, key: str, make: Callable[[], Array]) -> Array:
        with self._lock:
            path, _ = self._files.get(key, (None, 0))
            self._used.add(key)
        picture = None if path is None else _load(path)
        with self._lock:
            if picture is not None:
                self.hits += 1
                return picture
            self._forget(key)
        return self._store(key, make())

    def _keep(self, key: str, path: Path, size: int) -> None:
        self._forget(key)
        self._files[key] = path, size
        self._bytes += size

    def _forget(self, key: str) -> None:
        """Count a file no longer, whoever has removed it."""
        _, size = self._files.pop(key, (None, 0))
        self._bytes -= size

    def _store(self, key: str, picture: Array) -> Array:
        """Store a picture if there is room, and return it, or its file mapped."""
        picture = np.ascontiguousarray(picture)
        with self._lock:
            self._make_room(picture.nbytes)
            if self._bytes + picture.nbytes > self._limit:
                return picture
            path = self.folder / f"{key}-{_checksum_of(picture)}.npy"
            self._keep(key, path, picture.nbytes)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path, is_synchronised=False) as stream:
                np.save(stream, picture, allow_pickle=False)
            stored: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError:
            with self._lock:
                self._limit = 0  # what cannot be written will not be later either
            return picture
        return stored

    def _make_room(self, size: int) -> None:
        """Remove the oldest files that are not of this run, as far as it takes."""
        for key, (path, _) in list(self._files.items()):
            if self._bytes + size <= self._limit:
                return
            if key in self._used:
                continue
            with suppress(OSError):  # of one that is not ours
                path.unlink(missing_ok=True)
                self._forget(key)


def _list_files(folder: Path) -> list[tuple[int, int, Path]]:
    """Return time of the last use, bytes, and path of each file."""
    files = []
    with suppress(OSError):
        for path in folder.glob("*-????????.npy"):
            state = path.stat()
            files.append((state.st_mtime_ns, state.st_size, path))
    return files


def _load(path: Path) -> Array | None:
    """Map a file; None if it is gone or damaged. Its time says when it was used last."""
    with suppress(*_DAMAGE):
        picture: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        if picture.flags.c_contiguous and path.stem.endswith(_checksum_of(picture)):
            with suppress(OSError):  # somebody else's, or on a disk that is read only
                os.utime(path)
            return picture
    with suppress(OSError):
        path.unlink()
    return None


def _checksum_of(picture: Array) -> str:
    """Return a checksum of what a file says: the kind and the shape of values, and these."""
    values = checksum(picture.data.cast("B"))
    return checksum(f"{picture.dtype.str} {picture.shape} {values}".encode())
