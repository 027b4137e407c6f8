"""Tell rasters from photographs, and open them with GDAL: bounded cache, errors as one line."""

from __future__ import annotations

import os
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging.formats import READABLE_SUFFIXES
from srcli.imaging.photograph import Picture, decoding
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters.access import OFFLINE, allowed_drivers, check_sources
from srcli.imaging.rasters.names import DatasetName, for_shell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rasterio.io import DatasetReader

BLOCK_CACHE = 2**27
"""GDAL's cache of decoded blocks in bytes, for the whole process."""
_DAMAGED = "it is damaged or cut short, or a part of it is missing: copy or export it again"
_READING = {"GDAL_CACHEMAX": BLOCK_CACHE, "CPL_VSIL_GZIP_WRITE_PROPERTIES": "NO"}
RASTER_SUFFIXES = frozenset(
    {
        ".vrt", ".gtiff", ".gtif", ".jp2", ".j2k", ".jpf", ".jpx", ".img", ".mrf", ".ntf", ".nitf",
        ".bil", ".bip", ".bsq", ".flt", ".hgt", ".dt0", ".dt1", ".dt2", ".ers", ".pix", ".rst",
        ".sdat", ".bag", ".gti",
    }
)  # fmt: skip
"""Lower-case suffixes of rasters that a search of a folder finds besides those of photographs; only
unambiguous ones. Files given by name may have any."""

_FORMATS: tuple[tuple[bytes | str, str, frozenset[str]], ...] = (
    (b"\x0e\x03\x13\x01", "HDF4", frozenset({"HDF4"})),
    (b"\x89HDF\r\n\x1a\n", "HDF5", frozenset({"HDF5", "netCDF"})),
    (b"CDF", "NetCDF", frozenset({"netCDF"})),
    (b"SIMPLE  =", "FITS", frozenset({"FITS"})),
    (b"\0\0\0\x0cjP  ", "JPEG 2000", frozenset({"JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID"})),
    (b"msid", "MrSID", frozenset({"MrSID"})),
    (".ecw", "ECW", frozenset({"ECW"})),
)
"""Formats that not every GDAL reads: first bytes or suffix, name, drivers that read it."""
_CONTAINERS = frozenset({".nc", ".h5", ".hdf", ".safe"})
# Formats of photographs that GDAL georeferences by files beside them, and such parts of .aux.xml.
_WITH_SIDECARS = frozenset({"png", "jpg", "gif", "bmp", "webp", "tif"})
_GEOREFERENCES = (b"<SRS", b"<GeoTransform", b"<GCPList", b"<GeodataXform", b'domain="RPC"')
# Other files beside a picture: the end of their name after its stem, a word in them, their meaning.
_COMPANIONS = (
    ("_RPC.TXT", b"LINE_OFF", "a sensor model"),
    ("_rpc.txt", b"LINE_OFF", "a sensor model"),
    (".RPB", b"lineOffset", "a sensor model"),
    (".rpb", b"lineOffset", "a sensor model"),
    (".tab", b"!table", "a place on the map"),
    (".TAB", b"!table", "a place on the map"),
)


def companion_reason(picture: Picture) -> str | None:
    """Return the reason that a file beside a picture gives to read it as a raster; None without."""
    path = picture.path
    if picture.format not in _WITH_SIDECARS:
        return None
    ending = path.suffix.lower().removeprefix(".")
    worlds = ["wld"] if not ending else ["wld", f"{ending[0]}{ending[-1]}w", f"{ending}w"]
    for world in worlds:
        for suffix in (f".{world}", f".{world.upper()}"):
            if _is_world_file(path.with_suffix(suffix)):
                return f"a place on the map ({path.with_suffix(suffix).name})"
    for tail, word, what in _COMPANIONS:
        companion = path.with_name(path.stem + tail)
        if word in _beginning(companion):
            return f"{what} ({companion.name})"
    mask = path.with_name(f"{path.name}.msk")
    if os.path.isfile(mask):  # noqa: PTH113 - pathlib raises for names too long
        return f"a mask of valid pixels ({mask.name})"
    extra = path.with_name(f"{path.name}.aux.xml")
    text = _beginning(extra)
    if any(one in text for one in _GEOREFERENCES):
        return f"a place on the map ({extra.name})"
    return f"a nodata value ({extra.name})" if b"<NoDataValue" in text else None


