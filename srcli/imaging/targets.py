"""Files that are being written: their hidden names, and what a failure means, in words."""

from __future__ import annotations

import errno
import os
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_NAME = 255  # bytes, on nearly every file system
# EFBIG: the file system's or the user's limit on one file
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def hidden_name(target: Path, tail: str) -> Path:
    """The name beside a file of something that belongs to it; the same on every call.

    Args:
        target: The file.
        tail: What it is, with a dot: ``".part"``.
    """
    name = os.fsencode(target.name)
    if len(name) + len(tail) + 1 > _LONGEST_NAME:
        # different long names that begin alike stay different
        tail = f"~{zlib.crc32(name):08x}{tail}"
        name = name[: _LONGEST_NAME - len(tail) - 1]
    return target.with_name("." + name.decode("utf-8", "ignore") + tail)


def known_reason(target: Path, error: BaseException, *, full: str = "") -> str | None:
    """What keeps a file from being written and what to do, where the system says it clearly.

    Args:
        target: The file.
        error: What writing it failed of.
        full: Added to what is said of a full disk.

    Returns:
        A line for the user, or None where there is no such line.
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
    elif number == errno.ENAMETOOLONG:
        reason = "the name is too long; take a shorter one"
    else:
        return None
    return f"{target}: {reason}"
