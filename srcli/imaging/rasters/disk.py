"""Unfinished output files: hidden names, exclusive access, flushing to disk, error messages."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from srcli.errors import PictureError
from srcli.files import is_still_at, lock_stream
from srcli.imaging.targets import explain_os_error, hidden_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def part_path(target: Path) -> Path:
    """Return the hidden name of an output until it is finished."""
    return hidden_name(target, ".part")


def journal_path(target: Path) -> Path:
    """Return the hidden name of an output's journal."""
    return hidden_name(target, ".journal")


def open_exclusive(path: Path, target: Path) -> IO[bytes]:
    """Open a file for reading and writing, created if missing, and lock it.

    The lock ends with the process, also when it is killed.

    Args:
        path: The file; it may be renamed while it is open.
        target: Its final name, for messages.

    Raises:
        PictureError: If another process has locked it.
    """
    while True:
        stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666), "r+b")
        try:
            if not lock_stream(stream):
                raise PictureError(
                    f"{target}: another srx is writing this file; wait for it, or take another name"
                )
            if is_still_at(path, stream):
                return stream
        except BaseException:
            stream.close()
            raise
        # another process has finished and renamed it in between
        stream.close()


def sync(stream: IO[bytes]) -> None:
    """Flush an open file and wait until it is on the disk."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_file(path: Path) -> None:
    """Wait until a closed file is on the disk."""
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until new names in a folder are on the disk, where the system supports it."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def writing_errors(target: Path) -> Iterator[None]:
    """Turn errors of the system and GDAL while writing into one line for the user.

    Args:
        target: The output, for messages.

    Raises:
        PictureError: If writing fails.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError, SystemError) as error:
        raise PictureError(_reason(target, error)) from error


def _reason(target: Path, error: BaseException) -> str:
    if known := explain_os_error(target, error, full=", what is done is kept"):
        return known
    text = " ".join(str(error.__cause__ or error).split())
    return f"{target}: cannot be written ({text[:200]}); is there room on the disk?"


_BINARY = getattr(os, "O_BINARY", 0)
