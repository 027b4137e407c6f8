"""Files on their way: hidden names, one writer at a time, certainty that bytes are on the disk."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.targets import hidden_name, known_reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform != "win32":
    import fcntl

# File systems that do not know locks.
_NO_LOCKS = frozenset({errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL})


def part_path(target: Path) -> Path:
    """The hidden name of an output as long as it is written.

    Args:
        target: Its final name.
    """
    return hidden_name(target, ".part")


def journal_path(target: Path) -> Path:
    """The hidden name of an output's journal.

    Args:
        target: Its final name.
    """
    return hidden_name(target, ".journal")


def open_exclusive(path: Path, target: Path) -> IO[bytes]:
    """Open a file to read and write it, made if missing, and keep other processes from doing so.

    The claim ends with the process, however that ends.

    Args:
        path: The file; it may be renamed while it is open.
        target: What it becomes, for messages.

    Raises:
        PictureError: If another process has it open.
    """
    while True:
        stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666), "r+b")
        try:
            _claim(stream, target)
            if _still_there(stream, path):
                return stream
        except BaseException:
            stream.close()
            raise
        # another process has finished it in between, so that it has another name by now
        stream.close()


def sync(stream: IO[bytes]) -> None:
    """Wait until all that was written to a file is on the disk.

    Args:
        stream: The file.
    """
    stream.flush()
    os.fsync(stream.fileno())


def sync_file(path: Path) -> None:
    """Wait until a file that others have written is on the disk.

    Args:
        path: The file.
    """
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until new names in a folder are on the disk, where the system can do that.

    Args:
        folder: The folder.
    """
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def writing_errors(target: Path) -> Iterator[None]:
    """Turn what system and GDAL say of a failed write into one line for the user.

    Args:
        target: The output.

    Raises:
        PictureError: If writing fails.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError, SystemError) as error:
        raise PictureError(_why(target, error)) from error


def _why(target: Path, error: BaseException) -> str:
    if known := known_reason(target, error, full=", what is done is kept"):
        return known
    text = " ".join(str(error.__cause__ or error).split())
    return f"{target}: cannot be written ({text[:200]}); is there room on the disk?"


_BINARY = getattr(os, "O_BINARY", 0)


def _claim(stream: IO[bytes], target: Path) -> None:
    if sys.platform == "win32":
        return  # there, two writers are not told apart
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PictureError(
            f"{target}: another srx is writing this file; wait for it, or take another name"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _still_there(stream: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
