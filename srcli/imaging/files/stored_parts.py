"""Finished parts of an output, in a hidden folder beside it.

A part takes its final name, which holds the checksum of the file, once it is complete;
so parts can be made in any order, twice, and by several processes, and an interrupted
run leaves them to the next. The rows of a photograph lie in one file instead, from which
they are encoded as an array would be: a part of it, some rows of the full width, is
finished once a mark says so, a small file with the checksum of these rows.
"""

from __future__ import annotations

import errno
import json
import math
import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from srcli.errors import PictureError
from srcli.files import (
    checksum,
    explain_os_error,
    hidden_name,
    lock_file,
    replacing,
    write_whole,
)
from srcli.imaging.files.gdal import gdal_errors, reason_of
from srcli.imaging.pixels.arrays import Array, release, reserve

_PLAN = "plan.json"
_LOCK = "lock"
_NAMES = f"part-{'[0-9]' * 6}-{'?' * 8}"
"""Of parts, before their ending."""
_PICTURE = "picture-"
_LEAST_ROWS = 128
_LEAST_PIXELS = 2**18
"""Pixels of a part; fewer would be computed in a moment, and their marks take as long."""


@dataclass(frozen=True)
class StoredParts:
    """The finished parts of one output of any kind, numbered from 0, in a folder beside it."""

    ending: ClassVar[str] = ".tif"
    target: Path
    """The final name of the output."""

    @property
    def folder(self) -> Path:
        """The hidden folder that holds them."""
        return hidden_name(self.target, ".parts")

    def found(self) -> dict[int, Path]:
        """Return the complete parts by number."""
        files = sorted(self.folder.glob(_NAMES + self.ending))
        return {int(file.name[5:11]): file for file in files}

    def in_order(self) -> list[Path]:
        """Return the complete parts from the first on without a gap."""
        found = self.found()
        files: list[Path] = []
        while len(files) in found:
            files.append(found[len(files)])
        return files

    @property
    def stored_bytes(self) -> int:
        """Bytes on the disk that earlier runs have taken."""
        total = 0
        for file in set(self.found().values()):
            with suppress(FileNotFoundError):  # one that is used meanwhile
                total += file.stat().st_size
        return total

    def file_of(self, number: int, *pieces: bytes | memoryview) -> Path:
        """Return the file of a part that holds some pieces."""
        return self.folder / f"part-{number:06}-{checksum(*pieces)}{self.ending}"

    def add(self, number: int, *pieces: bytes | memoryview) -> None:
        """Store a part, of pieces; of a raster, an empty one stands for nodata, or zeros."""
        with replacing(self.file_of(number, *pieces)) as file:
            file.writelines(pieces)

    def earlier_plan(self) -> dict[str, object]:
        """Return what the parts of an earlier run depend on; nothing if that is not known."""
        with suppress(OSError, ValueError, TypeError):  # missing or damaged
            return dict(json.loads((self.folder / _PLAN).read_bytes()))
        return {}

    def intact(self) -> set[int]:
        """Return the numbers of complete parts that are on the disk as they were written.

        Nothing else would notice that the disk has lost a part; reading is faster than
        computing.
        """
        return self._intact_files(self.found())

    @staticmethod
    def _intact_files(files: Mapping[int, Path]) -> set[int]:
        """Return the numbers of the files of parts that hold what their names say."""
        numbers = set()
        for number, file in files.items():
            if file.stem.endswith(checksum(file.read_bytes())):
                numbers.add(number)
        return numbers

    def is_content(self, file: Path) -> bool:
        """Tell if a file beside the parts is one that they need."""
        del file
        return False

    def holds_work(self) -> bool:
        """Tell if there is something for the next run."""
        return bool(self.found())

    def remove(self) -> None:
        """Remove all parts, which are in the output now."""
        shutil.rmtree(self.folder, ignore_errors=True)


def has_unfinished_parts(target: Path) -> bool:
    """Tell if an interrupted run has left parts of an output that has an older file in place."""
    folder = hidden_name(target, ".parts")
    if not folder.is_dir():
        return False
    with suppress(FileNotFoundError):  # has it got its name or its rights later?
        if target.stat().st_ctime_ns <= (folder / _PLAN).stat().st_mtime_ns:
            return True
    with lock_file(folder / _LOCK) as locked:
        if locked:
            # the run that has finished the output was killed before it removed them
            shutil.rmtree(folder, ignore_errors=True)
    return False


