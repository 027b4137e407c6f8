"""Keep the finished rows of an unfinished raster as small GeoTIFFs in a hidden folder beside it.

A part is a band of rows of the full width. It takes its final name, which holds the checksum of
the file, once it is complete; so parts can be made in any order, twice, and by several processes.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError
from srcli.files import hidden_name, lock_file, write_whole
from srcli.imaging.rasters.disk import writing_errors
from srcli.imaging.rasters.output import OutputProfile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BLOCK_WIDTH, _BLOCK_HEIGHT = 512, 256
_LEAST_PIXELS = 1_000_000
"""Narrow rasters have higher parts, so that there are not too many files."""
_MOST_BYTES = 2**26
"""Wide rasters have lower parts, which are held in memory."""
_MULTIPLE = 16
"""Sides of the blocks of a TIFF are multiples of it."""
VERSION = 2
_NAME = re.compile(r"part-(\d{6})-([0-9a-f]{8})\.tif")
_PLAN, _DONE, _LOCK = "plan.json", "done.json", "lock"
_READ_BYTES = 2**24
"""Bytes read at a time for a checksum."""
_SHOWN_KEYS, _SHOWN_CHARACTERS = 3, 40


@dataclass(frozen=True)
class Parts:
    """The parts of one output and the folder that holds them."""

    target: Path
    """The final name of the output."""
    output: OutputProfile
    folder: Path

    @property
    def rows(self) -> int:
        """Rows of a part, a multiple of 256; the last one may have fewer."""
        return part_rows(self.output)

    @property
    def count(self) -> int:
        """Number of parts."""
        return -(-self.output.height // self.rows)

    def span(self, number: int) -> range:
        """Return the output rows of a part, numbered from 0."""
        top = number * self.rows
        return range(top, min(top + self.rows, self.output.height))

    def found(self) -> dict[int, Path]:
        """Return the complete parts by number."""
        names = ((_NAME.fullmatch(file.name), file) for file in sorted(self.folder.iterdir()))
        return {int(match[1]): file for match, file in names if match}

    def missing(self) -> list[range]:
        """Return the runs of consecutive parts that are not there."""
        found = self.found()
        runs: list[range] = []
        for number in range(self.count):
            if number in found:
                continue
            if runs and runs[-1].stop == number:
                runs[-1] = range(runs[-1].start, number + 1)
            else:
                runs.append(range(number, number + 1))
        return runs

    def add(self, number: int, file: bytes | memoryview) -> None:
        """Store a part.

        Args:
            number: Of the part.
            file: Its file.

        Raises:
            OSError: If the disk fails.
        """
        write_whole(self.folder / f"part-{number:06}-{zlib.crc32(file):08x}.tif", file)

    def clear(self) -> None:
        """Remove all parts.

        Raises:
            PictureError: If they cannot be removed.
        """
        with writing_errors(self.target):
            for file in self.found().values():
                file.unlink()

    def drop_damaged(self) -> int:
        """Remove the parts that differ from what was written; returns how many there were.

        All are read again, which is much faster than computing them; nothing else would notice
        one that the disk has lost.
        """
        damaged = [
            file for file in self.found().values() if file.stem[-8:] != f"{_checksum(file):08x}"
        ]
        for file in damaged:
            file.unlink()
        return len(damaged)

    def note_done(self, file: Path) -> None:
        """Record that all that is left to do is to give the finished file its final name."""
        write_whole(self.folder / _DONE, json.dumps(_stamp(file)).encode())


def part_rows(output: OutputProfile) -> int:
    """Return the rows of a part: whole rows of blocks, not too few pixels nor too many bytes."""
    row = output.width * len(output.bands) * np.dtype(output.dtype).itemsize
    rows = max(min(_MOST_BYTES // row // _MULTIPLE * _MULTIPLE, _BLOCK_HEIGHT), _MULTIPLE)
    return rows * -(-_LEAST_PIXELS // (rows * output.width))


def part_blocks(output: OutputProfile, height: int) -> tuple[int, int]:
    """Return the (height, width) of the blocks of a part of some height."""
    return _block_side(height, _BLOCK_HEIGHT), _block_side(output.width, _BLOCK_WIDTH)


def _block_side(length: int, longest: int) -> int:
    return min(longest, -(-length // _MULTIPLE) * _MULTIPLE)


def has_unfinished_parts(target: Path) -> bool:
    """Tell if an interrupted run has left parts of an output that has an older file in place."""
    folder = parts_folder(target)
    if not (folder / _PLAN).exists():
        return False
    if done := _is_done(folder, target):
        _remove_leftovers(folder, target)
    return not done


def parts_folder(target: Path) -> Path:
    """Return the folder of the parts of an output: hidden, except that of a VRT, which stays."""
    if target.suffix == ".vrt":
        return target.with_suffix(".parts")
    return hidden_name(target, ".parts")


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
    parts = Parts(target, output, parts_folder(target))
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
    if hasattr(os, "getuid") and state.st_uid != os.getuid():
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
        shutil.rmtree(folder, ignore_errors=True)


def _is_done(folder: Path, target: Path) -> bool:
    try:
        return _read_json(folder / _DONE) == _stamp(target)
    except OSError:
        return False


def _stamp(file: Path) -> dict[str, int]:
    """Size and modification time in nanoseconds, which identify a finished file."""
    found = file.stat()
    return {"size": found.st_size, "time": found.st_mtime_ns}


def _checksum(file: Path) -> int:
    found = 0
    with file.open("rb") as stream:
        while data := stream.read(_READ_BYTES):
            found = zlib.crc32(data, found)
    return found


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
