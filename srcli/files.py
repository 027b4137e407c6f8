"""Files: read whole, written whole or not at all, locked; disks, and their errors in words."""

from __future__ import annotations

import errno
import filecmp
import json
import logging
import os
import platform
import re
import shutil
import stat
import sys
import time
import tomllib
import zlib
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from io import BufferedReader
from itertools import chain
from pathlib import Path
from tempfile import gettempdir
from typing import IO, Any

from srcli.errors import DataError, PictureError
from srcli.supervision import Event, announce

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

EMPTY = "the file is empty (0 bytes); copy it again"


def open_input(path: Path) -> BufferedReader:
    """Open a file for reading, but no pipe or device: reading one may never end."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):  # Windows would say that permission is denied
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(
            errno.ENOTSUP, "a pipe or a device: copy it to a file first", str(path)
        )
    return path.open("rb")


def file_state(path: Path | str) -> tuple[int, int] | None:
    """Return bytes, and nanoseconds of the last change, of a file; None without it."""
    with suppress(OSError):
        state = os.stat(path)  # noqa: PTH116 - there may be very many
        return state.st_size, state.st_mtime_ns
    return None


def read_input(path: Path) -> bytes:
    """Read a file; see ``open_input``."""
    with open_input(path) as stream:
        return stream.read()


def hold_same_bytes(path: Path, other: Path) -> bool:
    """Tell if two files hold the same bytes; False if one of them is not there."""
    with suppress(OSError):
        return filecmp.cmp(path, other, shallow=False)
    return False


def parse_text(text: str, parse: Callable[[str], Any] = json.loads) -> Any:  # noqa: ANN401
    """Parse JSON or TOML; nesting that Python's parsers give up on is a ``ValueError``, too."""
    try:
        return parse(text)
    except RecursionError:
        raise ValueError("its tables are nested too deeply") from None


def shipped_text(name: str, package: str = "srcli.recipes") -> str:
    """Return the text of a file of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


@cache
def format_table() -> dict[str, Any]:
    """Return the table of file formats as it stands."""
    return tomllib.loads(shipped_text("formats.toml", "srcli.imaging.files"))


@cache
def written_pictures() -> dict[str, list[str]]:
    """Return the suffixes of the formats in which photographs are written, by name."""
    pictures = {}
    for name, form in format_table()["format"].items():
        if not form.keys() & {"video", "map_tiles"}:
            pictures[name] = form["suffixes"]
    return pictures


@cache
def picture_suffixes() -> frozenset[str]:
    """Return the suffixes of photographs, in lower case with the dot."""
    read_only = format_table()["read_only"].values()
    return frozenset(chain(*read_only, *written_pictures().values()))


def checksum(*pieces: bytes | memoryview) -> str:
    """Return the CRC-32 of bytes, in one piece or several, in eight hexadecimal digits."""
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return f"{crc:08x}"


_LOCKED = PermissionError if sys.platform == "win32" else BlockingIOError
_NO_LOCKS = frozenset({errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL})
"""Errors of file systems that do not support locks."""


_TEMPORARY = re.compile(r"\.srx-([0-9a-f]{8})-[0-9a-f]{16}\.part")


@dataclass(frozen=True)
class FileAttributes:
    """Access rights and times that an output takes over from its input."""

    mode: int = 0o666
    """Rights to read and write, of which the umask leaves what new files get."""
    times: tuple[int, int] | None = None
    """Of access and modification, in nanoseconds; None for the present."""

    def apply(self, path: Path) -> None:
        """Take rights away from a new file, and set its times, where the system allows that.

        Shares (SMB, NFS) and disks of other systems (FAT) may refuse it: one warning.
        """
        state = path.stat()
        mode = state.st_mode & (~0o666 | self.mode)
        if mode != state.st_mode:
            with _warning_once("access rights", path):
                path.chmod(mode)
        if self.times is not None:
            with _warning_once("dates", path):
                os.utime(path, ns=self.times)


_refused: set[tuple[str, int]] = set()
"""Attributes that could not be set, with the numbers of the disks, as warnings have told."""


@contextmanager
def _warning_once(what: str, path: Path) -> Iterator[None]:
    """Turn an error in the block into a warning, one for each kind of attribute and disk."""
    try:
        yield
    except OSError as error:
        refusal = what, path.stat().st_dev
        if refusal not in _refused:
            _refused.add(refusal)
            logging.getLogger(__name__).warning(
                "warning: the file system of the output takes over no %s of inputs (%s); "
                "outputs have those of new files",
                what,
                error.strerror,
            )


NEW_FILE = FileAttributes()
"""Attributes of files that depend on no other."""


def attributes_for(
    target: Path, source: Path, *, dates: bool = False
) -> FileAttributes:
    """Return the attributes of an output: nobody may read it who may not read the input.

    Rights of an older output are not widened either. ``dates``: take over the input's
    times; those in the future always, or the output would be older than its input
    whenever it is made.
    """
    mode = 0o666
    times = None
    for path in (target, source):
        with suppress(OSError):
            state = path.stat()
            mode &= state.st_mode | 0o600  # the owner keeps a file that can be replaced
            dates = dates or state.st_mtime_ns > time.time_ns()
            if dates and path is source and state.st_mtime_ns:  # 0 is that of no file
                times = state.st_atime_ns, state.st_mtime_ns
    return FileAttributes(mode, times)


@contextmanager
def replacing(
    path: Path, attributes: FileAttributes = NEW_FILE, *, is_synchronised: bool = True
) -> Iterator[IO[bytes]]:
    """Yield a new file with a hidden name; it takes the final name when it is on the disk.

    If the block fails, the new file is removed and a former file stays as it was. What
    processes that were killed have left in this folder, which must exist, is removed
    first. One that is not ``is_synchronised`` may be damaged by a power cut, but takes
    no time for the disk.
    """
    _remove_abandoned(path.parent)
    part, stream = make_part(path.parent, attributes.mode)
    try:
        with stream:
            yield stream
            stream.flush()
            if is_synchronised:
                os.fsync(stream.fileno())
            # while it is locked, so that no process removes it
            if sys.platform != "win32":
                _finish(part, path, attributes)
        # where open files cannot be renamed, and closing sets their time
        if sys.platform == "win32":
            _finish(part, path, attributes)
    finally:
        part.unlink(missing_ok=True)
        announce(Event.REMOVE, str(part))


def _finish(part: Path, path: Path, attributes: FileAttributes) -> None:
    """Set rights and times of a complete file and give it its final name."""
    attributes.apply(part)
    move_into_place(part, path)


def move_into_place(part: Path, path: Path) -> None:
    """Give a file its final name; on Windows, scanners for viruses may hold it for a moment."""
    until = time.monotonic() + (sys.platform == "win32")
    while True:
        try:
            part.replace(path)
            return
        except PermissionError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.05)


def synchronise(path: Path) -> None:
    """Wait until a closed file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def make_part(folder: Path, mode: int = 0o600) -> tuple[Path, IO[bytes]]:
    """Make a temporary file and lock it; an existing file or link is never opened.

    It is removed by who makes it, or else by the next process that replaces a file in
    the folder.
    """
    opener = partial(os.open, mode=mode)
    while True:
        part = folder / f".srx-{machine_id()}-{os.urandom(8).hex()}.part"
        stream = open(part, "x+b", opener=opener)  # noqa: SIM115 - pathlib takes no mode
        # another process may take it for abandoned before it is locked
        if lock_stream(part, stream) is not False:
            announce(Event.MAKE, str(part))
            return part, stream
        stream.close()


