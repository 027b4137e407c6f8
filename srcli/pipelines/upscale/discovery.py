"""Pictures in folders: which files a walk picks up, and which folders it could not look into."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.imaging.formats import READABLE_SUFFIXES
from srcli.imaging.rasters.detection import RASTER_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIXES = READABLE_SUFFIXES | RASTER_SUFFIXES
"""Lower-case suffixes that are picked up."""
OTHER_PICTURES = frozenset(
    {
        ".heic", ".heif", ".jxl", ".psd", ".xcf", ".exr", ".tga", ".pcx", ".ppm", ".pgm", ".pbm",
        ".pnm", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw",
    }
)  # fmt: skip
"""Lower-case suffixes of pictures that are not: whoever upscales a folder may think they were.
``.hdr`` and ``.raw`` are parts of rasters more often."""


@dataclass(kw_only=True)
class Found:
    """What a walk over a folder came to."""

    pictures: list[Path] = field(default_factory=list)
    """Sorted."""
    others: list[Path] = field(default_factory=list)
    """Pictures of other formats, which are left alone."""
    linked: list[Path] = field(default_factory=list)
    """Links to folders, which are not followed: they may lead in circles."""
    closed: list[tuple[Path, str]] = field(default_factory=list)
    """Folders that cannot be looked into, and why."""


def walk_pictures(folder: Path, output: Path, *, recursive: bool) -> Found:
    """Look for pictures in a folder.

    Left out are hidden files and folders, whatever is no regular file, and the output folder where
    it lies inside: it holds results, not inputs.

    Args:
        folder: Where to look.
        output: Where results go.
        recursive: Look into its subfolders as well.
    """
    found = Found()
    inside = None if same_file(output, folder) else real_path(output)

    def note(error: OSError) -> None:
        place = Path(error.filename or folder)
        found.closed.append((place, f"cannot be looked into ({error.strerror})"))

    for name, subfolders, files in os.walk(folder, onerror=note):
        here = Path(name)
        shown = [sub for sub in subfolders if not sub.startswith(".")]
        if recursive:
            found.linked += [here / sub for sub in shown if (here / sub).is_symlink()]
        subfolders[:] = shown if recursive else []
        found.pictures += _files(here, files, SUFFIXES, inside)
        found.others += _files(here, files, OTHER_PICTURES, inside)
    found.pictures.sort()
    found.linked.sort()
    return found


def real_path(path: Path) -> Path:
    """The path without links; a link that leads in a circle stays as it is."""
    return Path(os.path.realpath(path))


def same_file(first: Path, second: Path) -> bool:
    """Whether two paths mean the same place."""
    return real_path(first) == real_path(second)


def _files(
    folder: Path, names: Iterable[str], suffixes: frozenset[str], inside: Path | None
) -> list[Path]:
    paths = [folder / name for name in names if not name.startswith(".")]
    return [
        path
        for path in paths
        if path.suffix.lower() in suffixes
        and _is_regular(path)
        and not (inside is not None and real_path(path).is_relative_to(inside))
    ]


def _is_regular(path: Path) -> bool:
    """Whether a file can be read to its end; waiting on a pipe would hang."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True  # the one who reads it says what is wrong
