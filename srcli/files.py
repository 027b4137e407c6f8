"""Atomic files: hidden names until they are complete, locks, and errors of the system in words."""

from __future__ import annotations

import errno
import os
import secrets
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from srcli.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator


if sys.platform != "win32":
    import fcntl

_NO_LOCKS = frozenset({errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL})
"""Errors of file systems that do not support locks."""


def cache_folder() -> Path:
    """Return the folder of what can be made again: ``$SRX_CACHE``, else below the user's cache."""
    base = os.environ.get("SRX_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "srx"


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


def write_whole(path: Path, content: bytes | memoryview) -> None:
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


# What other programs have put beside a file that had the same name: GDAL would take it for a part
# of the new one, smaller copies of the old picture included.
_STALE = (".aux.xml", ".ovr", ".msk")
_LONGEST_NAME = 255  # bytes, on nearly every file system
_LONGEST_HIDDEN = _LONGEST_NAME - max(map(len, _STALE))  # GDAL appends such a suffix to them
# EFBIG: the file system's or the user's limit on one file
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REASONS = {
    errno.EACCES: "no permission to write here; take another folder",
    errno.EPERM: "no permission to write here; take another folder",
    errno.ENOENT: "its folder does not exist; make it first",
    errno.EISDIR: "is a folder; take another name",
    errno.EROFS: "the file system is read-only; take another folder",
    errno.ENAMETOOLONG: "the name is too long; take a shorter one",
}


def hidden_name(target: Path, tail: str) -> Path:
    """Return the hidden name, beside a file, of something that belongs to it.

    Args:
        target: The file.
        tail: Appended to the name, with a dot: ``".part"``.
    """
    name = os.fsencode(target.name)
    if len(name) + len(tail) + 1 > _LONGEST_HIDDEN:
        # different long names that begin alike stay different
        tail = f"~{zlib.crc32(name):08x}{tail}"
        name = name[: _LONGEST_HIDDEN - len(tail) - 1]
        return target.with_name("." + name.decode("utf-8", "ignore") + tail)
    return target.with_name("." + target.name + tail)


def remove_stale(target: Path, keep: Container[str] = ()) -> None:
    """Remove sidecars of an earlier file of the same name.

    Args:
        target: The file, old or new.
        keep: Names that stay.
    """
    for suffix in _STALE:
        name = target.name + suffix
        # a longer name than there can be is none's
        if name not in keep and len(os.fsencode(name)) <= _LONGEST_NAME:
            target.with_name(name).unlink(missing_ok=True)


def explain_os_error(target: Path, error: BaseException, *, full: str = "") -> str | None:
    """Explain an error of the system that kept a file from being written.

    Args:
        target: The file.
        error: Raised by writing it.
        full: Appended to the line for a full disk.

    Returns:
        The reason and the remedy, for the user; None for other errors.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number in _NO_SPACE:
        return f"{target}: the disk is full; make room and run again{full}"
    reason = _REASONS.get(number or 0)
    return f"{target}: {reason}" if reason else None
