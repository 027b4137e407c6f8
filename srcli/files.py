"""Atomic files, written under a temporary name until they are complete, and file locks."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from srcli.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform != "win32":
    import fcntl

_NO_LOCKS = frozenset({errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL})
"""Errors of file systems that do not support locks."""


@contextmanager
def replacing(path: Path, part: Path | None = None) -> Iterator[Path]:
    """Yield a temporary name; the file of that name takes the final name at the end of the block.

    If the block fails, the temporary file is removed and a former file stays as it was.

    Args:
        path: The final name. The folder must exist.
        part: The name to write to, on the same disk; by default a hidden one of its own beside
            the final one.

    Raises:
        OSError: If the file cannot take its name.
    """
    # not made of the final name, which may be as long as names can be
    part = part or path.with_name(f".srx-{secrets.token_hex(8)}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a crash, a full disk or a power cut leaves the former one as it was.

    Args:
        path: The final name. The folder must exist.
        content: All of it.

    Raises:
        OSError: If it cannot be written.
    """
    with replacing(path) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def lock_stream(stream: IO[bytes]) -> bool:
    """Lock an open file for this process until it is closed; false if another process has it.

    The system releases the lock however the process ends, ``kill -9`` included. Where there are no
    locks (Windows, some network file systems) the answer is always true.

    Args:
        stream: The file, open for writing.

    Raises:
        OSError: If the disk fails.
    """
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def is_still_at(path: Path, stream: IO[bytes]) -> bool:
    """Return true unless an open file was renamed or removed by another process.

    Args:
        path: The name under which it was opened.
        stream: The open file.
    """
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except OSError:
        return False


@contextmanager
def lock_file(path: Path) -> Iterator[bool]:
    """Lock a file for this process until the block ends; see ``lock_stream``.

    A file that was left behind is not locked. The holder may remove the file: a process that opened
    it before does not get the lock.

    Args:
        path: The file, used for nothing else; made if missing.

    Yields:
        False if another process holds the lock.

    Raises:
        DataError: If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("ab")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    with stream:
        yield lock_stream(stream) and is_still_at(path, stream)
