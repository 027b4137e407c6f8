"""Open rasters with GDAL: what GDAL may read, files that lead to others, reasons for refusals.

GDAL reads names that are no files of their own (``dataset_names``), and files that name
further files (``mosaics``). A file that a search of a folder has found, and that nobody
has named, leads to no other file.

Files are as large as a raster claims: formats without compression need a known number of
bytes a pixel. GDAL reads missing ones as zeros without a word, or reads for minutes up to
the row that is missing.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import cache, partial
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.files import EMPTY, file_state, open_input
from srcli.imaging.files.decoding import decoding, quiet_libraries
from srcli.imaging.files.formats import (
    RASTER_SUFFIXES,
    READABLE_SUFFIXES,
    format_of_content,
)
from srcli.imaging.files.gdal import alias_of_file, innermost_text, real_name
from srcli.imaging.files.provenance import check_unchanged, input_id
from srcli.imaging.files.tiff_directories import Tags
from srcli.imaging.files.tiff_pages import (
    PREMULTIPLIED,
    TiffBlocks,
    check_tiff,
    read_tiff_page,
    truncated_file,
)
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.rasters.dataset_names import (
    IN_ARCHIVE,
    NETWORK_DRIVERS,
    DatasetName,
    for_shell,
    is_remote,
)
from srcli.imaging.rasters.gdal_access import (
    BLOCK_CACHE,
    DAMAGED,
    is_online,
    keep_blocks,
    reading_errors,
)
from srcli.imaging.rasters.mosaics import COPIES_BYTES, REFUSED_BY_GDAL, Mosaic
from srcli.imaging.rasters.names import NAMES, TABLES
from srcli.imaging.rasters.stac_assets import remote_link
from srcli.imaging.rasters.value_tables import find_value_table

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_MOST_FOLLOWED = 16
"""Mosaics whose files are remembered."""
_followed: dict[tuple[str, str, str, bool], dict[str, tuple[int, int] | None]] = {}
"""Files of the mosaics that were opened last, with their sizes and times."""
_INDEXES = NAMES["index_drivers"]
FINEST = "10m"
"""Name of the finest bands in a product of Sentinel-2."""
_MOSAIC_DRIVERS = _INDEXES | {"VRT", "MRF"}
_INDIRECT_DRIVERS = _MOSAIC_DRIVERS | NAMES["product_drivers"]
"""Drivers of headers that name other files, anywhere on the disk."""


@cache
def allowed_drivers(*, refused: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Return the names of GDAL's drivers without the refused ones."""
    import rasterio

    with rasterio.Env() as env:
        return tuple(name for name in env.drivers() if name not in refused)


def open_raster(path: Path, *, confined: bool = False) -> DatasetReader:
    """Open a raster for reading; the handle is not shared and belongs to one thread.

    A ``confined`` file may lead to no other file.
    """
    dataset, _ = _open_with_tags(path, None, confined=confined)
    return dataset


def _open_with_tags(
    path: Path, stream: IO[bytes] | None, *, confined: bool = False
) -> tuple[DatasetReader, Tags]:
    """Open a raster; return the directory of a TIFF, too, see ``check_dataset_size``."""
    name = str(alias_of_file(path).absolute())
    advice = DAMAGED
    refused = _refused_drivers()
    if confined:
        refused |= _INDIRECT_DRIVERS
    _check_network(path)
    if isinstance(path, DatasetName):
        name = path.gdal
        container = path.container
        if container is not None:
            name = name.replace(str(container), str(alias_of_file(container)))
        if IN_ARCHIVE.match(name):
            refused |= _MOSAIC_DRIVERS
        is_packed = name.startswith(("/vsitar/", "/vsigzip/"))
        # of a folder, such as ZARR:"a.zarr", nothing more can be given
        is_whole = str(path).rstrip('"').endswith(str(container))
        if container not in (None, path) and not is_packed and not is_whole:
            advice = f"give {container} itself to see what it holds"
    elif stream is None:
        with decoding(path), open_input(path):
            pass  # the system's error for a missing or forbidden file is clearer than GDAL's
    try:
        with reading_errors(path, "GDAL cannot open it", advice=advice):
            keep_blocks(BLOCK_CACHE)
            dataset = _open_dataset(name, refused)
            tags = check_dataset_size(path, dataset, stream)
            _follow(path, dataset)
            _check_upright(path, dataset)
            return dataset, tags
    except PictureError as error:
        if isinstance(error.__cause__, Exception):
            if REFUSED_BY_GDAL in innermost_text(error):
                raise PictureError(f"{path}: {COPIES_BYTES}") from None
            if reason := _common_reason(path):
                raise PictureError(f"{path}: {reason}") from None
        raise


