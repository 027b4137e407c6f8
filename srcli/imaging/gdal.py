"""Decode photographs with GDAL: deep TIFF files, and kinds that Pillow refuses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.pillow import quiet_pillow

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

# no look at files that happen to lie beside, and no picture half read
_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
}


@dataclass(frozen=True, kw_only=True)
class Bands:
    """The bands of a file as they are stored, not turned."""

    values: Array
    """(H, W, C); whole numbers of ``bits`` bits, or floats."""
    bits: int
    inverted: bool
    """0 is white."""
    palette: Array
    """(N, 3) uint8, RGB; N = 0 without one."""


def read_bands(
    path: Path, driver: str, size: tuple[int, int], count: int, prefix: str = ""
) -> Bands:
    """Read the first bands of a file.

    Args:
        path: The file.
        driver: GDAL's name of its format.
        size: The height and width that its header says.
        count: How many bands.
        prefix: Put before its name: ``"GTIFF_RAW:"`` leaves CMYK as it is.

    Raises:
        PictureError: If rasterio is not installed.
        OSError: If GDAL cannot read it; ValueError if it is of another size.
    """
    try:
        import rasterio
    except ImportError:
        raise PictureError(
            f"{path}: reading this kind of file needs rasterio; "
            "install it, or convert the file to PNG"
        ) from None
    with rasterio.Env(**_OPTIONS):
        with quiet_pillow():  # a photograph has no position, of which rasterio warns
            source = rasterio.open(prefix + os.fspath(path.absolute()), driver=driver)
        with source:
            if source.shape != size or source.count < count:
                raise ValueError(f"{source.count} bands of {source.shape[1]}x{source.shape[0]}")
            bands = source.read(list(range(1, count + 1)))
            words = source.tags(ns="IMAGE_STRUCTURE")
            bits = source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8 * bands.dtype.itemsize)
            indexed = source.colorinterp[0].name == "palette"
            palette = source.colormap(1) if indexed else {}
    table = [palette[index][:3] for index in sorted(palette)]
    return Bands(
        values=np.ascontiguousarray(np.moveaxis(bands, 0, 2)),
        bits=int(bits),
        inverted=words.get("MINISWHITE") == "YES",
        palette=np.array(table, np.uint8).reshape(-1, 3),
    )


def scaled(values: Array, bits: int, dtype: type) -> Array:
    """Stretch whole numbers of some bits over the whole range of a dtype; floats become float32.

    Args:
        values: 0 to 2**bits - 1.
        bits: 1 to 16.
        dtype: ``numpy.uint8`` or ``numpy.uint16``.
    """
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    top = np.iinfo(dtype).max
    if values.dtype == dtype and top == 2**bits - 1:
        return values
    levels: Array = np.rint(np.arange(2**bits) * (top / (2**bits - 1))).astype(dtype)
    stretched: Array = levels[np.minimum(values, 2**bits - 1)]
    return stretched
