"""Find the pictures of a folder."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from srcli.imaging.formats import READABLE_SUFFIXES
from srcli.imaging.rasters.opening import RASTER_SUFFIXES

SUFFIXES = READABLE_SUFFIXES | RASTER_SUFFIXES
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
    others: list[Path] = field(default_factory=list)
    """Pictures of formats that srx does not read."""
    linked: list[Path] = field(default_factory=list)
    """Links to folders; they are not followed, as they may lead in circles."""
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

    def note(error: OSError) -> None:
        place = Path(error.filename or folder)
        found.unreadable.append((place, f"cannot be looked into ({error.strerror})"))

    for name, subfolders, files in os.walk(folder, onerror=note):
        here = Path(name)
        shown = [sub for sub in subfolders if not sub.startswith(".")]
        if recursive:
            found.linked += [here / sub for sub in shown if (here / sub).is_symlink()]
        subfolders[:] = shown if recursive else []
        for path in (here / file for file in files if not file.startswith(".")):
            suffix = path.suffix.lower()
            if suffix not in SUFFIXES | OTHER_PICTURES or not _is_regular(path):
                continue
            if inside is None or not real_path(path).is_relative_to(inside):
                (found.pictures if suffix in SUFFIXES else found.others).append(path)
    found.pictures.sort()
    found.linked.sort()
    return found


def real_path(path: Path) -> Path:
    """Return the path without links; a link that leads in a circle stays as it is."""
    return Path(os.path.realpath(path))


def same_file(first: Path, second: Path) -> bool:
    """Return True if two paths name the same file or folder."""
    return real_path(first) == real_path(second)


def _is_regular(path: Path) -> bool:
    """Return False for pipes and devices: reading one would wait for ever."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True  # reading it gives the reason
