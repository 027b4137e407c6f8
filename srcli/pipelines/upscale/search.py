"""Search a folder for pictures, tell what is passed over, and compare paths."""

from __future__ import annotations

import os
import stat
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.imaging.files.formats import (
    INDIRECT_SUFFIXES,
    RASTER_SUFFIXES,
    READABLE_SUFFIXES,
    VIDEO_EXTRA,
    VIDEO_SUFFIXES,
    can_read_videos,
    is_video,
)
from srcli.imaging.rasters.dataset_names import name_of_folder, product_header
from srcli.input_files import open_input
from srcli.pipelines.upscale.reporter import Item, Reporter

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled

INPUT_SUFFIXES = (
    READABLE_SUFFIXES | VIDEO_SUFFIXES | RASTER_SUFFIXES - INDIRECT_SUFFIXES
) - {".ts", ".mod"}
"""Lower-case suffixes of the files that are upscaled."""
UNREADABLE_SUFFIXES = frozenset(
    """
    .psd .psb .xcf .kra .ai .eps .exr .pcx .pfm .qoi .ktx .ico .icns .cur
    .svg .svgz .emf .wmf .pdf .djvu .cb7 .cbt .jxr .wdp .fli .flc .dng .cr2 .cr3
    .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .rwl .3fr .iiq .x3f
    .insv .insp .pam
    .dcm .nii .ecw .sid .fits .fit .fts
    """.split()  # noqa: SIM905 - as a list it fills a page
)
"""Lower-case suffixes of pictures, films and rasters that a search of a folder passes
over, so that the user is told of them. ``.hdr`` and ``.raw`` are parts of rasters more
often."""
NAMED_ONLY_SUFFIXES = frozenset(
    """
    .ppm .pgm .pbm .pnm .asc .grd .dem .nc .h5 .hdf .gpkg .mbtiles .kmz .ts .mod .cbz .cbr
    """.split()  # noqa: SIM905 - as a list it fills a page
)
"""Suffixes of files that often hold no picture, or that become a file of their own as comic
books do: they are upscaled only where the user names the file."""
_KNOWN_SUFFIXES = (
    INPUT_SUFFIXES | INDIRECT_SUFFIXES | UNREADABLE_SUFFIXES | NAMED_ONLY_SUFFIXES
)


@dataclass(frozen=True)
class _Kind:
    """Signs by which rasters are told from other files of the same suffix."""

    heads: tuple[bytes, ...]
    """First bytes of a raster; none where one is known by the files beside it."""
    beside: tuple[str, ...] = ()
    """Suffixes of files that a raster of raw pixels has beside it."""


_HEAD = 64
"""Bytes by which such a file is told."""
_AMBIGUOUS = {
    ".img": _Kind(
        (
            b"EHFA_HEADER_TAG",
            b"PDS_VERSION",
            b"CCSD",
            b"NJPL",
            b"LBLSIZE",
            b"II",
            b"MM",
        ),
        (".hdr", ".lbl", ".xml", ".aux.xml", ".rrd"),
    ),  # ERDAS, planets, ENVI; else an image of a disk
    ".bag": _Kind((b"\x89HDF",)),  # a survey of a sea floor; else a recording of ROS
    ".pix": _Kind((b"PCIDSK",)),
    ".rst": _Kind((), (".rdc",)),  # IDRISI; else a text
    ".flt": _Kind((), (".hdr",)),  # a grid of floats; else a model of OpenFlight
    ".ers": _Kind((b"DatasetHeader",)),
    ".sdat": _Kind((), (".sgrd",)),  # of SAGA
    ".ntf": _Kind((b"NITF", b"NSIF")),  # else lines of the British survey
}
_FOLDERS_OF_PROGRAMS = (
    "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information",
    "*.photoslibrary", "*.photolibrary", "*.aplibrary", "*.lrdata",
)  # fmt: skip
"""Lower-case names of folders in which other programs keep thumbnails and what was
deleted."""


