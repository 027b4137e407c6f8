"""One process at a time for a result or a folder; a claim ends with its process."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from srcli.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform != "win32":
    import fcntl


@contextmanager
def claim(file: Path) -> Iterator[bool]:
    """Keep something for this process until the block ends.

    The system gives the claim back however the process ends, so that a file which was left behind
    means nothing. Who has it may remove the file: those who opened the former one do not get it.

    Args:
        file: Stands for it; made if missing.

    Yields:
        False if another process has it. Where there are no locks, always true.

    Raises:
        DataError: If the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("ab")
    except OSError as error:
        raise DataError(f"{file}: cannot be written ({error.strerror})") from error
    with stream:
        yield _lock(stream) and _is_there(file, stream)


def _lock(stream: IO[bytes]) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system that does not know locks
    return True


def _is_there(file: Path, stream: IO[bytes]) -> bool:
    """Whether the file was not removed between opening and locking: others lock the next one."""
    try:
        return file.stat().st_ino == os.fstat(stream.fileno()).st_ino
    except OSError:
        return False
