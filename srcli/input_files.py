"""Files of users, read: no pipes, no endless nesting; their state and checksum."""

from __future__ import annotations

import errno
import filecmp
import json
import os
import stat
import tomllib
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import resources
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any


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
def picture_suffixes() -> frozenset[str]:
    """Return the suffixes of photographs, in lower case with the dot."""
    table = format_table()
    suffixes = [*table["read_only"].values()]
    for form in table["format"].values():
        if not form.keys() & {"video", "map_tiles"}:
            suffixes.append(form["suffixes"])
    return frozenset(chain(*suffixes))


def checksum(*pieces: bytes | memoryview) -> str:
    """Return the CRC-32 of bytes, in one piece or several, in eight hexadecimal digits."""
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return f"{crc:08x}"
