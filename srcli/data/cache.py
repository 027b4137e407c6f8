"""Decoded training pictures, kept in the user's cache for the next start.

A picture is known by the path, the size and the time of its file, one made smaller by the
pixels of the large one. Files are read and not mapped: each map would hold a file open.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from tokenize import TokenError

import numpy as np
import PIL

import srcli
from srcli.files import file_state, replacing
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import downscale

LARGEST_CACHE = 20 * 10**9
"""Bytes of pictures that are kept; half of the free disk where that is less."""
_FORM = 2
"""To be raised whenever decoding, or shrinking, gives other pixels."""
_DAMAGE = (OSError, ValueError, EOFError, SyntaxError, TypeError, TokenError)
"""Exceptions that numpy raises of files that are empty, cut short or hold other bytes."""


class PictureCache:
    """Decoded pictures in files of a folder, which is emptied once they have no room.

    Args:
        folder: Made when the first picture is stored.
        limit: Bytes of all files; None for ``LARGEST_CACHE``.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder
        self.hits = 0
        """Pictures that need not be decoded."""
        self._lock = Lock()
        files = [*folder.glob("*.npy")]
        states = [file_state(path) or (0, 0) for path in files]
        used = sum(size for size, _ in states)
        if limit is None:
            limit = LARGEST_CACHE
            with suppress(OSError):
                nearest = next(path for path in folder.parents if path.is_dir())
                limit = min(limit, (shutil.disk_usage(nearest).free + used) // 2)
        if used >= limit:
            for path in files:
                with suppress(OSError):  # of one that is not ours
                    path.unlink()
            used = 0
        self._room = limit - used

    def decoded(self, path: Path, member: str, decode: Callable[[], Array]) -> Array:
        """Return the pixels of a file, or a zip's member, which ``decode`` gives if need be."""
        versions = f"{_FORM} {srcli.__version__} {PIL.__version__}"
        name = f"{versions} {path.resolve()} {member} {file_state(path)}"
        key = hashlib.sha256(name.encode("utf-8", "surrogateescape"))
        file = self.folder / f"{key.hexdigest()[:40]}.npy"
        picture = self._find(file)
        if picture is None:
            return self._keep(file, decode())
        with self._lock:
            self.hits += 1
        return picture

    def shrunk(self, picture: Array, scale: int) -> Array:
        """Return a picture, (H, W, 3), 1/scale as large, as ``downscale`` makes it."""
        head = f"{_FORM} {picture.shape} {picture.dtype}"
        key = hashlib.sha256(head.encode() + picture.tobytes())
        file = self.folder / f"{key.hexdigest()[:40]}.{scale}.npy"
        smaller = self._find(file)
        if smaller is None:
            smaller = self._keep(file, downscale(picture, scale))
        return smaller

    def _find(self, file: Path) -> Array | None:
        """Return what a file holds; None where it is not there, or damaged."""
        with suppress(*_DAMAGE):
            picture: Array = np.load(file, allow_pickle=False)
            if picture.flags.c_contiguous:
                return picture
        return None

    def _keep(self, file: Path, picture: Array) -> Array:
        """Write a picture into a file if there is room; return it in one piece of memory."""
        picture = np.ascontiguousarray(picture)
        with self._lock:
            if picture.nbytes > self._room:
                return picture
            self._room -= picture.nbytes
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(file, is_synchronised=False) as stream:
                np.save(stream, picture, allow_pickle=False)
        except OSError:
            self._room = 0  # what cannot be written will not be later either
        return picture