@contextmanager
def keep_parts(
    parts: StoredParts, fingerprint: Mapping[str, object], *, resume: bool
) -> Iterator[tuple[str, ...]]:
    """Hold the parts of an output, those of an interrupted run included, for one process.

    Parts with another fingerprint are removed: it has everything that the pixels depend
    on (input, model, options), by names for messages. The folder is removed at the end
    of the block if no part is complete.

    Yields:
        Messages on earlier work that is not used.
    """
    with _hold_folder(parts.target):
        with writing_errors(parts.target):
            notes = _resume(parts, fingerprint, resume=resume)
        try:
            yield notes
        finally:
            if not parts.holds_work():
                parts.remove()


def open_own(file: Path, mode: int = 0o600, buffering: int = -1) -> IO[bytes]:
    """Open a file in the folder of parts to read and write, made if it is missing.

    A link that somebody has planted there is refused. ``mode`` are the rights of a new
    one, of which the umask may leave less, ``buffering`` is that of ``open``.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    flags |= getattr(os, "O_BINARY", 0)

    def opener(name: str, _: int) -> int:
        return os.open(name, flags, mode)

    return open(file, "r+b", buffering, opener=opener)


@contextmanager
def work_beside(target: Path) -> Iterator[Path]:
    """Yield a hidden folder beside a finished output, where one process changes a copy of it.

    It is removed at the end; what a killed process leaves, by ``has_unfinished_parts``.
    """
    with _hold_folder(target) as folder:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _hold_folder(target: Path) -> Iterator[Path]:
    """Make the hidden folder of an output, and yield it to one process."""
    folder = hidden_name(target, ".parts")
    with writing_errors(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder has this name")
        _make_folder(folder, target)
    with lock_file(folder / _LOCK) as locked:
        if not locked:
            raise PictureError(
                f"{target}: another srx is writing this file; wait for it, or take another name"
            )
        yield folder


def _make_folder(folder: Path, target: Path) -> None:
    """Make the folder, which nobody else may write into; a link planted there is refused."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    state = folder.lstat()
    if folder.is_symlink() or not folder.is_dir():
        raise PictureError(f"{target}: {folder} is in the way; remove it")
    if hasattr(os, "getuid"):
        # on disks without owners everything belongs to one user, maybe another one
        owners = (os.getuid(), folder.parent.stat().st_uid)
        if state.st_uid not in owners:
            raise PictureError(
                f"{target}: {folder} belongs to another user; take another folder"
            )


def _resume(
    parts: StoredParts, fingerprint: Mapping[str, object], *, resume: bool
) -> tuple[str, ...]:
    """Keep the intact parts of an earlier run with the same fingerprint; remove all else."""
    plan_file = parts.folder / _PLAN
    # NumPy's numbers become numbers; anything else raises TypeError, as its text could
    # differ from process to process
    plan = json.dumps(fingerprint, default=float)
    earlier_plan = parts.earlier_plan() if resume else {}
    new_plan = json.loads(plan)  # whose tuples are lists
    changed = []
    for key in {**earlier_plan, **new_plan}:
        if earlier_plan.get(key) != new_plan.get(key):
            changed.append(key)
    found = parts.found()
    work = f"earlier work on {parts.target.name} is"
    notes = []
    intact: set[int] = set()
    if not changed:
        intact = parts.intact()
        damaged = len(found) - len(intact)
        if damaged:
            notes.append(
                f"{work} damaged: {damaged} of {len(found)} parts are made again"
            )
    elif earlier_plan and found:
        notes.append(f"{work} not continued: changed: {', '.join(changed)}")
    _remove_all_but(parts, intact, is_continued=not changed)
    write_whole(plan_file, plan.encode())
    return tuple(notes)


def _remove_all_but(
    parts: StoredParts, intact: set[int], *, is_continued: bool
) -> None:
    """Remove what an earlier run has left in the folder, except its intact parts.

    What these need stays where the run ``is_continued``.
    """
    needed = {file for number, file in parts.found().items() if number in intact}
    for file in parts.folder.iterdir():
        is_needed = file.name == _LOCK or file in needed
        if is_needed or (is_continued and parts.is_content(file)):
            continue
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink()


