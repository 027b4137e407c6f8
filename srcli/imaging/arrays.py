"""Types of arrays, and large arrays that lie in files instead of memory."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Size = tuple[int, int]
"""(height, width) in pixels."""
LARGEST_IN_MEMORY = 2**27
"""Bytes; larger arrays lie in files where a folder is given for them."""


def empty_array(
    shape: tuple[int, ...], dtype: DTypeLike, folder: Path | None = None
) -> Array:
    """Return a new array with arbitrary contents, in a file if it is large and may be in one.

    The folder is that of such a file, whose bytes are all reserved on the disk; an
    error of the system says that there is no room. It has no name or loses it with the
    process, and the array alone keeps it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if folder is None or size <= LARGEST_IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=folder, prefix="srx-") as stream:
        # a full disk would end the process when the map is written
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, size)
        else:
            stream.writelines(
                bytes(min(2**20, size - at)) for at in range(0, size, 2**20)
            )
            stream.flush()
        return np.ndarray(shape, dtype, buffer=mmap.mmap(stream.fileno(), size))


def release(array: Array) -> None:
    """Give back the memory of an array that lies in a file; its values stay there."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
