"""Open the parts of an output for one process, and keep those of an interrupted run."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.files import lock_file, write_whole
from srcli.imaging.rasters.disk import writing_errors
from srcli.imaging.rasters.parts import DONE, Parts, file_stamp, parts_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from srcli.imaging.rasters.output import OutputProfile

VERSION = 2
_PLAN, _LOCK = "plan.json", "lock"
_SHOWN_KEYS, _SHOWN_CHARACTERS = 3, 40


def has_unfinished_parts(target: Path) -> bool:
    """Tell if an interrupted run has left parts of an output that has an older file in place."""
    folder = parts_folder(target)
    if not folder.is_dir():
        return False
    if done := _is_done(folder, target):
        _remove_leftovers(folder, target)
    return not done and (folder / _PLAN).exists()


@contextmanager
def open_parts(
    target: Path,
    output: OutputProfile,
    fingerprint: Mapping[str, object],
    *,
    resume: bool = True,
) -> Iterator[tuple[Parts, tuple[str, ...]]]:
    """Open the parts of an output, those of an interrupted run included, for one process.

    The folder is removed at the end of the block if the output is finished or no part is complete.

    Args:
        target: The final name. Its folder must exist.
        output: What the file is to hold.
        fingerprint: Everything that the pixels depend on (input, model, options): plain values by
            names for messages. Parts with another one are removed.
        resume: Keep the parts of an interrupted run.

    Yields:
        The parts, and messages for the user on earlier work that is not used.

    Raises:
        PictureError: If they cannot be written here, or another process is writing them.
    """
    parts = Parts(target, output)
    with writing_errors(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder has this name")
        _make_folder(parts.folder, target)
    with lock_file(parts.folder / _LOCK) as locked:
        if not locked:
            raise PictureError(
                f"{target}: another srx is writing this file; wait for it, or take another name"
            )
        with writing_errors(target):
            notes = _resume(parts, fingerprint, keep=resume)
        try:
            yield parts, notes
        finally:
            with suppress(OSError):
                if _is_done(parts.folder, target):
                    _remove_leftovers(parts.folder, target)
                elif not parts.found():
                    shutil.rmtree(parts.folder, ignore_errors=True)


def describe_changes(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """Describe the differences of two fingerprints for the user; empty if they are equal."""
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    words = [_change(key, _short(old.get(key)), _short(new.get(key))) for key in keys]
    more = len(words) - _SHOWN_KEYS
    return "; ".join(words[:_SHOWN_KEYS] + ([f"and {more} more"] if more > 0 else []))


def _make_folder(folder: Path, target: Path) -> None:
    """Make the folder, which nobody else may write into; a link planted there is refused."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    state = folder.lstat()
    if folder.is_symlink() or not folder.is_dir():
        raise PictureError(f"{target}: {folder} is in the way; remove it")
    # on disks without owners everything belongs to one user, maybe another one
    if hasattr(os, "getuid") and state.st_uid not in (os.getuid(), folder.parent.stat().st_uid):
        raise PictureError(f"{target}: {folder} belongs to another user; take another folder")


def _resume(parts: Parts, fingerprint: Mapping[str, object], *, keep: bool) -> tuple[str, ...]:
    """Keep the intact parts of an earlier run with the same fingerprint; remove all else."""
    layout = parts.output
    bands = [layout.height, layout.width, layout.dtype, len(layout.bands), layout.alpha]
    # as JSON gives it back: tuples as lists
    whole: dict[str, object] = json.loads(json.dumps(dict(fingerprint), default=str))
    whole["layout of the file"] = [*bands, layout.mask, str(layout.nodata)]
    old = _read_json(parts.folder / _PLAN) if keep else {}
    before, notes = old.get("fingerprint"), []
    keep = old.get("srx") == VERSION and isinstance(before, dict)
    if isinstance(before, dict) and keep and (change := describe_changes(before, whole)):
        keep = False
        if parts.found():
            notes.append(f"earlier work on {parts.target.name} is not continued: {change}")
    kept = parts.found() if keep else {}
    for file in parts.folder.iterdir():
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        elif file.name != _LOCK and file not in kept.values():
            file.unlink()
    write_whole(parts.folder / _PLAN, json.dumps({"srx": VERSION, "fingerprint": whole}).encode())
    if damaged := parts.drop_damaged():
        notes.append(
            f"earlier work on {parts.target.name} is damaged: {damaged} of {len(kept)} parts are "
            "made again"
        )
    return tuple(notes)


def _remove_leftovers(folder: Path, target: Path) -> None:
    """Remove the parts of a finished output; of a VRT, only the lock, and others may read it."""
    if target.suffix == ".vrt":
        (folder / _LOCK).unlink(missing_ok=True)
        folder.chmod(target.stat().st_mode | 0o700 | (target.stat().st_mode & 0o044) >> 2)
    else:
        with suppress(OSError):
            for file in folder.iterdir():  # DONE last: the next run finds it if this one is killed
                if file.is_dir():
                    shutil.rmtree(file)
                elif file.name != DONE:
                    file.unlink()
        shutil.rmtree(folder, ignore_errors=True)


def _is_done(folder: Path, target: Path) -> bool:
    try:
        return _read_json(folder / DONE) == file_stamp(target)
    except OSError:
        return False


def _read_json(path: Path) -> dict[str, object]:
    """Return the contents of a JSON file; nothing if it is missing or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _change(key: str, old: str, new: str) -> str:
    # long values, such as the input's metadata, may differ beyond the characters shown
    return f"{key} was {old}, is {new}" if old != new else f"{key} has changed"


def _short(value: object) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