@contextmanager
def writing_errors(target: Path) -> Iterator[None]:
    """Turn errors of the system and GDAL while writing into one line for the user."""
    try:
        yield
    except gdal_errors(OSError, SystemError) as error:
        other = f"cannot be written ({reason_of(error)}); is there room on the disk?"
        line = explain_os_error(
            target, error, full=", what is done is kept", other=other
        )
        raise PictureError(line) from error


@dataclass(frozen=True)
class StoredRows(StoredParts):
    """The rows of all pictures that an output is made of: its pages, and steps on the way."""

    ending: ClassVar[str] = ".mark"

    @property
    def stored_bytes(self) -> int:
        """Bytes on the disk that earlier runs have taken for pictures."""
        files = self.folder.glob(_PICTURE + "*")
        return sum(file.stat().st_size for file in files)

    def is_content(self, file: Path) -> bool:
        """Tell if a file holds the rows to which the marks belong."""
        return file.name.startswith(_PICTURE)


@dataclass
class PictureRows:
    """One picture, (H, W, C), of which finished parts are kept."""

    stored: StoredRows
    number: int
    """Of the picture, from 0, in the order in which an output needs them."""
    first_part: int
    """Number of its first part; those of the pictures before it are lower."""
    shape: tuple[int, int, int]
    dtype: DTypeLike
    unit_rows: int = 1
    """Parts hold multiples of so many rows, such as those of a frame."""
    array: Array = field(init=False)
    """Its pixels, in a file on the disk."""

    def __post_init__(self) -> None:
        """Open the file, and take its room on the disk."""
        path = self.stored.folder / f"{_PICTURE}{self.number:03}"
        size = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        with writing_errors(self.stored.target), open_own(path) as stream:
            if path.stat().st_size != size:
                stream.truncate(size)
            reserve(stream, size)
            memory = mmap.mmap(stream.fileno(), size)
        self.array = np.ndarray(self.shape, self.dtype, buffer=memory)

    @property
    def rows_of_part(self) -> int:
        """Rows of a part; the last one may have fewer."""
        _, width, _ = self.shape
        least = max(_LEAST_ROWS, -(-_LEAST_PIXELS // width))
        return -(-least // self.unit_rows) * self.unit_rows

    @property
    def part_count(self) -> int:
        """Number of parts."""
        return -(-self.shape[0] // self.rows_of_part)

    def missing(self) -> list[range]:
        """Return the runs of rows that no earlier run has finished.

        Rows that differ from what their mark says, as after a power cut, are missing.
        """
        marks = self.stored.found()
        runs: list[range] = []
        for part in range(self.part_count):
            rows = self._rows_of(part)
            mark = marks.get(self.first_part + part)
            if mark is not None and mark.read_bytes() == self._content_of_mark(rows):
                continue
            if runs and runs[-1].stop == rows.start:
                rows = range(runs.pop().start, rows.stop)
            runs.append(rows)
        return runs

    def write(self, run: range, top: int, rows: Array) -> None:
        """Write rows (h, W, C) from row ``top`` down, those outside the run left out.

        Rows come in order; a part gets its mark with its last row.
        """
        start = max(top, run.start)
        stop = min(top + len(rows), run.stop)
        if start >= stop:
            return
        self.array[start:stop] = rows[start - top : stop - top]
        height, *_ = self.shape
        for part in range(start // self.rows_of_part, -(-stop // self.rows_of_part)):
            part_rows = self._rows_of(part)
            if stop >= min(part_rows.stop, height):
                self._mark(part, part_rows)
        release(self.array)

    def _rows_of(self, part: int) -> range:
        start = part * self.rows_of_part
        return range(start, min(start + self.rows_of_part, self.shape[0]))

    def _mark(self, part: int, rows: range) -> None:
        """Say on the disk that a part is finished."""
        with writing_errors(self.stored.target):
            mark = self._content_of_mark(rows)
            self.stored.add(self.first_part + part, mark)

    def _content_of_mark(self, rows: range) -> bytes:
        """Return what the mark of some rows holds, if they are as they are now."""
        values = self.array[rows.start : rows.stop]
        content = checksum(values.data.cast("B"))
        release(self.array)
        return content.encode()
