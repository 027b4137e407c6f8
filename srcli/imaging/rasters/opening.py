"""Open rasters with GDAL: unshared handles, bounded cache, errors as one line; list their files."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.photograph import decoding
from srcli.imaging.pillow import quiet_pillow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rasterio.io import DatasetReader

BLOCK_CACHE = 2**27
"""GDAL's cache of decoded blocks in bytes, for the whole process."""


def open_raster(path: Path) -> DatasetReader:
    """Open a raster for reading; the handle is not shared and belongs to one thread.

    Raises:
        PictureError: If the file is missing, GDAL cannot open it, or rasterio is not installed.
    """
    return open_with_georeference(path)[0]


def open_with_georeference(path: Path) -> tuple[DatasetReader, bool]:
    """Open a raster and tell if it has a transform, control points or RPCs.

    In rasterio's handle an identity transform and none at all look alike (and for some formats it
    is arbitrary); only the warning given on opening distinguishes them.

    Raises:
        PictureError: As for ``open_raster``.
    """
    with decoding(path), path.open("rb"):
        pass  # the system's error for a missing or forbidden file is clearer than GDAL's
    with reading_errors(path, "GDAL cannot open it"):
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning

        with quiet_pillow(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # A Path, unlike a string, is never interpreted as a URL.
            dataset = rasterio.open(path.absolute(), sharing=False)
        return dataset, not any(one.category is NotGeoreferencedWarning for one in caught)


@contextmanager
def reading_errors(path: Path, failure: str) -> Iterator[None]:
    """Turn errors of rasterio and GDAL while reading one file into a PictureError.

    Args:
        path: The file, for messages.
        failure: Description of the failure: ``"rows 1 to 9 cannot be read"``.

    Raises:
        PictureError: If a call fails, or rasterio is not installed.
    """
    try:
        import rasterio
    except ImportError:
        raise PictureError(
            f"{path}: rasters need rasterio; install it, or convert the file to PNG"
        ) from None
    from rasterio.errors import RasterioError

    try:
        with rasterio.Env(GDAL_CACHEMAX=BLOCK_CACHE):
            yield
    except MemoryError as error:
        raise PictureError(f"{path}: {failure} (it does not fit into memory)") from error
    except (RasterioError, OSError, ValueError) as error:
        raise PictureError(
            f"{path}: {failure} ({_reason(error)}); it is damaged or cut short, "
            "or a part of it is missing: copy or export it again"
        ) from error


def _reason(error: BaseException) -> str:
    """GDAL's message on one line; rasterio wraps it into an error of its own."""
    text = " ".join(str(error.__cause__ or error).split())
    return text[:200] or type(error).__name__


def dataset_files(names: Iterable[str]) -> tuple[str, ...]:
    """List all files of a dataset; GDAL itself follows VRT mosaics one level deep only.

    Args:
        names: GDAL's list for the dataset, the dataset's own file first.

    Returns:
        These, then the files of the mosaics (.vrt) among them, each once.
    """
    found = dict.fromkeys(names)
    waiting = list(found)[1:]
    while waiting:
        name = waiting.pop()
        if name.lower().endswith(".vrt"):
            new = [other for other in _listed_files(name) if other not in found]
            found |= dict.fromkeys(new)
            waiting += new
    return tuple(found)


def _listed_files(name: str) -> list[str]:
    path = Path(name)
    if not path.is_file():  # missing, or a URL: reading the pixels will report it
        return []
    try:
        with open_raster(path) as dataset:
            return list(dataset.files)
    except PictureError:
        return []
