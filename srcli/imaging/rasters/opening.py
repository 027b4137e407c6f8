"""Tell rasters from photographs, and open them with GDAL: bounded cache, errors as one line."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging.photograph import Picture, decoding
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters.access import OFFLINE, allowed_drivers, check_sources, gdal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rasterio.io import DatasetReader

BLOCK_CACHE = 2**27
"""GDAL's cache of decoded blocks in bytes, for the whole process."""
RASTER_SUFFIXES = frozenset(
    {
        ".vrt", ".gtiff", ".gtif", ".jp2", ".j2k", ".jpf", ".jpx", ".img", ".mrf", ".ntf", ".nitf",
        ".bil", ".bip", ".bsq", ".flt", ".hgt", ".dt0", ".dt1", ".dt2", ".ers", ".pix", ".rst",
        ".sdat", ".bag", ".gti",
    }
)  # fmt: skip
"""Lower-case suffixes of rasters that a search of a folder finds besides those of photographs; only
unambiguous ones. Files given by name may have any."""

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
            bands, bits = dataset.count, np.dtype(dataset.dtypes[0]).itemsize * 8
    except PictureError:
        if path.suffix.lower() not in RASTER_SUFFIXES:
            return None
        # GDAL's error explains more than that it is no photograph
        reason, height, width, bands, bits = "a suffix of rasters", 0, 0, 0, 0
    return Picture(
        path=path, format="", height=height, width=width, channels=bands, bits=bits, raster=reason
    )


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
    name = gdal_name(path, remote=remote)
    if isinstance(name, Path):
        with decoding(path), open_input(path):
            pass  # the system's error for a missing or forbidden file is clearer than GDAL's
    with reading_errors(path, "GDAL cannot open it", remote=remote):
        from rasterio.errors import NotGeoreferencedWarning
        from rasterio.io import DatasetReader

        with quiet_pillow(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            drivers = allowed_drivers(remote=remote, confined=confined)
            dataset = DatasetReader(str(name), driver=[*drivers], sharing=False)
        return dataset, not any(one.category is NotGeoreferencedWarning for one in caught)


@contextmanager
def reading_errors(path: Path, failure: str, *, remote: bool = False) -> Iterator[None]:
    """Turn errors of rasterio and GDAL while reading one file into a PictureError.

    Args:
        path: The file, for messages.
        failure: Description of the failure: ``"rows 1 to 9 cannot be read"``.
        remote: The network may be used.

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
        with rasterio.Env(GDAL_CACHEMAX=BLOCK_CACHE, **({} if remote else OFFLINE)):
            yield
    except MemoryError as error:
        raise PictureError(f"{path}: {failure} (it does not fit into memory)") from error
    except (RasterioError, CPLE_BaseError, OSError, ValueError) as error:
        raise PictureError(
            f"{path}: {failure} ({_reason(error)}); it is damaged or cut short, "
            "or a part of it is missing: copy or export it again"
        ) from error


def _reason(error: BaseException) -> str:
    """GDAL's message on one line; rasterio wraps it into an error of its own."""
    text = " ".join(str(error.__cause__ or error).split())
    return text[:200] or type(error).__name__


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
