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
    from collections.abc import Sequence

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
    """Files and folders found below a folder."""

    pictures: list[Path] = field(default_factory=list)
    """Sorted."""
    companions: set[str] = field(default_factory=set)
    """Paths of the pictures beside which another file begins with the same name."""
    others: list[Path] = field(default_factory=list)
    """Pictures of formats that srx does not read."""
    linked: list[Path] = field(default_factory=list)
    """Links to folders; they are not followed, as they may lead in circles."""
    products: list[Path] = field(default_factory=list)
    """Folders of Sentinel products, whose pictures belong together, and mosaics."""
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    """Folders that cannot be listed, each with the reason."""


def find_pictures(folder: Path, output: Path, *, recursive: bool) -> FolderContents:
    """Find the pictures of a folder.

    Hidden files and folders, special files (pipes, devices) and everything inside the output
    folder are left out.

    Args:
        folder: The folder to search.
        output: The output; a folder below ``folder`` holds results, not inputs.
        recursive: Search subfolders as well.
    """
    found = FolderContents()
    inside = None if same_file(output, folder) else real_path(output)
    waiting = [str(folder)]
    while waiting:
        place = waiting.pop()
        if inside is not None and _is_within(real_path(place), inside):
            continue
        try:
            with os.scandir(place) as entries:
                shown = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            found.unreadable.append((Path(place), f"cannot be looked into ({error.strerror})"))
            continue
        first = len(found.pictures)
        for entry in shown:
            if _is_folder(entry):
                if recursive and product_header(Path(entry.path)) is not None:
                    found.products.append(Path(entry.path))
                elif recursive and entry.is_symlink():
                    found.linked.append(Path(entry.path))
                elif recursive:
                    waiting.append(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in INDIRECT_SUFFIXES:  # noqa: PTH122
                found.products.append(Path(entry.path))
            elif not (inside and entry.is_symlink() and _is_within(real_path(entry.path), inside)):
                _add_file(entry, found)
        _find_companions(shown, found, first)
    found.pictures.sort(key=lambda path: path.parts)  # the order of paths, but fast
    found.linked.sort()
    found.products.sort()
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _add_file(entry: os.DirEntry[str], found: FolderContents) -> None:
    """Add a file by its suffix; no pipes and devices, as reading one would wait for ever."""
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - paths are slow to make
    kind = found.pictures if suffix in SUFFIXES else found.others
    if suffix in SUFFIXES or suffix in OTHER_PICTURES:
        try:
            # reading a link that leads nowhere gives the reason
            regular = entry.is_file() or (entry.is_symlink() and not os.path.exists(entry))  # noqa: PTH110
        except OSError:
            regular = True
        if regular:
            kind.append(Path(entry.path))


def _find_companions(shown: Sequence[os.DirEntry[str]], found: FolderContents, first: int) -> None:
    """Find the pictures of a folder beside which another file begins with the same name."""
    others = sorted(
        entry.name.lower()
        for entry in shown
        if os.path.splitext(entry.name)[1].lower() not in SUFFIXES  # noqa: PTH122 - as above
    )
    for picture in found.pictures[first:] if others else ():
        stem = picture.stem.lower()
        place = bisect_left(others, stem)
        if place < len(others) and others[place].startswith(stem):
            found.companions.add(str(picture))


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
    return path == folder or path.startswith(os.path.join(folder, ""))  # noqa: PTH118
