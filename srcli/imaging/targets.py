"""Files that are being written: hidden names, stale sidecars, errors of the system in words."""

from __future__ import annotations

import errno
import os
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

# What other programs have put beside a file that had the same name: GDAL would take it for a part
# of the new one, smaller copies of the old picture included.
_STALE = (".aux.xml", ".ovr", ".msk")
_LONGEST_NAME = 255  # bytes, on nearly every file system
_LONGEST_HIDDEN = _LONGEST_NAME - max(map(len, _STALE))  # GDAL appends such a suffix to them
# EFBIG: the file system's or the user's limit on one file
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


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
    if isinstance(error, PermissionError):
        reason = "no permission to write here; take another folder"
    elif isinstance(error, FileNotFoundError):
        reason = "its folder does not exist; make it first"
    elif isinstance(error, IsADirectoryError):
        reason = "is a folder; take another name"
    elif number in _NO_SPACE:
        reason = f"the disk is full; make room and run again{full}"
    elif number == errno.EROFS:
        reason = "the file system is read-only; take another folder"
    elif number == errno.ENAMETOOLONG:
        reason = "the name is too long; take a shorter one"
    else:
        return None
    return f"{target}: {reason}"