@cache
def machine_id() -> str:
    """Name this machine since its start; its processes see each other's locks."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        name = platform.node().encode()
    return f"{zlib.crc32(name):08x}"


@cache
def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files of processes that have ended here; once for each folder and process.

    Locks of other machines may not be visible, on network file systems.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = _TEMPORARY.fullmatch(entry.name)
            is_ours = name is not None and name[1] == machine_id()
            if is_ours and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_unlocked(Path(entry.path))


def _remove_unlocked(part: Path) -> None:
    """Remove a temporary file that no process has locked, or has open on Windows."""
    if sys.platform == "win32":
        part.unlink()
        return
    with part.open("r+b") as stream:
        if lock_stream(part, stream):
            part.unlink()


def write_whole(
    path: Path, content: bytes | memoryview, attributes: FileAttributes = NEW_FILE
) -> None:
    """Write a file so that a crash, a full disk or a power cut leaves the former one as it was."""
    with replacing(path, attributes) as file:
        file.write(content)


def lock_stream(path: Path, stream: IO[bytes]) -> bool | None:
    """Lock an open file for this process until it is closed; False if another process has it.

    False comes as well if another process has renamed or removed it. The system
    releases the lock however the process ends, ``kill -9`` included. None is the answer
    where there are no locks: on some network file systems.
    """
    locked: bool | None = None
    try:
        if sys.platform == "win32":
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = True
    except _LOCKED:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        if not os.path.samestat(os.fstat(stream.fileno()), path.stat()):
            return False
    except OSError:
        return False
    return locked


@contextmanager
def lock_file(path: Path) -> Iterator[bool]:
    """Lock a file, which is made if missing, until the block ends; see ``lock_stream``.

    Yield False if another process holds the lock. A file that was left behind is not
    locked. The holder may remove the file: a process that opened it before does not get
    the lock. Folders that are made for it are removed at the end if they are empty
    then.
    """
    new_folders = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("ab")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        with stream:
            yield lock_stream(path, stream) is not False
    finally:
        with suppress(OSError):  # of the first that is not empty, or in use
            # where it could not be removed while it was open
            if sys.platform == "win32":
                path.unlink()
                new_folders = new_folders or [path.parent]
            for folder in new_folders:
                folder.rmdir()


# What other programs have put beside a file that had the same name: GDAL would take it
# for a part of the new one, smaller copies of the old picture included.
_STALE = (".aux.xml", ".ovr", ".msk")
_LONGEST_NAME = 255  # bytes, on nearly every file system
_LONGEST_HIDDEN = _LONGEST_NAME - max(map(len, _STALE))  # which GDAL appends


def hidden_name(target: Path, tail: str) -> Path:
    """Return the hidden name, beside a file, of something that belongs to it; tail: ``".part"``."""
    name = os.fsencode(target.name)
    if len(name) + len(tail) + 1 > _LONGEST_HIDDEN:
        # different long names that begin alike stay different
        tail = f"~{zlib.crc32(name):08x}{tail}"
        name = name[: _LONGEST_HIDDEN - len(tail) - 1]
        return target.with_name("." + name.decode("utf-8", "ignore") + tail)
    return target.with_name("." + target.name + tail)


def remove_stale(target: Path, keep: Container[str] = ()) -> None:
    """Remove sidecars of an earlier file of the same name, but those named in ``keep``."""
    for suffix in _STALE:
        name = target.name + suffix
        # a longer name than there can be is none's
        if name not in keep and len(os.fsencode(name)) <= _LONGEST_NAME:
            target.with_name(name).unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an indented JSON file atomically, with its folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(dict(content), indent=2) + "\n").encode())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


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
