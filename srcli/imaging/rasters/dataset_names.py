"""Names that GDAL opens and that are no paths: in archives, in containers, on the network."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from srcli.imaging.rasters.names import NAMES, TABLES

if sys.platform == "win32":
    from pathlib import WindowsPath as PlatformPath
else:
    from pathlib import PosixPath as PlatformPath

NETWORK_DRIVERS = NAMES["network_drivers"]
"""GDAL's drivers that read from the network."""
_PART_OF_FILE = re.compile(r"/vsisubfile/(\d+)_\d+,")
"""Beginning of GDAL's names of files inside of others, by first byte and length."""
IN_ARCHIVE = re.compile(
    rf"(?:/vsi(?:zip|tar|gzip|7z|rar)/|{_PART_OF_FILE.pattern}|\{{)+"
)
"""Beginning of GDAL's names of files in archives and in other files."""
_REMOTE = re.compile(
    r"/vsi(curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs)"
    # an HDF5 file's own paths follow "://": HDF5:"a.h5"://group/band
    r"|(?<![\w.])(?!(?:zip|tar|gzip|file|vrt)://)[\w+]+://"
    rf"|^({'|'.join(NETWORK_DRIVERS)}):",
    re.IGNORECASE,
)
_SCHEMES: dict[str, str] = TABLES["schemes"]
"""GDAL's prefix for each scheme of a URI."""
_ZARR_FILES = (".zgroup", ".zarray", "zarr.json")
_GRID_HEADER = "hdr.adf"
_VIEW = "vrt://"
"""Beginning of GDAL's names of changed views: ``vrt://a.tif?bands=3,2,1``."""
_DRIVER = re.compile(r"([A-Za-z]\w+):(?!//)(.*)", re.DOTALL)


class DatasetName(PlatformPath):
    """A name that GDAL opens and that is not the path of a file, such as ``NETCDF:"a.nc":band``.

    It keeps its text, in which every slash counts. ``stem`` and ``suffix`` are those of
    outputs.
    """

    text: str = ""
    gdal: str = ""
    """The name by which GDAL opens it."""
    container: Path | None = None
    """The file on disk that holds it; None on the network."""
    stem: str = ""
    """``a_band`` for ``NETCDF:"a.nc":band``, ``b`` for ``/vsizip/a.zip/b.tif``.

    ``a_200`` for ``/vsisubfile/200_4096,a.tortilla``, a sample of a data set.
    """
    suffix: str = ""
    """That of a file in an archive or on the network; empty for one of many rasters."""

    def __init__(self, text: str) -> None:
        """Parse a name."""
        if sys.version_info >= (3, 12):
            super().__init__(text)
        self.text = text
        self.gdal = _without_scheme(text)
        file, raster = _split(self.gdal)
        self.container = _local_file(file)
        path = Path(re.sub(r"[{}]|\?.*|\.gz$", "", file))
        # parts of a Sentinel product are named like it
        for folder in path.parents:
            if folder.suffix.upper() == ".SAFE":
                path = folder
                break
        if path.name.lower() == _GRID_HEADER:
            path = path.parent
        self.stem = "_".join((path.stem, *re.findall(r"\w+", raster)))
        self.suffix = "" if raster else path.suffix

    def __str__(self) -> str:
        """Return the text as it was given."""
        return self.text or super().__str__()

    def __reduce__(self) -> tuple[type[DatasetName], tuple[str]]:
        """Keep the text on the way to another process."""
        return type(self), (self.text,)

    def with_segments(self, *parts: str | os.PathLike[str]) -> Path:
        """Return a path derived from it, such as its parent, as an ordinary one."""
        return Path(*parts)


def as_input(source: str | Path) -> Path:
    """Return what a user names as an input: a path, or a ``DatasetName`` if it is no path."""
    if isinstance(source, DatasetName):
        return source
    text = str(source)
    path = Path(source)
    if name_of_raster := name_of_folder(path):
        return DatasetName(name_of_raster)
    if os.path.lexists(text) or "\0" in text:
        return path
    if isinstance(source, Path):  # which has lost a slash of its URL
        text = re.sub(r"(?<!\w)(https?|ftp|s3|gs|az|oss):/+", r"\1://", text)
    if re.match(r"/vsi\w+/|[A-Za-z][\w+]+:", text) is None:
        return path
    name = DatasetName(text)
    if text == name.gdal or name.gdal.startswith("/vsi"):
        return name
    return Path(name.gdal)


