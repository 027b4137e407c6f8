"""Pixels of TIFF files, read by GDAL.

Of the readers tried, Pillow keeps 8 of 16-bit colour, the wheels of libvips know no
ZSTD and then give wrong pixels, tifffile alone knows no LZW.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import numpy as np
from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.imaging.files.decoding import DAMAGE, quiet_libraries
from srcli.imaging.files.gdal import alias_of_file
from srcli.imaging.files.tiff_directories import TEXT, UNDEFINED, Tags, first_number
from srcli.imaging.files.tiff_pages import (
    BLOCKS,
    PREMULTIPLIED,
    Page,
    read_page,
    whole_numbers,
)
from srcli.imaging.metadata.colour_spaces import BRADFORD
from srcli.imaging.photographs import pillow
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.photographs.tiff_header import StoredPixels
from srcli.imaging.pixels.alpha import unpremultiplied
from srcli.imaging.pixels.arrays import Array, Size, empty_array, strips
from srcli.imaging.pixels.resize import stretch_to_dtype, to_dtype

_JPEG = 7
_USUAL_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34887, 34925, 50000, 50001)
_COMPRESSIONS = {
    6: "old-style JPEG",
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
    **dict.fromkeys((22610, 34934), "JPEG XR"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
}
_WHITE_IS_0 = 0
_D50 = (0.3457, 0.3585)
"""CIE x and y of the white of L*a*b* that names no other."""
_D65 = np.array([0.95047, 1, 1.08883])
# no look at files that happen to lie beside, and no picture half read
_GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
}


def read_pixels(
    picture: Picture, stream: IO[bytes], folder: Path | None = None
) -> tuple[Array, Array | None]:
    """Decode a TIFF file, not turned: (H, W, C) and alpha (H, W).

    A large file is read into the folder; see ``empty_array``.
    """
    page = read_page(stream, picture.page)
    tags = page.tags
    _check_blocks(tags, stream.seek(0, os.SEEK_END))
    stored = StoredPixels.from_tags(tags)
    colour_model = stored.colour_model
    colours = stored.colours
    prefix = "GTIFF_RAW:" if stored.is_converted else ""
    count = colours + picture.has_alpha
    values, bits = _read_stored(picture.path, page, count, prefix, folder)
    dtype = np.uint8 if picture.bits == 8 else np.uint16
    if colour_model == "CMYK" and values.dtype.kind == "f":
        values = to_dtype(np.nan_to_num(values) * 255.0, np.dtype(dtype))
        bits = 8
    pixels = values[:, :, :colours]
    if colour_model != "palette":
        pixels = stretch_to_dtype(pixels, bits, dtype)
    # GDAL neither inverts gray nor divides by alpha
    alpha = None
    if picture.has_alpha:
        alpha = stretch_to_dtype(values[:, :, colours], bits, dtype)
        is_multiplied = whole_numbers(tags, Base.ExtraSamples)[:1] == [PREMULTIPLIED]
        if is_multiplied and colour_model in ("gray", "RGB", "CMYK"):
            pixels = unpremultiplied(pixels, alpha)
    if colour_model == "palette":
        palette = _palette(tags)
        pixels = palette[np.minimum(pixels[:, :, 0], len(palette) - 1)]
    elif colour_model == "LAB" and (white := _white_of_lab(tags)):
        pixels = _lab_pixels(pixels, white)
    elif stored.is_converted:
        pixels = pillow.to_srgb(pixels, picture.metadata.icc, colour_model)
    elif stored.photometric == _WHITE_IS_0 and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    return np.ascontiguousarray(pixels), alpha


def _white_of_lab(tags: Tags) -> tuple[float, float] | None:
    """Return CIE x and y of the white that L*a*b* refers to; None for D50, as without a tag."""
    entry = tags.get(Base.WhitePoint)
    if entry is None or entry.tiff_type in (TEXT, UNDEFINED):
        return None
    numbers = entry.numbers
    if len(numbers) != 2:
        return None
    x, y = numbers
    is_colour = 0.1 < x < 0.9 and 0.1 < y < 0.9 and x + y < 1
    is_d50 = abs(x - _D50[0]) + abs(y - _D50[1]) < 0.002
    return (x, y) if is_colour and not is_d50 else None


def _lab_pixels(pixels: Array, white: tuple[float, float]) -> Array:
    """Convert L*a*b* of 8 bits, (H, W, 3), whose a* and b* are signed, to sRGB."""
    converted = np.empty(pixels.shape, np.uint8)
    for rows in strips(converted):
        values = pixels[rows].reshape(-1, 3)
        lab = values.view(np.int8).astype(np.float64)
        lab[:, 0] = values[:, 0] / 2.55
        srgb = _lab_to_srgb(lab, white).reshape(converted[rows].shape)
        converted[rows] = np.rint(255 * srgb)
    return converted


def _lab_to_srgb(lab: Array, white: tuple[float, float]) -> Array:
    """Convert CIE L*a*b*, (N, 3) floats, of a white by its CIE x and y, to sRGB of 0 to 1."""
    from skimage.color import xyz2rgb

    x, y = white
    source = np.array([x / y, 1, (1 - x - y) / y])
    gains = (BRADFORD @ _D65) / (BRADFORD @ source)
    to_d65 = np.linalg.inv(BRADFORD) @ np.diag(gains) @ BRADFORD @ np.diag(source)
    middle = (lab[:, 0] + 16) / 116
    roots = np.stack((middle + lab[:, 1] / 500, middle, middle - lab[:, 2] / 200), 1)
    ratios = np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * 108 / 841)
    srgb: Array = xyz2rgb(ratios @ to_d65.T)
    return srgb


def _check_blocks(tags: Tags, file_size: int) -> None:
    """Refuse strips and tiles of which a part is missing; those left out are empty."""
    for offset_tag, length_tag in BLOCKS:
        offsets = whole_numbers(tags, offset_tag)
        lengths = whole_numbers(tags, length_tag)
        for offset, length in zip(offsets, lengths, strict=True):
            is_left_out = offset == length == 0
            if is_left_out:
                continue
            if not length or offset + length > file_size:
                raise ValueError("a part of its pixels is missing")


def _read_stored(
    path: Path, page: Page, count: int, prefix: str, folder: Path | None
) -> tuple[Array, int]:
    """Read bands; where that fails, tell pixels that are only not read from those damaged."""
    size = (
        first_number(page.tags, Base.ImageLength, 0),
        first_number(page.tags, Base.ImageWidth, 0),
    )
    if page.number > 1:
        prefix += f"GTIFF_DIR:{page.number}:"
    try:
        return read_bands(path, "GTiff", size, count, prefix, folder)
    except DAMAGE:
        if stored := _unusual_compression(page.tags):
            raise PictureError(
                f"{path}: its pixels are stored as {stored}, which is not read from TIFF; export "
                "it as PNG, or as TIFF with LZW or deflate"
            ) from None
        raise


def _unusual_compression(tags: Tags) -> str:
    """Return in what pixels are compressed if few readers know it; empty for usual ways."""
    compression = first_number(tags, Base.Compression, 1)
    bits = first_number(tags, Base.BitsPerSample, 1)
    if compression == _JPEG and bits > 8:
        return f"JPEG of {bits} bits"
    if compression in _USUAL_COMPRESSIONS:
        return ""
    return _COMPRESSIONS.get(compression, f"compression {compression}")


def _palette(tags: Tags) -> Array:
    """Return the colours of a palette, (N, 3) uint8, N maybe fewer than values have room for."""
    values = np.array(tags[Base.ColorMap].numbers)
    if values.max(initial=0) > 255:  # some writers store 8 bits
        values = np.rint(values / 257)
    length = len(values) // 3
    return values[: 3 * length].reshape(3, length).T.astype(np.uint8)


def read_bands(
    path: Path,
    driver: str,
    size: Size,
    count: int,
    prefix: str = "",
    folder: Path | None = None,
) -> tuple[Array, int]:
    """Read the first bands of a file with one of GDAL's drivers, as they are stored, not turned.

    The size is (height, width) by the file's header; the prefix ``"GTIFF_RAW:"`` leaves
    CMYK as it is, and ``"GTIFF_DIR:2:"`` takes a page. What is large is read into the
    folder; see ``empty_array``.

    Returns:
        Values (H, W, C), whole numbers or floats, and their bits.
    """
    import rasterio

    name = os.fspath(alias_of_file(path).absolute())
    with rasterio.Env(**_GDAL_OPTIONS):
        # a photograph has no position, of which rasterio warns
        with quiet_libraries():
            source = rasterio.open(prefix + name, driver=driver)
        with source:
            if source.shape != size or source.count < count:
                raise ValueError(
                    f"{source.count} bands of {source.shape[1]}x{source.shape[0]}"
                )
            values = empty_array((*size, count), source.dtypes[0], folder)
            source.read(list(range(1, count + 1)), out=values.transpose(2, 0, 1))
            structure = source.tags(1, ns="IMAGE_STRUCTURE")
    return values, int(structure.get("NBITS", 8 * values.dtype.itemsize))
