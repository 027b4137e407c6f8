"""GDAL's names of rasters that are no files of their own: in archives, containers, the network."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if sys.platform == "win32":
    from pathlib import WindowsPath as PlatformPath
else:
    from pathlib import PosixPath as PlatformPath

if TYPE_CHECKING:
    from collections.abc import Sequence

NETWORK_DRIVERS = frozenset(
    {
        "DAAS", "EEDA", "EEDAI", "HTTP", "OGCAPI", "PLMOSAIC", "PostGISRaster", "STACIT", "WCS",
        "WMS", "WMTS",
    }
)  # fmt: skip
REMOTE = "/vsi(curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs)"
"""A regular expression for GDAL's file systems on the network."""
_SCHEMES = {
    "file": "", "zip": "/vsizip/", "tar": "/vsitar/", "gzip": "/vsigzip/", "s3": "/vsis3/",
    "gs": "/vsigs/", "az": "/vsiaz/", "oss": "/vsioss/", "http": "/vsicurl/http://",
    "https": "/vsicurl/https://", "ftp": "/vsicurl/ftp://",
}  # fmt: skip
_ARCHIVES = ("zip", "tar", "gzip")
_IN_ARCHIVE = re.compile(r"(?:/vsi(?:zip|tar|gzip|7z|rar)/|\{)+")
_NOT_LOCAL = re.compile(
    # an HDF5 file's own paths follow "://": HDF5:"a.h5"://group/band
    rf"{REMOTE}|(?<![\w.])(?!(?:{'|'.join(_ARCHIVES)}|file|vrt)://)[\w+]+://"
    rf"|^({'|'.join(NETWORK_DRIVERS)}):",
    re.IGNORECASE,
)
_DRIVER = re.compile(r"([A-Za-z]\w+):(?!//)(.*)", re.DOTALL)
_MOST_LISTED = 30
_PRODUCT_HEADERS = ("MTD_MSIL*.xml", "S2?_*_MTD_*.xml", "manifest.safe")


class DatasetName(PlatformPath):
    """A name that GDAL opens and that is not the path of a file, such as ``NETCDF:"a.nc":band``.

    It keeps its text, in which every slash counts. ``stem`` and ``suffix`` are those of outputs.
    """

    text: str = ""
    gdal: str = ""
    """The name by which GDAL opens it."""
    container: Path | None = None
    """The file or folder on disk that holds it; None on the network."""
    in_archive: bool = False
    _file: str = ""
    _raster: str = ""

    def __new__(cls, text: str) -> DatasetName:
        """Parse a name."""
        self = super().__new__(cls, text)
        self.text, self.gdal = text, _without_scheme(text)
        if header := product_header(Path(text)):
            self.gdal, self.container = str(header), Path(text)
            self._file, self._raster = text, ""
            return self
        self._file, self._raster = _split(self.gdal)
        self.container = _local_file(self._file)
        self.in_archive = _IN_ARCHIVE.match(self._file) is not None
        return self

    def __init__(self, text: str) -> None:
        """Parse a name."""
        if sys.version_info >= (3, 12):
            super().__init__(text)

    def __str__(self) -> str:
        """Return the text as it was given."""
        return self.text or super().__str__()

    def __reduce__(self) -> tuple[type[DatasetName], tuple[str]]:
        """Keep the text on the way to another process."""
        return type(self), (self.text,)

    def with_segments(self, *parts: str | os.PathLike[str]) -> Path:
        """Return a path derived from it, such as its parent, as an ordinary one."""
        return Path(*parts)

    @property
    def stem(self) -> str:
        """``a_band`` for ``NETCDF:"a.nc":band``, ``b`` for ``/vsizip/a.zip/b.tif``."""
        words = re.findall(r"\w+", self._raster)
        return "_".join((PurePosixPath(_last_part(self._file)).stem, *words))

    @property
    def suffix(self) -> str:
        """The suffix of a file in an archive or on the network; empty for one of many rasters."""
        whole = self._raster or self.container == Path(self.text)
        return "" if whole else PurePosixPath(_last_part(self._file)).suffix

    def is_dir(self, **_: bool) -> bool:
        """Return False, also for a Sentinel product: it is not searched for pictures."""
        return False


