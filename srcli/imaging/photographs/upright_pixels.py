"""Decode photographs of any format to upright pixels, without their metadata."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.files.decoding import decoding
from srcli.imaging.files.formats import (
    FORMATS,
    READ_ONLY,
    VIDEO_SUFFIXES,
    describe_other_kind,
    format_of_content,
    holds_video,
    is_video,
)
from srcli.imaging.files.tiff_pages import read_page
from srcli.imaging.metadata.orientation import stated_orientation, upright
from srcli.imaging.photographs import jp2, pillow, png, tiff, vips
from srcli.imaging.photographs.photograph import LARGEST_AREA, Picture
from srcli.imaging.photographs.targa import correct_alpha
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import stretch_to_dtype
from srcli.input_files import open_input

TURNED_BY_LIBRARY = ("heic", "jxl")
"""Formats that say themselves how pixels are turned, whose libraries do so."""


def read_pixels(path: Path) -> tuple[Array, Array | None]:
    """Read the upright pixels of a picture file, (H, W, C), and its alpha, (H, W), or None.

    They are those of ``read_photograph``, and so are the errors, but for turns that a
    sidecar states.
    """
    with decoding(path), open_input(path) as stream:
        picture = upright_layout(_read_layout(path, stream))
        pixels, alpha, _ = decode_upright(picture, stream)
    return pixels, alpha


def _read_layout(path: Path, stream: IO[bytes]) -> Picture:
    """Return how the pixels of an open picture are stored, by its header."""
    name = recognise(path, stream)
    if name == "png":
        return png.read_layout(path, png.read_contents(stream), stream)
    if name == "tif":
        return tiff.read_layout(path, read_page(stream), stream)
    if name == jp2.FORMAT:
        return jp2.read_header(path, stream)
    image, messages = pillow.open_image(name, stream)
    return pillow.read_layout(name, path, image, messages, stream)


def recognise(path: Path, stream: IO[bytes]) -> str:
    """Return the format of an open picture; PictureError for what is none, or a raster."""
    stream.seek(0)
    head = stream.read(64)
    stream.seek(0)
    if not head:
        raise PictureError(f"{path}: the file is empty (0 bytes); copy it again")
    name = format_of_content(head)
    if name is not None:
        return name
    if jp2.is_photograph(stream):
        return jp2.FORMAT
    raise not_a_picture(path)


def upright_layout(picture: Picture) -> Picture:
    """Return a header with its orientation, and with the size that it has upright.

    PictureError for a picture without pixels; one with a ``refusal`` comes as it is.
    """
    if picture.refusal is not None:
        return picture
    if min(picture.size) < 1:
        raise PictureError(
            f"{picture.path}: a picture of {picture.width}x{picture.height} pixels is empty"
        )
    orientation = picture.orientation
    if not 1 <= orientation <= 8:  # the format says nothing, or nonsense
        metadata = picture.metadata
        orientation = stated_orientation(metadata.exif, metadata.xmp)
    height, width = picture.size
    if orientation > 4:
        height, width = width, height
    return replace(picture, height=height, width=width, orientation=orientation)


def decode_upright(
    picture: Picture, stream: IO[bytes], folder: Path | None = None
) -> tuple[Array, Array | None, list[str]]:
    """Decode the pixels of an open picture, (H, W, C), and alpha, (H, W), the right way up.

    The third value is what is left out of alpha, in words for the user. Large arrays lie
    in the folder where one is given; see ``empty_array``. PictureError for a picture that
    cannot be read as a photograph, ValueError if its header and its pixels disagree.
    """
    path = picture.path
    if picture.refusal is not None:
        raise PictureError(picture.refusal)
    if picture.height * picture.width > LARGEST_AREA:
        raise PictureError(
            f"{path}: a picture of {picture.width}x{picture.height} pixels cannot be read as a "
            "photograph; cut it, or convert it to a GeoTIFF"
        )
    stored, alpha, orientation = _decode(picture, stream, folder)
    values = upright(stored, orientation, folder)
    del stored
    stated_shape = (*picture.size, picture.channels)
    if values.shape != stated_shape or (alpha is None) == picture.has_alpha:
        raise ValueError("its header and its pixels disagree")
    notes = []
    if picture.format == "tga" and alpha is not None:
        alpha = correct_alpha(stream, alpha)
        if not alpha.any():
            alpha[...] = 255
            notes.append("its alpha is 0 everywhere: taken for unused, as opaque")
    if alpha is not None:
        alpha = upright(alpha, orientation)
    return values, alpha, notes


def _decode(
    picture: Picture, stream: IO[bytes], folder: Path | None
) -> tuple[Array, Array | None, int]:
    """Decode a picture's pixels and alpha; return them and the orientation left to apply."""
    stream.seek(0)
    if picture.format == "tif":
        return *tiff.read_pixels(picture, stream, folder), picture.orientation
    if picture.format == "png":
        return *vips.read_png(stream, folder), picture.orientation
    if picture.format == "jpg" and picture.bits > 8:
        size = picture.size  # upright; needed is that of the pixels as they are stored
        if picture.orientation > 4:
            size = size[::-1]
        values, bits = tiff.read_bands(picture.path, "JPEG", size, picture.channels)
        return stretch_to_dtype(values, bits, np.uint16), None, picture.orientation
    if picture.format == jp2.FORMAT and picture.bits > 8:
        return jp2.read_deep_pixels(picture, stream, folder), None, picture.orientation
    # the decoded image is not kept here, beside the arrays
    image = pillow.crop_to_shown(pillow.open_image(picture.format, stream)[0], stream)
    # Pillow's pixels of HEIC are upright
    orientation = 1 if picture.format == "heic" else picture.orientation
    icc = picture.metadata.icc
    return *pillow.decode_pixels(image, icc, folder), orientation


def not_a_picture(path: Path) -> PictureError:
    """Return the error for a file of no format that srx reads."""
    has_name = path.suffix.lower() in VIDEO_SUFFIXES
    if has_name and is_video(path):
        return PictureError(f"{path}: is a video, not a photograph")
    if holds_video(path):
        return PictureError(
            f"{path}: is a video with the name of a picture; rename it to end in .mp4 or "
            "another extension of videos"
        )
    if path.suffix.lower() == ".pdf":
        return PictureError(
            f"{path}: a PDF; take out its pictures (pdfimages -all) or draw its pages (pdftoppm "
            "-r 300 -png), upscale those, and bind them again (img2pdf); a map keeps its "
            "place by gdal_translate --config GDAL_PDF_DPI 300 IN.pdf out.tif"
        )
    if words := describe_other_kind(path):
        return PictureError(f"{path}: {words}")
    pictures = {name for name, form in FORMATS.items() if form.is_picture}
    names = ", ".join(sorted(pictures | READ_ONLY.keys()))
    return PictureError(
        f"{path}: not a picture that srx reads ({names}), nor a video; convert it first"
    )
