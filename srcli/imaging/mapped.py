"""Arrays in files without names, whose memory the system may take back; small ones in memory."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

LARGEST_IN_MEMORY = 2**27
"""Bytes; larger arrays lie in files where a folder is given for them."""


def empty_array(
    shape: tuple[int, ...], dtype: DTypeLike, folder: Path | None = None
) -> NDArray[Any]:
    """Return a new array with arbitrary contents, in a file if it is large and may be in one.

    The folder is that of such a file; an error of the system says that there is no room.
    """
    if folder is None or math.prod(shape) * np.dtype(dtype).itemsize <= LARGEST_IN_MEMORY:
        return np.empty(shape, dtype)
    return mapped_array(shape, dtype, folder)


def mapped_array(shape: tuple[int, ...], dtype: DTypeLike, folder: Path) -> NDArray[Any]:
    """Map a new file with all of its bytes reserved on the disk; the array alone keeps it.

    The file has no name or loses it with the process.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile(dir=folder, prefix="srx-") as stream:
        # a full disk would end the process when the map is written
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, size)
        else:
            stream.writelines(bytes(min(2**20, size - at)) for at in range(0, size, 2**20))
            stream.flush()
        return np.ndarray(shape, dtype, buffer=mmap.mmap(stream.fileno(), size))


def release(array: NDArray[Any]) -> None:
    """Give back the memory of an array that lies in a file; its values stay there."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
