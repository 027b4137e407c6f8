"""Compare what a raster that GDAL has opened claims with the bytes of its files.

Formats without compression need so many bytes a pixel. GDAL reads what some of them
lack as zeros without a word, and others for minutes up to the row that is missing.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from srcli.files import open_input
from srcli.imaging import claims
from srcli.imaging.photograph import format_of_content
from srcli.ports.image import Window

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_RAW_DRIVERS = frozenset({
    "BT", "BYN", "CTable2", "DOQ1", "DOQ2", "DTED", "EHdr", "ELAS", "ENVI", "ERS", "FIT", "GS7BG",
    "GSBG", "GTX", "HFA", "ISCE", "ISIS2", "ISIS3", "KRO", "LAN", "LOSLAS", "MFF", "NDF", "NITF",
    "NTv2", "PAux", "PCIDSK", "PCRaster", "PDS4", "PNM", "ROI_PAC", "RRASTER", "RST", "SAGA",
    "SRTMHGT", "VICAR",
})  # fmt: skip
"""Drivers of files that hold every pixel, but for those that name a compression."""
_HEADERS = {"LAN": 128, "PCRaster": 256}
"""Bytes in front of the pixels."""
_PCIDSK_BLOCK = 512
_PAGE = re.compile(r"GTIFF_DIR:(\d+):")
_ZIPPED = re.compile(r"/vsizip/(.+?\.zip)/(.+)", re.IGNORECASE)
_LARGEST_MEMBER = 2**28
"""Bytes of a file in an archive that is unpacked to look at its directory."""


def check_held(
    path: Path, dataset: DatasetReader, stream: IO[bytes] | None = None
) -> None:
    """Refuse an open raster whose files hold less than it claims.

    ``stream`` is the file at the path, where that is open already.
    """
    if not dataset.count:
        return
    if dataset.driver in ("GTiff", "COG"):
        _check_tiff(path, dataset, stream)
    elif dataset.driver == "netCDF":
        _check_netcdf(path, dataset)
    elif dataset.driver in _RAW_DRIVERS:
        _check_raw(path, dataset)


@dataclass(frozen=True)
class Blanks:
    """The blocks of a sparse TIFF that the file leaves out; they hold nodata, or else zeros."""

    filled: NDArray[np.bool_]
    """(down, across): True for blocks that are there."""
    height: int
    """Pixels of a block, as ``width``."""
    width: int

    @property
    def share(self) -> float:
        """Share of the blocks that are there."""
        return float(self.filled.mean())

    def cover(self, window: Window) -> bool:
        """Tell if a window of the file lies in blocks that are left out."""
        bottom = window.top + window.height
        right = window.left + window.width
        rows = slice(max(window.top, 0) // self.height, -(-bottom // self.height))
        columns = slice(max(window.left, 0) // self.width, -(-right // self.width))
        return not self.filled[rows, columns].any()


def find_blanks(
    dataset: DatasetReader, stream: IO[bytes] | None = None
) -> Blanks | None:
    """Return the blocks that a TIFF on disk leaves out, by its directory; None if it has all.

    ``stream`` is its file, where that is open already.
    """
    if dataset.driver not in ("GTiff", "COG"):
        return None
    with (
        suppress(OSError, ValueError, KeyError),
        _stream_of(dataset.files[:1], stream) as file,
    ):
        blocks = claims.TiffBlocks.of(claims.read_page(file, _page(dataset)))
        if blocks is None or blocks.image_width != dataset.width:  # of an overview
            return None
        if not blocks.filled().all():
            return Blanks(blocks.filled(), blocks.height, blocks.width)
    return None


def _page(dataset: DatasetReader) -> int:
    """Return which of the pictures in a TIFF was opened, from 0."""
    match = _PAGE.match(dataset.name)
    return int(match[1]) - 1 if match else 0


def _check_tiff(path: Path, dataset: DatasetReader, stream: IO[bytes] | None) -> None:
    with (
        suppress(OSError, ValueError, KeyError),
        _stream_of(dataset.files[:1], stream) as file,
    ):
        claims.check_tiff(path, claims.read_page(file, _page(dataset)), file)


def _check_raw(path: Path, dataset: DatasetReader) -> None:
    structure = dataset.tags(ns="IMAGE_STRUCTURE") | dataset.tags(
        1, ns="IMAGE_STRUCTURE"
    )
    tags = dataset.tags()
    envi = dataset.tags(ns="ENVI")
    is_packed = envi.get("file_compression", "0").strip() != "0"
    if is_packed or "COMPRESSION" in structure or tags.get("NITF_IC", "NC") != "NC":
        return
    if dataset.driver == "PCIDSK":
        _check_pcidsk(path, dataset)
    sizes: list[int] = []
    for name in dataset.files:
        size = _size_of(name)
        if size is None:
            return
        sizes.append(size)
    if not sizes or _is_wrapped(dataset):
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
    _check_size(path, size, needed)


def _check_size(path: Path, size: int, needed: int) -> None:
    if size < needed:
        raise claims.cut_short(path, f"{size:,} of its {needed:,} bytes are there")


def _check_pcidsk(path: Path, dataset: DatasetReader) -> None:
    """Compare with the size that such a file states; its own tables may be larger than pixels."""
    with (
        suppress(OSError, ValueError, KeyError),
        _stream_of(dataset.files[:1]) as stream,
    ):
        stated = int(stream.read(32)[16:]) * _PCIDSK_BLOCK
        _check_size(path, stream.seek(0, os.SEEK_END), stated)


def _is_wrapped(dataset: DatasetReader) -> bool:
    """Tell if one of the files is a picture of a format of its own, such as an ERS of a TIFF."""
    for name in dataset.files[1:]:
        with suppress(OSError), open_input(Path(name)) as stream:
            if format_of_content(stream.read(64)):
                return True
    return False


def _check_netcdf(path: Path, dataset: DatasetReader) -> None:
    with (
        suppress(OSError, ValueError, struct.error, KeyError),
        _stream_of(dataset.files[:1]) as stream,
    ):
        needed = _netcdf_bytes(stream)
        _check_size(path, stream.seek(0, os.SEEK_END), needed)


_NETCDF_NUMBERS = {
    b"CDF\1": (">i", ">i"),
    b"CDF\2": (">i", ">q"),
    b"CDF\5": (">q", ">q"),
}
"""Formats of counts and of offsets in classic NetCDF by its first bytes."""


def _netcdf_bytes(stream: IO[bytes]) -> int:
    """Return the bytes that a classic NetCDF file needs; 0 for HDF5, which GDAL reads strictly."""
    formats = _NETCDF_NUMBERS.get(stream.read(4))
    if formats is None:
        return 0
    count, offset = map(struct.Struct, formats)
    return _NetcdfHeader(stream, count, offset).bytes_needed()


_NETCDF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Bytes of a value of classic NetCDF by its type."""


