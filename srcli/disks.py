"""Disks: folders for what can be made again, free space, errors of the system in words."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir

from srcli.errors import PictureError


def cache_folder() -> Path:
    """Return the folder of what can be made again: ``$SRX_CACHE``, else below the user's cache."""
    home = os.path.expanduser("~")  # noqa: PTH111 - stays "~" where a container's user has none
    if home == "~":
        home = gettempdir()
    users = os.environ.get("XDG_CACHE_HOME") or Path(home, ".cache")
    return Path(os.environ.get("SRX_CACHE") or Path(users, "srx"))


NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of a full disk."""
_DENIED = "no permission to write here; take another folder"
if sys.platform == "win32":
    _DENIED = f"another program has it open, or {_DENIED}"
_REASONS = {
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENOENT: "its folder does not exist; make it first",
    errno.EISDIR: "is a folder; take another name",
    errno.EROFS: "the file system is read-only; take another folder",
    errno.ENAMETOOLONG: "the name is too long; take a shorter one",
    errno.EFBIG: "larger than a file may be here (by the file system or 'ulimit -f'); take another "
    "folder, or raise the limit",
}


def free_disk(target: Path) -> tuple[int, Path]:
    """Return the free bytes where a file is to be written, and the nearest folder that exists.

    A drive or a share of Windows may be missing as a whole: PictureError.
    """
    for folder in target.parents:
        if folder.exists():
            return shutil.disk_usage(folder).free, folder
    raise PictureError(f"{target}: there is no {target.anchor}; give another output")


def is_full(folder: Path, least: int = 2**20) -> bool:
    """Tell if a folder, which is there, takes no file of ``least`` bytes, by writing one."""
    trial = folder / "room"
    try:
        trial.write_bytes(bytes(least))
    except OSError as error:
        return error.errno in NO_SPACE
    finally:
        with suppress(OSError):
            trial.unlink()
    return False


def explain_os_error(
    target: Path, error: BaseException, *, full: str = "", other: str = ""
) -> str:
    """Explain what kept a file from being written; ``other`` is the reason where it is not known.

    ``full`` is appended to the line for a full disk.
    """
    number = None
    if isinstance(error, OSError):  # GDAL's errors have numbers of their own
        number = error.errno
    if number in NO_SPACE:
        return f"{target}: the disk is full; make room and run again{full}"
    reason = _REASONS.get(number or 0)
    # as Windows says of long paths
    if number == errno.ENOENT and target.parent.is_dir():
        length = len(str(target.absolute()))
        reason = f"the path is too long ({length} characters); take a shorter one"
    return f"{target}: {reason or other or f'cannot be written ({error})'}"
