"""Second readers: what the first reader of a format refuses is tried with libvips and GDAL.

They are strict, so that a file that is cut short is not read by half: whatever libvips or libjpeg
warns of counts as damage.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.imaging import bmp, gdal, heif, pillow, tiff, vips
from srcli.imaging.exif import PREFIX
from srcli.imaging.kinds import jpeg_frame
from srcli.imaging.photograph import Metadata, Picture, kind_not_read

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

_BOXED = frozenset({"avif", "heic"})
"""Formats made of boxes, whose pictures libvips turns upright by itself."""
_BY_VIPS = frozenset({"jpg", "webp"}) | _BOXED
_DEEP_JPEG_BITS = 12


def read_header(name: str, path: Path, stream: IO[bytes]) -> Picture:
    """Read the header of a file that the format's first reader does not open.

    Raises:
        PictureError: If it is sound, but of a kind that would come out wrong.
        NotImplementedError: If there is no second reader for the format.
        ValueError: If it is damaged or of a kind that is not read; OSError as well.
    """
    if name not in (_BY_VIPS | {"bmp"}):
        raise NotImplementedError
    header = bmp.read_header if name == "bmp" else partial(_read_vips_header, name)
    picture, notes = header(path, stream), list[str]()
    metadata = picture.metadata
    icc, label = pillow.read_colours(
        name, stream, metadata.icc, exif=metadata.exif, channels=picture.channels, notes=notes
    )
    return replace(
        picture,
        metadata=replace(metadata, icc=icc, colours=label),
        warnings=(*picture.warnings, *notes),
    )


def read_pixels(picture: Picture, stream: IO[bytes]) -> tuple[Array, Array | None, int]:
    """Decode a file that the format's first reader refuses.

    Args:
        picture: Its header, by either reader.
        stream: The file.

    Returns:
        Pixels (H, W, C), alpha (H, W) or None, and the orientation that is still to be applied.

    Raises:
        PictureError: If it is sound, but of a kind that would come out wrong.
        NotImplementedError: If there is no second reader for the format.
        ValueError: If it is damaged or of a kind that is not read; OSError as well.
    """
    if picture.format == "tif" and picture.bits == 8:
        return tiff.read_by_gdal(picture, stream)
    if picture.format == "bmp":
        return *bmp.read_pixels(stream), 1
    if picture.format not in _BY_VIPS:
        raise NotImplementedError
    if picture.format == "jpg" and _is_deep_jpeg(stream):
        values = _read_deep_jpeg(picture)
    else:
        values = _read_by_vips(picture, stream)
    if picture.bits == 8 and values.dtype == np.uint16:
        values = gdal.scaled(values, 16, np.uint8)
    orientation = 1 if picture.format in _BOXED else picture.orientation
    if not picture.has_alpha:
        return values, None, orientation
    pixels, alpha = values[:, :, :-1], values[:, :, -1].copy()
    if picture.format in _BOXED and alpha.min() > 0 and alpha.max() < np.iinfo(alpha.dtype).max:
        # 16 to 235 may be meant for the whole range, which libheif does not tell
        raise kind_not_read(picture.path, "AVIF (alpha of unknown range)")
    if picture.format in _BOXED and b"prem" in heif.whole_meta(_read_all(picture.format, stream)):
        pixels = tiff.unmultiplied(pixels, alpha)
    return pixels.copy(), alpha, orientation


def _read_vips_header(name: str, path: Path, stream: IO[bytes]) -> Picture:
    deep = name == "jpg" and _is_deep_jpeg(stream)
    opened = vips.open_picture(name, data := _read_all(name, stream))
    image, exif = opened.image, opened.field("exif-data")
    if name in _BOXED and heif.count_gray(data) > image.hasalpha():
        # libheif takes 16 to 235 for the whole range then
        raise kind_not_read(path, "AVIF (gray, of an unusual size or structure)")
    notes = ["CMYK converted to RGB"] * (image.interpretation == "cmyk")
    notes += ["values of 12 bits stretched to 16"] * deep
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    if pages > 1:
        notes.append(f"holds {pages} pictures: only the first is used")
    return Picture(
        path=path,
        format=name,
        height=image.height,
        width=image.width,
        channels=1 if image.bands < 3 else 3,
        has_alpha=bool(image.hasalpha()),
        bits=16 if deep or opened.bits > 8 else 8,
        orientation=1 if name in _BOXED else 0,
        lossless=name == "webp" and pillow.is_lossless_webp(stream),
        metadata=Metadata(
            icc=opened.field("icc-profile-data"),
            exif=PREFIX + exif.removeprefix(PREFIX) if exif else None,
            xmp=opened.field("xmp-data"),
        ),
        warnings=tuple(notes),
    )


def _read_by_vips(picture: Picture, stream: IO[bytes]) -> Array:
    opened = vips.open_picture(picture.format, data := _read_all(picture.format, stream))
    image = opened.image
    upright = picture.orientation <= 4 or picture.format in _BOXED
    size = (image.height, image.width) if upright else (image.width, image.height)
    if size != (picture.height, picture.width) or image.hasalpha() != picture.has_alpha:
        raise ValueError("readers see different pictures in it")
    values = opened.decode()
    del data
    if image.interpretation == "cmyk":
        return pillow.raw_to_srgb(values, "CMYK", picture.metadata.icc)
    if values.shape[2] - picture.has_alpha != picture.channels:
        raise ValueError(f"{values.shape[2]} channels")
    return values


def _read_deep_jpeg(picture: Picture) -> Array:
    turned = picture.orientation > 4
    size = (picture.width, picture.height) if turned else (picture.height, picture.width)
    bands = gdal.read_bands(picture.path, "JPEG", size, picture.channels)
    return gdal.scaled(bands.values, _DEEP_JPEG_BITS, np.uint16)


def _is_deep_jpeg(stream: IO[bytes]) -> bool:
    """Tell if a JPEG has 12 bits a value, which libvips does not decode.

    Raises:
        ValueError: If nothing here decodes it.
    """
    frame = jpeg_frame(stream)
    if frame is None or frame.bits == 8:
        return False
    if frame.bits != _DEEP_JPEG_BITS or frame.process or frame.channels not in (1, 3):
        raise ValueError(f"JPEG of {frame.bits} bits")
    return True


def _read_all(name: str, stream: IO[bytes]) -> bytes:
    stream.seek(0)
    data = stream.read()
    if name in _BOXED and b"av01" not in heif.whole_meta(data):
        raise NotImplementedError  # the wheels of libvips decode no HEVC
    return data
