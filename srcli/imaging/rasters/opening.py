"""Open rasters with GDAL: without stray warnings, bounded in memory, errors in words for users."""

from __future__ import annotations

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
    with decoding(path), path.open("rb"):
        pass  # what the system has to say of a missing or forbidden file is clearer than GDAL's
    with gdal(path, "GDAL cannot open it"):
        import rasterio

        # A path object, unlike a text, is never taken for an address on the net. A raster without
        # a place on the map makes rasterio warn.
        with calm():
            return rasterio.open(path.absolute(), sharing=False)


@contextmanager
def gdal(path: Path, failure: str) -> Iterator[None]:
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
