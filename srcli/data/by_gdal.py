"""TIFFs of GDAL as pictures to train on and to measure: bands of whole numbers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcli.errors import DataError
from srcli.imaging.pixels.resize import stretch_to_dtype

LARGEST_PICTURE = 2**28
"""Most pixels of a picture; training decodes whole ones."""
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF files of both byte orders."""
NODATA_TAG = 42113
"""GDAL's tag of the value of pixels without data."""
_COLOURS = ("red", "green", "blue")
_FLOAT_ADVICE = (
    "make whole numbers of them: gdal_translate -ot UInt16 -scale LOW HIGH 0 65535 "
    "IN OUT"
)


class LargePictureError(Exception):
    """The picture is larger than its reader wants now."""


def is_tiff(encoded: bytes) -> bool:
    """Return True for the content of a TIFF file."""
    return encoded.startswith(TIFF_STARTS)


def read_raster(
    name: str, encoded: bytes, most_pixels: int = LARGEST_PICTURE
) -> NDArray[Any]:
    """Return red, green and blue, or gray, of a TIFF: (H, W, 3 or 1), uint8 or uint16.

    They are the bands that the file calls so, else the first three of three or four, or
    the only one; values of 9 to 15 bits are stretched to 16.

    Raises:
        DataError: If it has other bands or values, or pixels without data.
        LargePictureError: If it has more than ``most_pixels``.
    """
    import rasterio
    from rasterio.io import MemoryFile

    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of files without a place
            rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING="YES"),
            MemoryFile(encoded) as file,
            file.open() as dataset,
        ):
            pixel_count = dataset.width * dataset.height
            if pixel_count > LARGEST_PICTURE:
                raise DataError(
                    f"{name}: {dataset.width}x{dataset.height} is too large; cut it"
                )
            if pixel_count > most_pixels:
                raise LargePictureError
            bands = _choose_bands(name, dataset)
            if not dataset.read_masks(bands).all():
                raise DataError(
                    f"{name}: has pixels without data; cut a part that has data in all: "
                    "gdal_translate -srcwin X Y WIDTH HEIGHT IN OUT"
                )
            pixels = np.moveaxis(dataset.read(bands), 0, 2)
            bits = dataset.tags(bands[0], "IMAGE_STRUCTURE").get("NBITS", 16)
            is_inverted = "MINISWHITE" in dataset.tags(ns="IMAGE_STRUCTURE")
    except rasterio.errors.RasterioError as error:
        raise DataError(
            f"{name}: cannot be decoded ({error}); remove or replace it"
        ) from error
    if pixels.dtype == np.uint16:
        pixels = stretch_to_dtype(pixels, int(bits), np.uint16)
    if is_inverted:
        pixels = np.iinfo(pixels.dtype).max - pixels
    return np.ascontiguousarray(pixels)


def _choose_bands(name: str, dataset: Any) -> list[int]:  # noqa: ANN401 - rasterio has no types
    """Return the numbers of one band or of red, green and blue."""
    kinds = set(dataset.dtypes)
    if not kinds <= {"uint8"} and not kinds <= {"uint16"}:
        raise DataError(
            f"{name}: its values are {', '.join(sorted(kinds))}, and pictures "
            f"have 8 or 16 bits; {_FLOAT_ADVICE}"
        )
    called = [colour.name for colour in dataset.colorinterp]
    if set(_COLOURS) <= set(called):
        return [called.index(colour) + 1 for colour in _COLOURS]
    if dataset.count == 1:
        return [1]
    if dataset.count in (3, 4) and "cyan" not in called:
        return [1, 2, 3]
    raise DataError(
        f"{name}: has {dataset.count} bands, none of which is called red; write three of them: "
        "gdal_translate -b 3 -b 2 -b 1 IN OUT"
    )
