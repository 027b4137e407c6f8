"""GeoTIFFs as pictures to train on and to measure: bands of whole numbers, pixels without data."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srcli.errors import DataError, PictureError
from srcli.imaging.files.decoding import decoding, quiet_libraries
from srcli.imaging.photographs.photograph import LARGEST_AREA

if TYPE_CHECKING:
    from PIL import Image

LARGEST_PICTURE = 2**28
"""Most pixels of a picture; training decodes whole ones."""
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF files of both byte orders."""
_NODATA_TAG = 42113
"""GDAL's tag of the value of pixels without data."""
_CELL = 16
"""Edge in pixels of the squares by which the largest part with data is found."""
_TIFF_SUFFIXES = (".tif", ".tiff")
_MOST_BANDS = 4
"""Of pictures that are measured: red, green, blue and alpha."""
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


def has_nodata(image: Image.Image) -> bool:
    """Return True for an open TIFF that names a value of pixels without data."""
    return _NODATA_TAG in vars(image).get("tag_v2", {})


def read_raster(name: str, encoded: bytes, most_pixels: int) -> NDArray[Any]:
    """Return red, green and blue (H, W, 3) of a GeoTIFF, uint8 or uint16.

    They are the bands that the file calls so, else the first three of three or four, or
    one for all. Of a raster with pixels without data the largest rectangle that has none
    is returned.

    Raises:
        DataError: If it has other bands or values, or no part of data.
        LargePictureError: If it has more than ``most_pixels``.
    """
    import rasterio
    from rasterio.io import MemoryFile

    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of files without a place
            rasterio.Env(),
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
            pixels = np.moveaxis(dataset.read(bands), 0, 2)
            masks = dataset.read_masks(bands)
    except rasterio.errors.RasterioError as error:
        raise DataError(
            f"{name}: cannot be decoded ({error}); remove or replace it"
        ) from error
    pixels = _largest_part(name, pixels, masks.all(axis=0))
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _choose_bands(name: str, dataset: Any) -> list[int]:  # noqa: ANN401 - rasterio has no types
    """Return the numbers of one band or of red, green and blue."""
    kinds = set(dataset.dtypes)
    if not kinds <= {"uint8"} and not kinds <= {"uint16"}:
        raise DataError(
            f"{name}: its values are {', '.join(sorted(kinds))}, and training takes 8 or 16 "
            f"bits; {_FLOAT_ADVICE}"
        )
    called = [colour.name for colour in dataset.colorinterp]
    if set(_COLOURS) <= set(called):
        return [called.index(colour) + 1 for colour in _COLOURS]
    if dataset.count == 1:
        return [1]
    if dataset.count in (3, 4):
        return [1, 2, 3]
    raise DataError(
        f"{name}: has {dataset.count} bands, none of which is called red; write three of them: "
        "gdal_translate -b 3 -b 2 -b 1 IN OUT"
    )


def _largest_part(name: str, pixels: NDArray[Any], valid: NDArray[Any]) -> NDArray[Any]:
    """Return the largest rectangle of pixels (H, W, C) that are all ``valid`` (H, W)."""
    if valid.all():
        return pixels
    rows = len(valid) // _CELL
    columns = valid.shape[1] // _CELL
    pixels_of_cells = valid[: rows * _CELL, : columns * _CELL]
    cells = pixels_of_cells.reshape(rows, _CELL, columns, _CELL).all(axis=(1, 3))
    top, left, height, width = largest_rectangle(np.asarray(cells))
    if not height:
        raise DataError(
            f"{name}: has no part of {_CELL}x{_CELL} pixels with data; remove it"
        )
    down = slice(top * _CELL, (top + height) * _CELL)
    across = slice(left * _CELL, (left + width) * _CELL)
    return pixels[down, across]


def largest_rectangle(cells: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the largest rectangle of True; zeros without one.

    Row by row: how many cells upwards are True, and by a stack of rising columns the
    largest rectangle that ends in this row.
    """
    best = (0, 0, 0, 0)
    heights = [0] * cells.shape[1]
    for row, line in enumerate(cells.tolist()):
        heights = [
            height + 1 if cell else 0
            for height, cell in zip(heights, line, strict=True)
        ]
        rising: list[tuple[int, int]] = []  # first column of a height, and the height
        for column, height in enumerate([*heights, 0]):
            begin = column
            while rising and rising[-1][1] >= height:
                begin, tall = rising.pop()
                if tall * (column - begin) > best[2] * best[3]:
                    best = (row - tall + 1, begin, tall, column - begin)
            rising.append((begin, height))
    return best


def note_on_empty_pixels(files: Sequence[Path]) -> str:
    """Return a warning of GeoTIFFs that declare nodata, or a mask, which some pixels have.

    An area of one value is enlarged without error, so that scores are too high. Empty
    where all pixels hold data.
    """
    shares = []
    for file in files:
        if file.suffix.lower() in _TIFF_SUFFIXES:
            share = _empty_share(file)
            if share:
                shares.append(share)
    if not shares:
        return ""
    count = "1 picture has" if len(shares) == 1 else f"{len(shares)} pictures have"
    return (
        f"{count} pixels without data ({sum(shares) / len(shares):.1%}), which count as picture: "
        "scores are higher than those of the picture alone; cut parts that have data, such as "
        "by gdal_translate -srcwin"
    )


def _empty_share(path: Path) -> float:
    """Return the share of a raster's pixels that are without data in all bands, 0 to 1."""
    import rasterio
    from rasterio.enums import MaskFlags

    try:
        with ExitStack() as stack:
            with decoding(path), quiet_libraries():
                dataset = rasterio.open(path, driver="GTiff", sharing=False)
                stack.enter_context(dataset)
            kinds = {kind for kinds in dataset.mask_flag_enums for kind in kinds}
            if kinds <= {MaskFlags.all_valid, MaskFlags.alpha, MaskFlags.per_dataset}:
                is_declared = MaskFlags.alpha not in kinds
                if not (is_declared and MaskFlags.per_dataset in kinds):
                    return 0.0
            pixel_count = dataset.width * dataset.height
            if pixel_count > LARGEST_AREA or dataset.count > _MOST_BANDS:
                return 0.0  # which is no picture to measure
            with decoding(path, pixel_count):
                masks = dataset.read_masks()
    except PictureError:
        return 0.0  # reading it gives the reason
    return float(np.mean(masks.max(axis=0) == 0))