def open_by_gdal(path: Path, *, remote: bool = False, confined: bool = False) -> Picture | None:
    """Open a file as a raster; None if GDAL does not and its suffix is not one of rasters.

    Raises:
        PictureError: If it would read what it may not.
    """
    check_sources(path, remote=remote, confined=confined)
    try:
        with open_with_georeference(path, remote=remote, confined=confined)[0] as dataset:
            reason, (height, width) = f"a format of GDAL ({dataset.driver})", dataset.shape
            bands, kinds = dataset.count, dataset.dtypes or ("uint8",)  # a container has no bands
            bits = np.dtype(kinds[0]).itemsize * 8
    except PictureError:
        if isinstance(path, DatasetName) or _explain(path):
            raise
        if path.suffix.lower() not in RASTER_SUFFIXES:
            return None
        # GDAL's error explains more than that it is no photograph
        reason, height, width, bands, bits = "a suffix of rasters", 0, 0, 0, 0
    return Picture(
        path=path, format="", height=height, width=width, channels=bands, bits=bits, raster=reason
    )


def _explain(path: Path) -> str | None:
    """Return what is known of a file that GDAL does not open; None without anything."""
    if missing := missing_driver(path):
        return (
            f"this GDAL has no driver for {missing}; convert it to GeoTIFF where one is "
            "installed, with gdal_translate"
        )
    if not isinstance(path, DatasetName) and (members := _members(path)):
        return f"is an archive; name a picture in it instead: {for_shell(members)}"
    return None


def _refuse(path: DatasetName, dataset: DatasetReader) -> None:
    """Refuse what cannot be checked or done right without a file of its own."""
    if "VRTRawRasterBand" in str(dataset.tags(ns="xml:VRT")):
        raise PictureError(f"{path}: copies bytes of other files; give a mosaic of GeoTIFFs")
    if dataset.tags().get("EXIF_Orientation", "1") != "1":
        raise PictureError(
            f"{path}: EXIF rotates this photograph, and GDAL does not; copy it to a file of its own"
        )


def _members(archive: Path) -> list[str]:
    """GDAL's names of the pictures in a zip file; none for other files."""
    try:
        with open_input(archive) as stream, zipfile.ZipFile(stream) as members:
            names = members.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return []
    suffixes = READABLE_SUFFIXES | RASTER_SUFFIXES | _CONTAINERS
    found = [name for name in names if os.path.splitext(name)[1].lower() in suffixes]  # noqa: PTH122
    return [f"/vsizip/{archive}/{name}" for name in sorted(found)]


def _beginning(path: Path) -> bytes:
    """Read the first bytes of a file; none if it is missing."""
    try:
        with open_input(path) as stream:
            return stream.read(2**20)
    except OSError:
        return b""


def _is_world_file(path: Path) -> bool:
    """Tell if a file is a world file: six numbers, one a line."""
    try:
        return len([float(word) for word in _beginning(path)[:1024].split()[:6]]) == 6
    except ValueError:
        return False


def open_raster(path: Path, *, remote: bool = False) -> DatasetReader:
    """Open a raster for reading; the handle is not shared and belongs to one thread.

    Raises:
        PictureError: If the file is missing, GDAL cannot open it, or rasterio is not installed.
    """
    return open_with_georeference(path, remote=remote)[0]