def _check_network(path: Path) -> None:
    """Refuse a name, or a collection of STAC items, on the network without leave."""
    if is_online():
        return
    if isinstance(path, DatasetName) and is_remote(str(path)):
        raise PictureError(
            f"{path}: is read from the network; --allow-remote permits that"
        )
    if link := remote_link(path):
        raise PictureError(
            f"{path}: reads {link!r} from the network; --allow-remote permits it"
        )


def _refused_drivers() -> frozenset[str]:
    if is_online():
        return frozenset()
    return NETWORK_DRIVERS


def _open_dataset(name: str, refused: frozenset[str]) -> DatasetReader:
    """Open a raster; one of NetCDF that has no place on the map with its rows as stored.

    GDAL turns those upside down, as if they were of a map from south to north. Of a
    product of Sentinel-2 in one zone the bands of 10 m are opened.
    """
    import rasterio
    from rasterio.io import DatasetReader

    drivers = list(allowed_drivers(refused=refused))
    with quiet_libraries():
        dataset = DatasetReader(name, driver=drivers, sharing=False)
        finest = [group for group in dataset.subdatasets if f":{FINEST}:" in group]
        if dataset.driver == "SENTINEL2" and len(finest) == 1:
            dataset.close()
            dataset = DatasetReader(finest[0], driver=drivers, sharing=False)
        if dataset.driver == "netCDF" and dataset.transform.is_identity:
            dataset.close()
            with rasterio.Env(GDAL_NETCDF_BOTTOMUP="NO"):
                dataset = DatasetReader(name, driver=drivers, sharing=False)
        return dataset


def _follow(path: Path, dataset: DatasetReader) -> Iterable[str]:
    """Return the files of a mosaic at any depth; of other rasters none.

    One that copies bytes of other files, or reads the network without leave, is refused.
    """
    if dataset.driver in ("VRT", "STACIT"):
        return _files_of_mosaic(path, dataset)
    mosaic = _as_mosaic(path)
    if dataset.driver == "MRF" and not isinstance(path, DatasetName):
        mosaic.follow_mrf(str(path))
    return mosaic.files


def _check_upright(path: Path, dataset: DatasetReader) -> None:
    """Refuse a photograph in an archive that its EXIF rotates."""
    orientation = dataset.tags().get("EXIF_Orientation", "1")
    if isinstance(path, DatasetName) and orientation != "1":
        raise PictureError(
            f"{path}: EXIF rotates this photograph, and GDAL does not; copy it to a file "
            "of its own"
        )


def _as_mosaic(path: Path) -> Mosaic:
    open_source = partial(_open_dataset, refused=_refused_drivers())
    return Mosaic(path, is_online(), is_remote, open_source)


def _files_of_mosaic(path: Path, dataset: DatasetReader) -> Iterable[str]:
    """Return the files of a VRT or of items of STAC.

    A raster is opened several times, and following thousands of files takes seconds:
    they are followed again only if one of them has changed.
    """
    text = dataset.tags(ns="xml:VRT").get("xml:VRT", "")
    key = str(path), dataset.name, text, is_online()
    earlier = _followed.get(key)
    if earlier is not None and earlier == _read_states(earlier):
        return earlier
    mosaic = _as_mosaic(path)
    real_path = os.path.realpath(path)
    folder = ""
    if not isinstance(path, DatasetName):
        folder = str(Path(real_path).parent)
    mosaic.follow(dataset, folder, (real_path,))
    if len(_followed) >= _MOST_FOLLOWED:
        _followed.clear()
    _followed[key] = _read_states(mosaic.files)
    return mosaic.files


def _read_states(names: Iterable[str]) -> dict[str, tuple[int, int] | None]:
    """Return size and time of each file, None for those that cannot be looked at."""
    return {name: file_state(name) for name in names}


def dataset_files(path: Path, dataset: DatasetReader) -> tuple[str, ...]:
    """List all files of a dataset, each once.

    GDAL follows mosaics one level deep only; of a tile index the index alone counts.
    """
    names = list(dataset.files)
    container = path.container if isinstance(path, DatasetName) else path
    if dataset.driver in _INDEXES and container is not None:
        names.insert(0, str(container))
    names += _follow(path, dataset)
    if table := find_value_table(path):
        names.append(str(table))
    return tuple(dict.fromkeys(map(real_name, names)))