def as_input(given: str | Path) -> Path:
    """Return what a user names as an input: a path, or a ``DatasetName`` where none exists."""
    text, path = str(given), Path(given)
    if isinstance(given, DatasetName):
        return given
    if product_header(path) is not None:
        return DatasetName(text)
    if os.path.lexists(text) or "\0" in text:
        return path
    if isinstance(given, Path):  # which has lost a slash of its URL
        text = re.sub(r"(?<!\w)(https?|ftp|s3|gs|az|oss):/+", r"\1://", text)
    if re.match(r"/vsi\w+/|[A-Za-z][\w+]+:", text) is None:
        return path
    name = DatasetName(text)
    return name if text == name.gdal or name.gdal.startswith("/vsi") else Path(name.gdal)


def file_on_disk(given: str | Path) -> Path:
    """Return the file that an input is read from: of what is in an archive, the archive."""
    path = as_input(given)
    return path.container or path if isinstance(path, DatasetName) else path


def is_remote(name: str) -> bool:
    """Return True for URLs and GDAL's names of rasters on the network."""
    return _NOT_LOCAL.search(name) is not None


def for_shell(names: Sequence[str]) -> str:
    """List names on one line, quoted for a shell, so that one can be copied from there."""
    more = f" ... ({len(names) - _MOST_LISTED} more)" if len(names) > _MOST_LISTED else ""
    return " ".join(map(shlex.quote, names[:_MOST_LISTED])) + more


def product_header(folder: Path) -> Path | None:
    """Return the file by which GDAL opens the folder of a Sentinel product; None for others."""
    if folder.suffix.upper() != ".SAFE":
        return None
    found = (header for pattern in _PRODUCT_HEADERS for header in sorted(folder.glob(pattern)))
    return next(found, None)


def _without_scheme(text: str) -> str:
    """Turn a URI as rasterio knows them into GDAL's name: ``zip://a.zip!b.tif``."""
    found = re.fullmatch(r"([\w+]+)://(.*)", text, re.DOTALL)
    kinds = found[1].lower().split("+") if found else []
    if found is None or not _SCHEMES.keys() >= set(kinds):
        return text
    file, _, member = found[2].rpartition("!") if kinds[0] in _ARCHIVES else ("", "", found[2])
    if not file:
        file, member = member, ""
    if kinds[-1] not in _ARCHIVES:
        file = f"{_SCHEMES[kinds.pop()]}{file}"
    for kind in reversed(kinds):
        file = f"{_SCHEMES[kind]}{file}" if kind == "gzip" else f"{_SCHEMES[kind]}{{{file}}}"
    return f"{file}/{member.lstrip('/')}" if member else file


def _split(name: str) -> tuple[str, str]:
    """Split a name of GDAL's into that of a file, and that of a raster in it."""
    found = _DRIVER.fullmatch(name)
    if found is None:
        return name, ""
    if found[2].count('"') > 1:
        before, file, after = found[2].split('"', 2)
        return file, f"{before} {after}"
    pieces = found[2].split(":")
    for length in range(1, len(pieces) + 1):
        for first in range(len(pieces) - length + 1):
            file = ":".join(pieces[first : first + length])
            if _local_file(file) is not None:
                return file, " ".join(pieces[:first] + pieces[first + length :])
    file, _, raster = found[2].rpartition(":")
    return (file, raster) if file else (raster, "")


def _local_file(file: str) -> Path | None:
    """Return the file on disk that a name without a driver leads to."""
    archive = _IN_ARCHIVE.match(file)
    try:
        if archive is None:
            return Path(file) if file and Path(file).exists() else None
        inner = Path(file[archive.end() :].partition("}")[0])
        return next((path for path in (inner, *inner.parents) if path.is_file()), None)
    except (OSError, ValueError):  # a name too long, or with a NUL
        return None


def _last_part(file: str) -> str:
    """Return the last part of a file's name; of a part of a Sentinel product that of its folder."""
    path = PurePosixPath(re.sub(r"[{}]|\?.*|\.gz$", "", file))
    products = [one.name for one in path.parents if one.suffix.upper() == ".SAFE"]
    return products[0] if products else path.name