def file_on_disk(source: str | Path) -> Path:
    """Return the file that an input is read from: of what is in an archive, the archive."""
    path = as_input(source)
    if isinstance(path, DatasetName):
        return path.container or path
    return path


def is_remote(name: str) -> bool:
    """Return True for URLs and GDAL's names of rasters on the network."""
    return _REMOTE.search(name) is not None


def for_shell(names: Sequence[str]) -> str:
    """Return names on one line, quoted so that each can be pasted into a shell."""
    ending = ""
    if len(names) > 30:
        ending = f" ... ({len(names) - 30} more)"
    quote = shlex.join if os.name != "nt" else subprocess.list2cmdline
    return quote(names[:30]) + ending


def product_header(folder: Path) -> Path | None:
    """Return the file by which GDAL opens the folder of a Sentinel product; None for others."""
    if folder.suffix.upper() != ".SAFE":
        return None
    for pattern in ("MTD_MSIL*.xml", "S2?_*_MTD_*.xml", "manifest.safe"):
        if files := sorted(folder.glob(pattern)):
            return files[0]
    return None


def name_of_folder(folder: Path) -> str:
    """Return the name by which GDAL opens a raster that is a folder; empty for other folders.

    Such are Sentinel products, Zarr stores and Esri's grids.
    """
    if header := product_header(folder):
        return str(header)
    if not os.path.isdir(folder):  # noqa: PTH112 - False for a name too long
        return ""
    if any((folder / name).is_file() for name in _ZARR_FILES):
        return f'ZARR:"{folder}"'
    for name in (_GRID_HEADER, _GRID_HEADER.upper()):
        if (folder / name).is_file():
            return str(folder / name)
    return ""


def _without_scheme(text: str) -> str:
    """Turn a URI as rasterio knows them into GDAL's name: ``zip://a.zip!b.tif``."""
    joined_schemes, _, path = text.partition("://")
    schemes = joined_schemes.lower().split("+")
    if not path or not _SCHEMES.keys() >= set(schemes):
        return text
    if schemes[0] in ("zip", "tar"):
        path = re.sub(r"!/*", "/", path, count=1)
    if _SCHEMES[schemes[-1]] == "/vsicurl/":
        path = f"{schemes[-1]}://{path}"
    return "".join(_SCHEMES[scheme] for scheme in schemes) + path


def _split(name: str) -> tuple[str, str]:
    """Split a name of GDAL's into that of a file, and that of a raster in it."""
    if name.lower().startswith(_VIEW):
        return name[len(_VIEW) :].partition("?")[0], ""
    if sample := _PART_OF_FILE.match(name):
        return name[sample.end() :], sample[1]
    match = _DRIVER.fullmatch(name)
    if match is None:
        return name, ""
    words = match[2]
    if words.count('"') > 1:
        before, file, after = words.split('"', 2)
        return file, f"{before} {after}"
    pieces = words.split(":")
    for start, stop in combinations(range(len(pieces) + 1), 2):
        file = ":".join(pieces[start:stop])
        if _local_file(file) is not None:
            return file, " ".join(pieces[:start] + pieces[stop:])
    file, _, raster = words.rpartition(":")
    if not file:
        return raster, ""
    return file, raster


def _local_file(file: str) -> Path | None:
    """Return the file on disk that a name without a driver leads to."""
    archive = IN_ARCHIVE.match(file)
    try:
        if archive is None:
            if file and Path(file).exists():
                return Path(file)
            return None
        inner = Path(file[archive.end() :].partition("}")[0])
        for path in (inner, *inner.parents):
            if path.is_file():
                return path
        return None
    except (OSError, ValueError):  # a name too long, or with a NUL
        return None