def open_with_georeference(
    path: Path, *, remote: bool = False, confined: bool = False
) -> tuple[DatasetReader, bool]:
    """Open a raster and tell if it has a transform, control points or RPCs.

    In rasterio's handle an identity transform and none at all look alike (and for some formats it
    is arbitrary); only the warning given on opening distinguishes them.

    Raises:
        PictureError: As for ``open_raster``.
    """
    name, in_archive, advice = str(path.absolute()), False, _DAMAGED
    if isinstance(path, DatasetName):
        name, in_archive = path.gdal, path.in_archive
        if path.container not in (None, Path(path.text)):
            advice = f"give {path.container} itself to see what it holds"
    else:
        with decoding(path), open_input(path):
            pass  # the system's error for a missing or forbidden file is clearer than GDAL's
    try:
        with reading_errors(path, "GDAL cannot open it", remote=remote, advice=advice):
            from rasterio.errors import NotGeoreferencedWarning
            from rasterio.io import DatasetReader

            with quiet_pillow(), warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                drivers = allowed_drivers(remote=remote, confined=confined, in_archive=in_archive)
                dataset = DatasetReader(name, driver=[*drivers], sharing=False)
            if isinstance(path, DatasetName):
                _refuse(path, dataset)
    except PictureError as error:
        if isinstance(error.__cause__, Exception) and (known := _explain(path)):
            raise PictureError(f"{path}: {known}") from error
        raise
    return dataset, not any(one.category is NotGeoreferencedWarning for one in caught)


@contextmanager
def reading_errors(
    path: Path, failure: str, *, remote: bool = False, advice: str = _DAMAGED
) -> Iterator[None]:
    """Turn errors of rasterio and GDAL while reading one file into a PictureError.

    Args:
        path: The file, for messages.
        failure: Description of the failure: ``"rows 1 to 9 cannot be read"``.
        remote: The network may be used.
        advice: What to do about it.

    Raises:
        PictureError: If a call fails, or rasterio is not installed.
    """
    try:
        import rasterio
    except ImportError:
        raise PictureError(
            f"{path}: rasters need rasterio; install it, or convert the file to PNG"
        ) from None
    from rasterio._err import CPLE_BaseError  # which some attributes of a dataset raise
    from rasterio.errors import RasterioError

    try:
        with rasterio.Env(**_READING, **({} if remote else OFFLINE)):
            yield
    except MemoryError as error:
        raise PictureError(f"{path}: {failure} (it does not fit into memory)") from error
    except (RasterioError, CPLE_BaseError, OSError, ValueError) as error:
        reason = reason_of(error).removeprefix(f"{path}: ")
        raise PictureError(f"{path}: {failure} ({reason}); {advice}") from error


def reason_of(error: BaseException) -> str:
    """Return GDAL's first message on one line; rasterio wraps it into errors of its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__


def missing_driver(path: Path) -> str | None:
    """Return the format of a file that GDAL could read had it a driver that is not installed."""
    file = path.container if isinstance(path, DatasetName) else path
    head = b"" if file is None else _beginning(file)[:32]
    for sign, name, drivers in _FORMATS:
        fits = head.startswith(sign) if isinstance(sign, bytes) else path.suffix.lower() == sign
        if fits and drivers.isdisjoint(allowed_drivers(remote=True)):
            return name
    return None


def dataset_files(names: Iterable[str], *, remote: bool = False) -> tuple[str, ...]:
    """List all files of a dataset, each once; GDAL follows VRT mosaics one level deep only."""
    found = dict.fromkeys(names)
    waiting = list(found)[1:]
    while waiting:
        name = waiting.pop()
        if name.lower().endswith(".vrt"):
            new = [other for other in _listed_files(name, remote) if other not in found]
            found |= dict.fromkeys(new)
            waiting += new
    return tuple(found)


def _listed_files(name: str, remote: bool) -> list[str]:
    path = Path(name)
    if not path.is_file():  # missing, or a URL: reading the pixels will report it
        return []
    try:
        with open_raster(path, remote=remote) as dataset:
            return list(dataset.files)
    except PictureError:
        return []
