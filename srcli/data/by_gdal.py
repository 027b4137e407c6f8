"""Pictures that Pillow does not hold, by GDAL: TIFFs of whole numbers, and PNGs of 16 bits."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srcli.errors import DataError
from srcli.files import explain_os_error, write_whole
from srcli.imaging.pixels.arrays import Array
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


@dataclass(frozen=True)
class DecodedPicture:
    """The pixels of a file, and what is lost where they become RGB."""

    pixels: Array
    """(H, W, 1 or 3), uint8 or, of more bits, uint16."""
    is_opaque: bool = True

    @property
    def is_gray(self) -> bool:
        """True if the file has one channel."""
        return bool(self.pixels.shape[2] == 1)

    @property
    def rgb(self) -> Array:
        """The pixels with three channels; gray becomes R = G = B."""
        if self.is_gray:
            return np.repeat(self.pixels, 3, axis=2)
        return self.pixels


def is_tiff(encoded: bytes) -> bool:
    """Return True for the content of a TIFF file."""
    return encoded.startswith(TIFF_STARTS)


def check_size(name: str, width: int, height: int, most_pixels: int) -> None:
    """Refuse a picture of more than ``LARGEST_PICTURE`` (DataError), or more than is wanted now.

    LargePictureError says that it has more than ``most_pixels``.
    """
    if width * height > LARGEST_PICTURE:
        raise DataError(f"{name}: {width}x{height} is too large; cut it")
    if width * height > most_pixels:
        raise LargePictureError


def read_by_gdal(
    name: str, encoded: bytes, most_pixels: int = LARGEST_PICTURE
) -> DecodedPicture:
    """Return red, green and blue, or gray, of a TIFF or a PNG, as they are stored.

    They are the bands that the file calls so, else the first three of three or four, or
    the only one; values of 9 to 15 bits are stretched to 16.

    Raises:
        DataError: If it has other bands or values, or, as a TIFF, pixels without data.
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
            check_size(name, dataset.width, dataset.height, most_pixels)
            bands = _choose_bands(name, dataset)
            opacity = dataset.read_masks(bands)
            if dataset.driver == "GTiff" and not opacity.all():
                raise DataError(
                    f"{name}: has pixels without data; cut a part that has data in all: "
                    "gdal_translate -srcwin X Y WIDTH HEIGHT IN OUT"
                )
            pixels = np.moveaxis(dataset.read(bands), 0, 2)
            bits = dataset.tags(bands[0], "IMAGE_STRUCTURE").get("NBITS", 16)
            is_inverted = "MINISWHITE" in dataset.tags(ns="IMAGE_STRUCTURE")
    except rasterio.errors.RasterioError as error:
        # without the name of the file in memory, and the place in it
        reason = str(error.__cause__ or error).rpartition(": ")[2]
        raise DataError(
            f"{name}: cannot be decoded ({reason}); remove or replace it"
        ) from error
    if pixels.dtype == np.uint16:
        pixels = stretch_to_dtype(pixels, int(bits), np.uint16)
    if is_inverted:
        pixels = np.iinfo(pixels.dtype).max - pixels
    return DecodedPicture(np.ascontiguousarray(pixels), bool(opacity.min() == 255))


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
    if dataset.count == 1 or called == ["gray", "alpha"]:
        return [1]
    if dataset.count in (3, 4) and "cyan" not in called:
        return [1, 2, 3]
    raise DataError(
        f"{name}: has {dataset.count} bands, none of which is called red; write three of them: "
        "gdal_translate -b 3 -b 2 -b 1 IN OUT"
    )


def write_png(path: Path, pixels: Array) -> None:
    """Write pixels (H, W, C), uint8 or uint16, as a PNG; DataError where it cannot be written."""
    from rasterio.io import MemoryFile

    height, width, count = pixels.shape
    with warnings.catch_warnings(action="ignore"), MemoryFile() as file:
        with file.open(
            driver="PNG",
            height=height,
            width=width,
            count=count,
            dtype=pixels.dtype,
            zlevel=4,  # more would cost seconds for 2 %
        ) as dataset:
            dataset.write(np.moveaxis(pixels, 2, 0))
        content = file.read()
    try:
        write_whole(path, content)
    except OSError as error:
        raise DataError(explain_os_error(path, error)) from error
