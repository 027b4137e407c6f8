"""What rasterio and GDAL need and raise: names in UTF-8, their errors in words.

They take no other names. Linux has names of any bytes, and old archives and drives hold
Latin-1. A private folder gets links to such files and folders, under names that are
readable too; it goes when the process ends.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import RLock

_LOCK = RLock()
_real_names: dict[str, str] = {}
"""Real names of folders by those of the links to them."""
_LONGEST_NAME = 255


def is_utf8(name: str) -> bool:
    """Tell if a name can be handed to libraries that take UTF-8 alone."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable_name(name: str) -> str:
    """Return a name with the bytes that are no UTF-8 as ``%fc``."""
    text = ""
    for character in name:
        if "\udc80" <= character <= "\udcff":  # a lone surrogate stands for it
            character = f"%{ord(character) - 0xDC00:02x}"
        text += character
    if len(text.encode()) > _LONGEST_NAME:
        return text[-_LONGEST_NAME // 4 :]
    return text


def alias_of_folder(folder: Path) -> Path:
    """Return the folder itself, or a link to it that has a name in UTF-8."""
    absolute = folder.absolute()
    if is_utf8(str(absolute)):
        return folder
    return _alias_folder(str(absolute), is_link=True)


def alias_of_file(path: Path) -> Path:
    """Return the file itself, or a link to it that has a name in UTF-8.

    Files beside it that have the same stem, such as masks and world files, and sources
    beside a mosaic, are found beside the link.
    """
    absolute = path.absolute()
    if is_utf8(str(absolute)):
        return path
    if is_utf8(absolute.name):
        return alias_of_folder(absolute.parent) / absolute.name
    with _LOCK:
        mirror = _alias_folder(str(absolute.parent), is_link=False)
        is_mosaic = path.suffix.lower() == ".vrt"
        names = [absolute.name]
        with suppress(OSError):
            names += [
                name
                for name in os.listdir(absolute.parent)  # noqa: PTH208 - there may be very many
                if is_mosaic or name.startswith(f"{absolute.stem}.")
            ]
        for name in names:
            with suppress(FileExistsError):
                (mirror / readable_name(name)).symlink_to(absolute.parent / name)
    return mirror / readable_name(absolute.name)


def real_name(name: str) -> str:
    """Return the real name of what a link made here points to; other names stay."""
    for alias, real in _real_names.items():
        if name.startswith(alias + os.sep):
            below = name[len(alias) :]
            with suppress(OSError):  # a link to a file with a name of its own
                return os.readlink(name)  # noqa: PTH115
            return real + below
    return name


@cache
def _folder_of_links() -> Path:
    folder = tempfile.mkdtemp(prefix="srx-names-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def _alias_folder(real: str, *, is_link: bool) -> Path:
    """Make a link to a folder, or a folder for links to its files, which have other names."""
    with _LOCK:
        alias = _folder_of_links() / f"{len(_real_names)}"
        if is_link:
            alias.symlink_to(real)
        else:
            alias.mkdir()
        _real_names[str(alias)] = real
    return alias


_LONGEST_MESSAGE = 300


def gdal_errors(*further: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the errors of rasterio, those of GDAL that it passes on, and further ones."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    return RasterioError, CPLE_BaseError, *further


def reason_of(error: BaseException) -> str:
    """Return GDAL's first message on one line; rasterio wraps it into errors of its own."""
    return innermost_text(error)[:200]


def innermost_text(error: BaseException) -> str:
    """Return the message of the error at the root of others, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, UnicodeDecodeError):
        # of GDAL's message, or of a text of the file
        if len(error.object) > _LONGEST_MESSAGE:
            return "text in it is not UTF-8"
        return " ".join(error.object.decode(errors="backslashreplace").split())
    return " ".join(str(error).split()) or type(error).__name__
