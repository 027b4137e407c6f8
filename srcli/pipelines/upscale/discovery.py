"""Find the pictures of a folder."""

from __future__ import annotations

import os
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.imaging.formats import READABLE_SUFFIXES
from srcli.imaging.rasters.opening import INDIRECT_SUFFIXES, RASTER_SUFFIXES, product_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SUFFIXES = READABLE_SUFFIXES | RASTER_SUFFIXES - INDIRECT_SUFFIXES
"""Lower-case suffixes of the files that are upscaled."""
OTHER_PICTURES = frozenset(
    {
        ".psd", ".xcf", ".exr", ".tga", ".pcx", ".ppm", ".pgm", ".pbm",
        ".pnm", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw",
    }
)  # fmt: skip
"""Lower-case suffixes of pictures that srx does not read, so that the user is told of them.
``.hdr`` and ``.raw`` are parts of rasters more often."""


@dataclass(kw_only=True)
class FolderContents:
    """What was found below a folder."""

    pictures: list[tuple[Path, bool]] = field(default_factory=list)
    """Sorted, each with True if another file beside it begins with the same name."""
    others: list[Path] = field(default_factory=list)
    """Pictures of formats that srx does not read."""
    notes: list[str] = field(default_factory=list)
    """For the user, on what is left out: links to folders, which may lead in circles, mosaics, and
    Sentinel products, whose pictures belong together."""
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    """Folders that cannot be listed, each with the reason."""


def find_pictures(folder: Path, output: Path, *, recursive: bool) -> FolderContents:
    """Find the pictures of a folder.

    Hidden files and folders, special files (pipes, devices) and everything inside the output
    folder are left out.
    """
    found = FolderContents()
    inside = None if same_file(output, folder) else real_path(output)
    waiting = [str(folder)]
    while waiting:
        place = waiting.pop()
        if inside is not None and _is_within(place, inside):
            continue
        try:
            with os.scandir(place) as entries:
                shown = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            found.unreadable.append((Path(place), f"cannot be looked into ({error.strerror})"))
            continue
        _sort_files(shown, inside, found)
        if recursive:
            waiting += _sort_folders(filter(_is_folder, shown), found)
    found.pictures.sort(key=lambda one: one[0].parts)  # the order of paths, but fast
    found.notes.sort()
    return found


def _sort_folders(folders: Iterable[os.DirEntry[str]], found: FolderContents) -> Iterator[str]:
    """Yield the folders that are searched; note the others."""
    for entry in folders:
        if product_header(Path(entry.path)) is not None:
            found.notes.append(f"{entry.path}: a Sentinel product, left out; name it itself")
        elif entry.is_symlink():
            found.notes.append(f"{entry.path}: a link to a folder, not followed")
        else:
            yield entry.path


def _sort_files(
    shown: Sequence[os.DirEntry[str]], inside: str | None, found: FolderContents
) -> None:
    """Add the pictures of one folder, but links to results."""
    # other files of the folder, by the begin of their names
    others = sorted(entry.name.lower() for entry in shown if _suffix(entry) not in SUFFIXES)
    for entry in shown:
        suffix = _suffix(entry)
        if suffix in INDIRECT_SUFFIXES and not _is_folder(entry):
            found.notes.append(f"{entry.path}: made of other files, left out; name it itself")
        if suffix not in SUFFIXES | OTHER_PICTURES or not _is_file(entry):
            continue
        if inside and entry.is_symlink() and _is_within(entry.path, inside):
            continue
        path = Path(entry.path)
        if suffix in SUFFIXES:
            stem = path.stem.lower()
            nearest = bisect_left(others, stem)
            companion = nearest < len(others) and others[nearest].startswith(stem)
            found.pictures.append((path, companion))
        else:
            found.others.append(path)


def _suffix(entry: os.DirEntry[str]) -> str:
    return os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - paths are slow to make


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return False for pipes and devices, as reading one would wait for ever."""
    try:
        # reading a link that leads nowhere gives the reason
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry))  # noqa: PTH110
    except OSError:
        return True


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def forget_paths() -> None:
    """Look all paths up again in ``real_path``, which remembers where they lead."""
    _real_folder.cache_clear()
    _real_path.cache_clear()


def real_path(path: Path | str) -> str:
    """Return the path without links; a link that leads in a circle stays as it is."""
    return _real_path(os.fspath(path))


@cache
def _real_path(path: str) -> str:
    folder, name = os.path.split(path)  # one look at the file, as there may be very many
    if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114
        return os.path.realpath(path)
    return os.path.join(_real_folder(folder), name)  # noqa: PTH118


def same_file(first: Path, second: Path) -> bool:
    """Return True if two paths name the same file or folder."""
    return real_path(first) == real_path(second)


def _is_within(path: str, folder: str) -> bool:
    real = real_path(path)
    return real == folder or real.startswith(os.path.join(folder, ""))  # noqa: PTH118