def open_by_gdal(path: Path, *, confined: bool) -> Picture | None:
    """Return the header of a raster; None if GDAL opens none, and no name promises one."""
    try:
        with open_raster(path, confined=confined) as dataset:
            dtypes = dataset.dtypes or ("uint8",)  # a container has no bands
            return Picture(
                path=path,
                format="",
                height=dataset.height,
                width=dataset.width,
                channels=dataset.count,
                bits=np.dtype(dtypes[0]).itemsize * 8,
                raster=f"a format of GDAL ({dataset.driver})",
            )
    except PictureError as error:
        is_of_gdal = isinstance(error.__cause__, Exception)
        is_raster = isinstance(path, DatasetName) or (
            path.suffix.lower() in RASTER_SUFFIXES
        )
        if is_raster or not is_of_gdal:
            raise  # it explains more than that the file is no photograph
        return None


def _common_reason(path: Path) -> str | None:
    """Return the reason, if it is a common one, for which GDAL cannot open a file."""
    head = b""
    names = []
    file = path.container if isinstance(path, DatasetName) else path
    with (
        suppress(OSError, ValueError, NotImplementedError, zipfile.BadZipFile),
        open_input(file or path) as stream,
    ):
        head = stream.read(64)
        if not head:
            return EMPTY
        if file is path:
            names = zipfile.ZipFile(stream).namelist()
    for fmt in TABLES["formats"]:
        is_read = not set(allowed_drivers()).isdisjoint(fmt["drivers"])
        if head.startswith(fmt["sign"].encode("latin-1")) and not is_read:
            return (
                f"this GDAL has no driver for {fmt['name']}; convert it to GeoTIFF where one is "
                "installed, with gdal_translate"
            )
    suffixes = READABLE_SUFFIXES | RASTER_SUFFIXES | {".nc", ".h5", ".hdf", ".safe"}
    pictures = [
        f"/vsizip/{path}/{name}"
        for name in sorted(names)
        if PurePosixPath(name).suffix.lower() in suffixes
    ]
    if pictures:
        return f"is an archive; name a picture in it instead: {for_shell(pictures)}"
    return None


class OpenedRaster(AbstractContextManager["OpenedRaster"]):
    """A raster that stays open while it is planned, measured and enlarged; see ``keep_open``.

    GDAL has one handle, on which threads take turns by ``lock``. A file on disk is open
    as a stream as well: its directory is read from there, and changes are seen there.
    """

    def __init__(
        self,
        path: Path,
        dataset: DatasetReader,
        stream: IO[bytes] | None,
        input_id: str,
        tags: Tags,
        files: ExitStack,
    ) -> None:
        """Take over what is open; ``tags`` are those of a TIFF, ``files`` closes it at the end."""
        self.path = path
        self.dataset = dataset
        self.stream = stream
        """The file on disk; None without one, or where a caller has opened the dataset."""
        self.input_id = input_id
        """What is recorded of it in outputs; see ``input_id`` of ``provenance.py``."""
        self.sparse_blocks: TiffBlocks | None = None
        """The blocks of a sparse TIFF, which leaves some out; None if it has all."""
        blocks = TiffBlocks.from_tags(tags)
        is_whole = blocks is None or bool(blocks.present.all())
        if blocks is not None and not is_whole and blocks.width == dataset.width:
            self.sparse_blocks = blocks  # not those of an overview
        self._extra_samples = tags.get(Base.ExtraSamples)
        self.lock = Lock()
        self._files = files

    @property
    def is_premultiplied(self) -> bool:
        """A TIFF says that its bands are stored multiplied by its alpha."""
        extra = self._extra_samples
        return extra is not None and PREMULTIPLIED in extra.numbers

    def check_unchanged(self) -> None:
        """Refuse a file whose content has changed since it was opened."""
        stream = self.stream
        with suppress(OSError):  # it is no file any more
            if stream and not os.path.samestat(
                os.fstat(stream.fileno()), self.path.stat()
            ):
                stream = None  # it was replaced by another file
        check_unchanged(self.path, self.input_id, stream)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Become None on the way to another process, which opens the raster itself."""
        return type(None), ()

    def close(self) -> None:
        """Close the raster; a second call does nothing."""
        with reading_errors(self.path, "it cannot be closed"):
            self._files.close()

    def __exit__(self, *_: object) -> None:
        """Close the raster."""
        self.close()


def keep_open(path: Path, dataset: DatasetReader | None = None) -> OpenedRaster:
    """Open a raster for all that is done with it; a ``dataset`` of the caller stays open."""
    with ExitStack() as files:
        stream = None
        if dataset is None and not isinstance(path, DatasetName):
            # the system's error for a missing or forbidden file is clearer than GDAL's
            with decoding(path):
                stream = files.enter_context(open_input(path))
        recorded_id = input_id(path, stream)
        if dataset is None:
            dataset, tags = _open_with_tags(path, stream)
            files.callback(dataset.close)
        else:
            tags = check_dataset_size(path, dataset, None)
        return OpenedRaster(path, dataset, stream, recorded_id, tags, files.pop_all())


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
    if dataset.driver in NAMES["raw_drivers"]:
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
