"""Read photographs of any format, the right way up: headers, pixels, frames of animations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from srcli.errors import PictureError
from srcli.files import EMPTY, open_input, written_pictures
from srcli.imaging.files.decoding import decoding
from srcli.imaging.files.formats import (
    READ_ONLY,
    VIDEO_SUFFIXES,
    describe_other_kind,
    format_of_content,
    holds_video,
    is_video,
)
from srcli.imaging.metadata.embedded import profile_fits
from srcli.imaging.metadata.exif import sidecar_orientation, stated_orientation
from srcli.imaging.metadata.left_out import HDR_LEFT_OUT, note_marks
from srcli.imaging.photographs import jp2, jpeg, pillow, png, tiff, tiff_header, vips
from srcli.imaging.photographs.photograph import LARGEST_AREA, Photograph, Picture
from srcli.imaging.pixels.arrays import Array, upright
from srcli.imaging.pixels.resize import stretch_to_dtype

_TURNED_BY_LIBRARY = ("heic", "jxl")
"""Formats that say themselves how pixels are turned, whose libraries do so."""


def read_photograph(source: Path | Picture, folder: Path | None = None) -> Photograph:
    """Read a picture file completely: upright pixels, metadata as stored, and warnings.

    Large arrays lie in the folder where one is given; see ``empty_array``.

    Raises:
        PictureError: If the file is missing, unreadable, damaged, cut short, or not a
            photograph, or has over ``LARGEST_AREA`` pixels.
    """
    picture = None
    pixels = 0
    if isinstance(source, Picture):
        picture = source
        pixels = source.height * source.width
        path = source.path
    else:
        path = source
    with decoding(path, pixels), open_input(path) as stream:
        picture = picture or read_photograph_header(path, stream)
        if picture is None:
            raise not_a_picture(path)
        values, alpha = _decode_upright(picture, stream, folder)
        warnings = [*picture.losses]
        if picture.format == "tga" and alpha is not None and not alpha.any():
            alpha[...] = 255
            warnings.append("its alpha is 0 everywhere: taken for unused, as opaque")
        if picture.format == "jpg":
            # looked for here, as the whole file was read
            warnings += jpeg.note_trailing_video(stream)
    metadata = picture.metadata
    if metadata.icc is not None and not profile_fits(metadata.icc, picture.channels):
        metadata = replace(metadata, icc=None)
        if not picture.is_converted:
            warnings.append("colour profile of another kind of picture left out")
    return Photograph(
        pixels=values,
        alpha=alpha,
        metadata=metadata,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def read_frames(picture: Picture) -> Iterator[tuple[tuple[int, int], Photograph]]:
    """Decode the frames of an animation, complete and not only what changes, one after another.

    Yields:
        Milliseconds, 0 leaves them to the program that shows it, and how often the
        whole is played, 0 is without end; then RGB with alpha, 8 bits.
    """
    with decoding(picture.path):
        stream = open_input(picture.path)
    with stream:
        with decoding(picture.path):
            image, _ = pillow.open_image(picture.format, stream)
        # the first picture of an APNG may be for programs without animation only
        skipped = int(getattr(image, "default_image", False))
        width, height = image.size
        for index in range(skipped, skipped + picture.frames):
            with decoding(picture.path, width * height):
                image.seek(index)
                image.load()
                frame = image
                if frame.mode == "I;16":  # which Pillow would cut at 255
                    frame = frame.point(lambda value: value / 257 + 0.5)
                # Pillow makes a GIF larger for frames that reach beyond it; browsers
                # cut those
                stored = np.asarray(frame.convert("RGBA"))[:height, :width]
            values = upright(stored, picture.orientation)
            photograph = Photograph(
                pixels=values[:, :, :3].copy(),
                alpha=values[:, :, 3].copy(),
                metadata=picture.metadata,
            )
            duration = round(image.info.get("duration", 0))
            plays = _times_played(picture, image.info.get("loop"))
            yield (duration, plays), photograph


def _times_played(picture: Picture, loop: int | None) -> int:
    """Return how often an animation is played by the ``loop`` of its file; 0 is without end."""
    if picture.format != "gif":
        return loop or 0
    if loop is None:
        return 1
    if loop:
        loop += 1  # GIF counts repetitions
    return loop


def read_photograph_header(
    path: Path, stream: IO[bytes], page: int = 1
) -> Picture | None:
    """Read the header of an open picture, upright; None for formats that are not read here.

    Of a TIFF it is that of a page, counted from 1 without thumbnails. The size is that
    after the orientation is applied, metadata are as they are stored. Of files beside it
    a sidecar alone is looked at.
    """
    stored = _read_stored_header(path, stream, page)
    if stored is None or stored.refusal is not None:
        return stored
    picture = _turned(stored)
    frames = picture.frames
    is_several = picture.format == "jpg" and frames > 1
    marks = note_marks(stream, picture.format, is_whole=is_several)
    if is_several and HDR_LEFT_OUT in marks:
        frames -= 1  # the map is no picture of its own
    warnings = tuple(dict.fromkeys((*picture.warnings, *marks)))
    return replace(picture, frames=frames, warnings=warnings)


def _read_stored_header(path: Path, stream: IO[bytes], page: int) -> Picture | None:
    """Read a header with the reader of its format, not turned; None for other formats."""
    stream.seek(0)
    head = stream.read(64)
    stream.seek(0)
    if not head:
        raise PictureError(f"{path}: {EMPTY}")
    name = format_of_content(head)
    if name == "jpg":
        return jpeg.read_jpeg_header(path, stream)
    if name == "png":
        return png.read_png_header(path, stream)
    if name == "tif":
        return tiff_header.read_tiff_header(path, stream, page)
    if name is not None:
        return pillow.read_pillow_header(name, path, stream)
    return jp2.read_jp2_header(path, stream)


def _turned(stored: Picture) -> Picture:
    """Return a header with its orientation, and with the size that it has upright.

    A sidecar counts before EXIF. PictureError for a picture without pixels.
    """
    height, width = stored.size
    if min(height, width) < 1:
        raise PictureError(
            f"{stored.path}: a picture of {width}x{height} pixels is empty"
        )
    orientation = stored.orientation
    if not 1 <= orientation <= 8:  # the format says nothing, or nonsense
        metadata = stored.metadata
        orientation = stated_orientation(metadata.exif, metadata.xmp)
    notes = stored.warnings
    turn = None
    if stored.raster is None and stored.format not in _TURNED_BY_LIBRARY:
        turn = sidecar_orientation(stored.path)
    if turn is not None:
        if turn != orientation != 1:
            notes += (f"turned by its sidecar ({turn}), not by EXIF ({orientation})",)
        orientation = turn
    if orientation > 4 and stored.format != "heic":  # which its library has turned
        height, width = width, height
    return replace(
        stored, height=height, width=width, orientation=orientation, warnings=notes
    )


def _decode_upright(
    picture: Picture, stream: IO[bytes], folder: Path | None = None
) -> tuple[Array, Array | None]:
    """Decode the pixels of an open picture, (H, W, C), and alpha, (H, W), the right way up.

    Large arrays lie in the folder where one is given; see ``empty_array``. PictureError
    for a picture that cannot be read as a photograph, ValueError if its header and its
    pixels disagree.
    """
    path = picture.path
    if picture.refusal is not None:
        raise PictureError(picture.refusal)
    if picture.height * picture.width > LARGEST_AREA:
        raise PictureError(
            f"{path}: a picture of {picture.width}x{picture.height} pixels cannot be read as a "
            "photograph; cut it, or convert it to a GeoTIFF"
        )
    stored, alpha = _decode(picture, stream, folder)
    if picture.format == "tga" and not picture.has_alpha:
        alpha = None
    orientation = 1 if picture.format == "heic" else picture.orientation
    values = upright(stored, orientation, folder)
    del stored
    stated_shape = (*picture.size, picture.channels)
    if values.shape != stated_shape or (alpha is None) == picture.has_alpha:
        raise ValueError("its header and its pixels disagree")
    if alpha is not None:
        alpha = upright(alpha, orientation)
    return values, alpha


def _decode(
    picture: Picture, stream: IO[bytes], folder: Path | None
) -> tuple[Array, Array | None]:
    """Decode a picture's pixels and alpha as its library gives them: turned for HEIC alone."""
    stream.seek(0)
    is_deep = picture.bits > 8
    if picture.format == "tif":
        return tiff.read_pixels(picture, stream, folder)
    if picture.format == "jpg" and is_deep:
        values, bits = tiff.read_bands(
            picture.path, "JPEG", picture.stored_size, picture.channels
        )
        return stretch_to_dtype(values, bits, np.uint16), None
    if picture.format == "jp2" and is_deep:
        return jp2.read_deep_pixels(picture, stream, folder), None
    icc = picture.metadata.icc
    # frames of an animated WebP may be smaller than it
    is_still = picture.format != "webp" or picture.frames == 1
    if picture.format in vips.FORMATS and is_still:
        values, alpha = vips.decode(stream, picture.format, folder)
        if values.shape[2] == 4:
            values = pillow.to_srgb(values, icc, "CMYK")
        return values, alpha
    # the decoded image is not kept here, beside the arrays
    image, _ = pillow.open_image(picture.format, stream)
    return pillow.decode_pixels(image, icc, folder)


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
    names = ", ".join(sorted(written_pictures().keys() | READ_ONLY.keys()))
    return PictureError(
        f"{path}: not a picture that srx reads ({names}), nor a video; convert it first"
    )
