"""Read a photograph of any format: the right way up, with its metadata, nothing lost in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging import exif, generic, png_pixels, tiff
from srcli.imaging.headers import header_of
from srcli.imaging.opening import decoding
from srcli.imaging.photograph import Metadata, Photograph

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.imaging.header import Header

    Array = NDArray[Any]


def read_photograph(path: Path) -> Photograph:
    """Read a picture file completely.

    Args:
        path: The file; its format is told from its content.

    Returns:
        Pixels turned upright, metadata that fit them, and warnings of what the file holds beyond.

    Raises:
        PictureError: If the file is missing, unreadable, damaged, cut short, or not a photograph.
    """
    with decoding(path), path.open("rb") as stream:
        header = header_of(path, stream)
        stream.seek(0)
        orientation = header.orientation
        if isinstance(header, tiff.TiffHeader):
            pixels, alpha, orientation = tiff.read_pixels(path, stream, header)
        elif header.format == "png":
            pixels, alpha = png_pixels.read_pixels(stream)
        else:
            pixels, alpha = generic.read_pixels(header.format, stream, header.icc)
    return Photograph(
        pixels=upright(pixels, orientation),
        alpha=None if alpha is None else upright(alpha, orientation),
        metadata=_metadata(header),
        warnings=tuple(dict.fromkeys(header.notes)),
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


def _metadata(header: Header) -> Metadata:
    block, profile = header.exif, header.icc
    if block is not None:
        try:
            block = exif.upright_exif(block)
        except ValueError:
            block = None
            header.notes.append("damaged EXIF left out")
    if profile is not None and not generic.fits(profile, header.channels):
        profile = None
        if not any("converted to RGB" in note for note in header.notes):
            header.notes.append("colour profile of another kind of picture left out")
    return Metadata(
        icc=profile,
        exif=block,
        xmp=None if header.xmp is None else exif.upright_xmp(header.xmp),
        dpi=header.dpi,
    )
