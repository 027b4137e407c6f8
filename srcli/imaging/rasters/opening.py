"""Open rasters with GDAL: without stray warnings, bounded in memory, errors in words for users."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.opening import calm, decoding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rasterio.io import DatasetReader

BLOCK_CACHE = 2**27
"""Bytes that GDAL may keep of decoded blocks, in the whole process."""


def open_raster(path: Path) -> DatasetReader:
    """Open a raster to read it; the handle is shared with nobody, and belongs to one thread.

    Args:
        path: The file.

    Returns:
        rasterio's handle; close it.

    Raises:
        PictureError: If the file is missing, or GDAL cannot open it, or rasterio is not there.
    """
    return open_with_georeference(path)[0]


def open_with_georeference(path: Path) -> tuple[DatasetReader, bool]:
    """Open a raster as ``open_raster`` does, and say whether it states its place.

    A transform that is the identity and none at all look alike in rasterio's handle (and for some
    formats it then holds numbers out of nowhere); the warning it gives when it opens the file
    tells them apart.

    Args:
        path: The file.

    Returns:
        The handle, and whether the file has a transform, control points or a sensor model.

    Raises:
        PictureError: As for ``open_raster``.
    """
    with decoding(path), path.open("rb"):
        pass  # what the system has to say of a missing or forbidden file is clearer than GDAL's
    with reading_errors(path, "GDAL cannot open it"):
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning

        with calm(), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            # A path object, unlike a text, is never taken for an address on the net.
            dataset = rasterio.open(path.absolute(), sharing=False)
        return dataset, not any(one.category is NotGeoreferencedWarning for one in said)


@contextmanager
def reading_errors(path: Path, failure: str) -> Iterator[None]:
    """Run calls to GDAL on one file.

    Args:
        path: The file, for messages.
        failure: What has gone wrong if a call fails: ``"rows 1 to 9 cannot be read"``.

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
    """What GDAL says, on one line; rasterio wraps it into an error of its own."""
    text = " ".join(str(error.__cause__ or error).split())
    return text[:200] or type(error).__name__