class _NetcdfHeader:
    """The header of a classic NetCDF file, behind its first four bytes."""

    def __init__(
        self, stream: IO[bytes], count: struct.Struct, offset: struct.Struct
    ) -> None:
        self._stream = stream
        self._count = count
        self._offset = offset

    def bytes_needed(self) -> int:
        """Return where the last variable ends; of records up to the last one."""
        record_count = max(self._number(), 0)  # -1 is not known
        lengths = [self._dimension() for _ in range(self._list())]
        self._skip_attributes()
        end = 0
        record_size = 0
        first_record = 0
        for _ in range(self._list()):
            self._skip_name()
            shape = [lengths[self._number()] for _ in range(self._number())]
            self._skip_attributes()
            value_size = _NETCDF_BYTES[self._type()]
            self._number()  # the variable's size, which is not reliable
            (begin,) = self._offset.unpack(self._stream.read(self._offset.size))
            if shape[:1] == [0]:  # it grows with the records
                size = value_size * math.prod(shape[1:])
                record_size += -(-size // 4) * 4
                first_record = min(first_record, begin) if first_record else begin
            else:
                end = max(end, begin + value_size * math.prod(shape))
        if record_count and record_size:
            # the last record need not be filled up to four bytes
            end = max(end, first_record + record_count * record_size - 3)
        return end

    def _number(self) -> int:
        (value,) = self._count.unpack(self._stream.read(self._count.size))
        return int(value)

    def _type(self) -> int:
        return int.from_bytes(self._stream.read(4))

    def _list(self) -> int:
        """Return the length of a list, behind the word that says of what it is."""
        self._type()
        length = self._number()
        if not 0 <= length < 2**16:
            raise ValueError("a list of impossible length")
        return length

    def _skip_name(self) -> None:
        length = self._number()
        self._stream.seek(-(-length // 4) * 4, os.SEEK_CUR)

    def _dimension(self) -> int:
        self._skip_name()
        return self._number()

    def _skip_attributes(self) -> None:
        for _ in range(self._list()):
            self._skip_name()
            size = _NETCDF_BYTES[self._type()] * self._number()
            self._stream.seek(-(-size // 4) * 4, os.SEEK_CUR)


@contextmanager
def _stream_of(
    names: list[str], stream: IO[bytes] | None = None
) -> Iterator[IO[bytes]]:
    """Open a file of a dataset; an OSError is raised for what is neither on disk nor in a zip."""
    if stream is not None:
        yield stream
        return
    name = names[0] if names else ""
    member = _ZIPPED.fullmatch(name)
    if member is None:
        with open_input(Path(name)) as stream:
            yield stream
        return
    with zipfile.ZipFile(member[1]) as archive:
        if archive.getinfo(member[2]).file_size > _LARGEST_MEMBER:
            raise OSError("too large to be unpacked for its header")
        with archive.open(member[2]) as unpacked:
            yield unpacked


def _size_of(name: str) -> int | None:
    """Return the bytes of a file of a dataset, unpacked; None if that cannot be told."""
    member = _ZIPPED.fullmatch(name)
    with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        if member is None and name.lower().endswith(".zip"):
            return None  # whose member GDAL reads by itself
        if member is None:
            return os.stat(name).st_size  # noqa: PTH116
        with zipfile.ZipFile(member[1]) as archive:
            return archive.getinfo(member[2]).file_size
    return None