class FolderSearch:
    """A search of a folder for pictures, in the order of names.

    Left out are hidden files and folders, special files (pipes, devices), everything
    inside the output folder, earlier results, links to folders, which may lead in
    circles, mosaics, Sentinel products, whose pictures belong together, folders of
    other programs, and what the options exclude.
    """

    def __init__(
        self, folder: Path, output: Path, options: Settled, reporter: Reporter
    ) -> None:
        self.folder = folder
        self.output = output
        self.options = options
        self.reporter = reporter
        self._message = reporter.note
        self._output_folder = real_path(output)
        if is_within(real_path(folder), self._output_folder):
            self._output_folder = "\0"  # is no path, so that nothing lies in it
        self._result_count = 0
        self._excluded_count = 0
        self._unreadable = Counter[str]()
        self._named_only = Counter[str]()
        self._program_folders = Counter[str]()

    def pictures(self) -> Iterator[tuple[Path, Path]]:
        """Yield the pictures, each with the folder of its output; then tell what was left out."""
        suffix = self.options.suffix
        for parent, folders, files in os.walk(self.folder, onerror=self._cannot_enter):
            names = sorted(folders)
            folders.clear()
            for name in names:
                if self.options.recursive and self._is_searched(Path(parent, name)):
                    folders.append(name)
            target = self.output / Path(parent).relative_to(self.folder)
            has_results = suffix and real_path(target) == real_path(parent)
            for name in sorted(files):
                file = Path(parent, name)
                if name[0] == "." or not self._is_picture(file):
                    continue
                if has_results and file.stem.endswith(suffix):
                    self._result_count += 1
                else:
                    yield file, target
        self._tell_what_is_left_out()

    def _cannot_enter(self, error: OSError) -> None:
        reason = f"{error.filename}: cannot be looked into ({error.strerror})"
        item = Item(source=Path(error.filename), target=self.output, format="")
        self.reporter.fail(item, reason)

    def _is_searched(self, path: Path) -> bool:
        """Return True for a subfolder to search; count or tell of one that is left out."""
        if path.name[0] == "." or is_within(real_path(path), self._output_folder):
            return False
        if any(fnmatch(path.name.lower(), glob) for glob in _FOLDERS_OF_PROGRAMS):
            self._program_folders[path.name] += 1
            return False
        if os.path.islink(path):  # noqa: PTH114 - there may be very many
            self._message(f"{path}: a link to a folder, not followed")
            return False
        if product_header(path) is not None:
            self._message(f"{path}: a Sentinel product, left out; name it itself")
            return False
        if name_of_folder(path):
            self._message(
                f"{path}: a raster that is a folder, left out; name it itself"
            )
            return False
        return not self._is_excluded(path)

    def _is_picture(self, file: Path) -> bool:
        """Return True for a file to upscale; count or tell of a picture that is left out."""
        ending = file.suffix.lower()
        if ending not in _KNOWN_SUFFIXES or self._is_excluded(file):
            return False
        if ending in INDIRECT_SUFFIXES:
            self._message(f"{file}: made of other files, left out; name it itself")
            return False
        is_unread = is_video(file) and not can_read_videos()
        is_unread |= ending in VIDEO_SUFFIXES and not is_video(file)  # it is a text
        if ending in UNREADABLE_SUFFIXES or is_unread or _is_no_raster(file):
            self._unreadable[ending] += 1
            self.reporter.report_left_out(file, "no picture that srx reads")
            return False
        if ending in NAMED_ONLY_SUFFIXES:
            self._named_only[ending] += 1
            self.reporter.report_left_out(file, "read only where it is named itself")
            return False
        return _is_readable(file, self._output_folder)

    def _is_excluded(self, path: Path) -> bool:
        """Return True for what ``--exclude`` leaves out, and count it."""
        for glob in self.options.exclude:
            below = path.relative_to(self.folder).as_posix()
            if fnmatch(path.name, glob) or fnmatch(below, glob):
                self._excluded_count += 1
                return True
        return False

    def _tell_what_is_left_out(self) -> None:
        if self._result_count:
            self._message(
                f"{self._result_count} pictures whose names end in "
                f"{self.options.suffix!r} left out as results"
            )
        if self._excluded_count:
            self._message(
                f"{self._excluded_count} files and folders left out by --exclude"
            )
        if self._program_folders:
            self._message(
                "folders of other programs left out "
                f"({', '.join(sorted(self._program_folders))}); name one itself"
            )
        if self._unreadable:
            hint = ""
            if VIDEO_SUFFIXES & self._unreadable.keys() and not can_read_videos():
                hint = f"; {VIDEO_EXTRA} reads videos"
            counts = _list_counts(self._unreadable)
            self._message(f"files that srx does not read: {counts}{hint}")
        if self._named_only:
            self._message(
                f"files that are read only where named: {_list_counts(self._named_only)}"
            )


def _is_no_raster(file: Path) -> bool:
    """Tell if a file only has the suffix of a raster: a disk's ``.img``, a README.rst ..."""
    kind = _AMBIGUOUS.get(file.suffix.lower())
    if kind is None:
        return False
    for suffix in kind.beside:
        for name in (file.with_suffix(suffix), Path(f"{file}{suffix}")):
            if name.is_file() or name.with_suffix(suffix.upper()).is_file():
                return False
    with suppress(OSError), open_input(file) as stream:
        head = stream.read(_HEAD)
        return bool(head) and not head.startswith(kind.heads)
    return False  # reading it gives the reason


def _list_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {ending}" for ending, number in counts.most_common())


def _is_readable(path: Path, output_folder: str) -> bool:
    """Return True for a regular file that does not lead into the output folder.

    Also for a link that leads nowhere: reading it gives the reason. Reading a pipe would
    wait for ever.
    """
    with suppress(OSError):
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - there may be very many
            return False
    # os.path says no where pathlib raises: in folders without permission, for names too
    # long
    return not (os.path.islink(path) and is_within(real_path(path), output_folder))  # noqa: PTH114


def forget_real_folders() -> None:
    """Clear the cache of ``real_path``: links may have changed since the last run."""
    _real_folder.cache_clear()


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def real_path(path: Path | str) -> str:
    """Return a path without links, spelled in one way if the system ignores case or accents.

    macOS and Windows do not tell a.png from A.png, and macOS not the ways to write an
    accent; ß and ss are one name on macOS alone. A link that leads in a circle stays as
    it is.
    """
    # one look at the file, as there may be very many
    folder, name = os.path.split(path)
    if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114
        real = os.path.realpath(path)
    else:
        real = os.path.join(_real_folder(folder), name)  # noqa: PTH118
    if sys.platform == "darwin":
        return unicodedata.normalize("NFD", real).casefold()
    if sys.platform == "win32":
        return real.lower()
    return real


def is_within(path: str, folder: str) -> bool:
    """Return True if a real path is that of a folder, or of something in it."""
    return path == folder or path.startswith(os.path.join(folder, ""))  # noqa: PTH118
