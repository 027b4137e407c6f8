"""Read a photograph of any format: upright, with metadata, and warnings of all losses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import LargePictureError, PictureError
from srcli.imaging import pillow, png, tiff
from srcli.imaging.opening import read_header
from srcli.imaging.photograph import LARGEST_AREA, Photograph, Picture, decoding

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]


def read_photograph(source: Path | Picture) -> Photograph:
    """Read a picture file completely.

    Args:
        source: The file, or what ``open_picture`` gave of it.

    Returns:
        Pixels turned upright, metadata that fit them, and warnings of losses.

    Raises:
        PictureError: If the file is missing, unreadable, damaged, cut short, or not a photograph.
        LargePictureError: If it has over ``LARGEST_AREA`` pixels.
    """
    path = source.path if isinstance(source, Picture) else source
    with decoding(path), path.open("rb") as stream:
        picture = source if isinstance(source, Picture) else read_header(path, stream)
        _check(picture)
        stream.seek(0)
        orientation, icc = picture.orientation, picture.metadata.icc
        if picture.format == "tif":
            pixels, alpha, orientation = tiff.read_pixels(picture, stream)
        elif picture.format == "png":
            pixels, alpha = png.read_pixels(stream)
        else:
            image, _ = pillow.open_image(picture.format, stream)
            pixels, alpha = pillow.pixels_of(image, icc)
    metadata, warnings = picture.metadata, picture.warnings
    if icc is not None and not pillow.profile_fits(icc, picture.channels):
        metadata = replace(metadata, icc=None)
        if not any("converted to RGB" in note for note in warnings):
            warnings = (*warnings, "colour profile of another kind of picture left out")
    return Photograph(
        pixels=upright(pixels, orientation),
        alpha=None if alpha is None else upright(alpha, orientation),
        metadata=metadata,
        warnings=warnings,
    )


def upright(image: Array, orientation: int) -> Array:
    """Turn a picture the right way up.

    Args:
        image: (H, W) or (H, W, C).
        orientation: 1 to 8 as EXIF numbers them: where the stored first row and column belong.
    """
    if orientation > 4:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _check(picture: Picture) -> None:
    if picture.refusal is not None:
        raise PictureError(picture.refusal)
    if picture.height * picture.width > LARGEST_AREA:
        raise LargePictureError(
            f"{picture.path}: a picture of {picture.width}x{picture.height} pixels cannot be read "
            "as a photograph; cut it, or convert it to a GeoTIFF"
        )
