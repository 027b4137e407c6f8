"""Check that the files of a raster that GDAL has opened are as large as it claims.

Formats without compression need a known number of bytes a pixel. GDAL reads missing ones
as zeros without a word, or reads for minutes up to the row that is missing.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from srcli.files import open_input
from srcli.imaging.files.formats import format_of_content
from srcli.imaging.files.tiff_blocks import (
    check_tiff,
    read_tiff_page,
    truncated_file,
)
from srcli.imaging.files.tiff_directories import Tags

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_RAW_DRIVERS = frozenset({
    "BT", "BYN", "CTable2", "DOQ1", "DOQ2", "DTED", "EHdr", "ELAS", "ENVI", "FIT", "GS7BG",
    "GSBG", "GTX", "HFA", "ISCE", "ISIS2", "ISIS3", "KRO", "LAN", "LOSLAS", "MFF", "NDF", "NITF",
    "NTv2", "PAux", "PCRaster", "PDS4", "PNM", "ROI_PAC", "RRASTER", "RST", "SAGA",
    "SRTMHGT", "VICAR",
})  # fmt: skip
"""Drivers of files that hold every pixel, unless they name a compression."""
_HEADERS = {"LAN": 128, "PCRaster": 256}
"""Bytes in front of the pixels."""
_CLASSIC_NETCDF = (b"CDF\1", b"CDF\2")
"""First bytes of the NetCDF files of which GDAL reads what is missing as zeros."""
_TIFF_DRIVERS = ("GTiff", "COG")
_PAGE = re.compile(r"GTIFF_DIR:(\d+):")
_ZIP_MEMBER = re.compile(r"/vsizip/(.+?\.zip)/(.+)", re.IGNORECASE)
_LARGEST_MEMBER = 2**28
"""Bytes of a file in an archive that is unpacked to look at its directory."""


def check_dataset_size(
    path: Path, dataset: DatasetReader, stream: IO[bytes] | None
) -> Tags:
    """Refuse an open raster whose files hold less than it claims.

    Returned is the directory of the page of a TIFF, of others nothing. ``stream`` is the
    file at the path, where that is open already.
    """
    if dataset.driver in _RAW_DRIVERS:
        _check_raw(path, dataset)
    elif dataset.driver == "netCDF" and dataset.count:
        _check_netcdf(path, next(iter(dataset.files), ""))
    elif dataset.driver in _TIFF_DRIVERS:
        with (
            suppress(OSError, ValueError, struct.error, KeyError),
            _open_first_file(dataset, stream) as file,
        ):
            page = _PAGE.match(dataset.name)
            tags = read_tiff_page(file, int(page[1]) - 1 if page else 0)
            check_tiff(path, tags, file)
            return tags
    return {}


def _check_raw(path: Path, dataset: DatasetReader) -> None:
    structure = dataset.tags(ns="IMAGE_STRUCTURE") | dataset.tags(
        1, ns="IMAGE_STRUCTURE"
    )
    tags = dataset.tags()
    envi = dataset.tags(ns="ENVI")
    is_packed = envi.get("file_compression", "0").strip() != "0"
    if is_packed or "COMPRESSION" in structure or tags.get("NITF_IC", "NC") != "NC":
        return
    try:
        sizes = [os.stat(name).st_size for name in dataset.files]  # noqa: PTH116
    except (OSError, ValueError):  # in an archive, on the network
        return
    is_packed = any(name.lower().endswith(".zip") for name in dataset.files)
    if not sizes or is_packed or _is_wrapped(dataset):
        return
    bits = int(structure.get("NBITS") or 0)
    bits_of_pixel = 0
    for dtype in dataset.dtypes:
        bits_of_pixel += bits or np.dtype(dtype).itemsize * 8
    needed = -(-dataset.height * dataset.width * bits_of_pixel // 8)
    needed += _HEADERS.get(dataset.driver, 0)
    size = sum(sizes)
    if dataset.driver == "ENVI":  # whose header is a file of its own
        needed += int(envi.get("header_offset") or 0)
        size = max(sizes)
    if size < needed:
        raise truncated_file(path, f"{size:,} of its {needed:,} bytes are there")


def _check_netcdf(path: Path, name: str) -> None:
    """Refuse a classic NetCDF file on disk that ends before its variables do."""
    with suppress(OSError, LookupError, TypeError):  # no such file, an odd header
        with open_input(Path(name)) as stream:
            if stream.read(4) not in _CLASSIC_NETCDF:
                return
        from scipy.io import netcdf_file

        try:
            with netcdf_file(name, mmap=True):
                pass
        except ValueError:
            raise truncated_file(path, "a variable is not all there") from None


def _is_wrapped(dataset: DatasetReader) -> bool:
    """Tell if one of the files is a picture of a format of its own, such as a PDS4 of a TIFF."""
    for name in dataset.files[1:]:
        with suppress(OSError), open_input(Path(name)) as stream:
            if format_of_content(stream.read(64)):
                return True
    return False


@contextmanager
def _open_first_file(
    dataset: DatasetReader, stream: IO[bytes] | None
) -> Iterator[IO[bytes]]:
    """Open the first file of a dataset; OSError for what is neither on disk nor in a zip."""
    if stream is not None:
        stream.seek(0)
        yield stream
        return
    name = next(iter(dataset.files), "")
    member = _ZIP_MEMBER.fullmatch(name)
    if member is None:
        with open_input(Path(name)) as stream:
            yield stream
        return
    with zipfile.ZipFile(member[1]) as archive:
        if archive.getinfo(member[2]).file_size > _LARGEST_MEMBER:
            raise OSError("too large to be unpacked for its header")
        with archive.open(member[2]) as unpacked:
            yield unpacked
