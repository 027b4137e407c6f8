"""Types of arrays, and large arrays that lie in files instead of memory."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Size = tuple[int, int]
"""(height, width) in pixels."""
Limits = tuple[float, float]
"""Lowest and highest value; maybe infinite."""
LARGEST_IN_MEMORY = 2**27
"""Bytes; larger arrays lie in files where a folder is given for them."""
_STRIP_VALUES = 2**23


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
        reserve(stream, size)
        return np.ndarray(shape, dtype, buffer=mmap.mmap(stream.fileno(), size))


def as_stored(arrays: Sequence[Array]) -> tuple[list[Array], tuple[int, ...]]:
    """Return arrays of one shape by axes as the first lies in memory, longest steps first.

    The second value are the axes by which a stack of them gets the order of before.
    """
    strides = arrays[0].strides
    axes = sorted(range(len(strides)), key=lambda axis: -strides[axis])
    stored = [array.transpose(axes) for array in arrays]
    return stored, (0, *(1 + axes.index(axis) for axis in range(len(axes))))


def stack_as_stored(arrays: Sequence[Array]) -> Array:
    """Stack arrays of one shape, whose values stay in the order in memory of the first.

    ``np.stack`` would turn bands that lie behind each other into pixels, one by one.
    """
    stored, axes = as_stored(arrays)
    return np.stack(stored).transpose(axes)


def reserve(stream: IO[bytes], size: int) -> None:
    """Take the room for so many bytes of a file, which keeps those that it has.

    A full disk raises an error of the system here; later, when a map of the file is
    written, it would end the process.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(stream.fileno(), 0, size)
        return
    start = stream.seek(0, os.SEEK_END)
    stream.writelines(bytes(min(2**20, size - at)) for at in range(start, size, 2**20))
    stream.flush()


def strips(array: Array) -> Iterator[slice]:
    """Yield slices of rows that cover an array, one after the other, in which to work on it.

    After each the memory of an array that lies in a file is given back, as a copy or a
    file of it would take as much as all of it.
    """
    rows = max(_STRIP_VALUES // max(array[0].size, 1), 1)
    for top in range(0, len(array), rows):
        yield slice(top, min(top + rows, len(array)))
        release(array)


def release(array: Array) -> None:
    """Give back the memory of an array that lies in a file; its values stay there."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def upright(image: Array, orientation: int, folder: Path | None = None) -> Array:
    """Turn (H, W) or (H, W, C) the right way up by its orientation, 1 to 8 as EXIF numbers them.

    A large result lies in the folder; see ``empty_array``.
    """
    if orientation > 4:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if image.flags.c_contiguous:
        return image
    turned = empty_array(image.shape, image.dtype, folder)
    for rows in strips(turned):
        turned[rows] = image[rows]
        release(image)
    return turned
