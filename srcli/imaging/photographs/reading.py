"""Read photographs of any format, the right way up: headers, pixels, frames of animations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from srcli.imaging.files.decoding import decoding
from srcli.imaging.files.formats import (
    format_of_content,
)
from srcli.imaging.files.provenance import input_id
from srcli.imaging.metadata.credentials import CREDENTIALS_LEFT_OUT, has_credentials
from srcli.imaging.metadata.embedded import profile_fits
from srcli.imaging.metadata.fitting import fit_metadata
from srcli.imaging.metadata.orientation import sidecar_orientation, upright
from srcli.imaging.metadata.pixel_map import PixelMap
from srcli.imaging.photographs import (
    jp2,
    pillow,
    pillow_header,
    png_header,
    tiff_header,
)
from srcli.imaging.photographs.jpeg import find_trailing_video
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.upright_pixels import (
    TURNED_BY_LIBRARY,
    decode_upright,
    recognise,
    upright_layout,
)
from srcli.input_files import open_input


def read_photograph(source: Path | Picture, folder: Path | None = None) -> Photograph:
    """Read a picture file completely: upright pixels, metadata that fit them, and warnings.

    Large arrays lie in the folder where one is given; see ``empty_array``.

    Raises:
        PictureError: If the file is missing, unreadable, damaged, cut short, or not a
            photograph, or has over ``LARGEST_AREA`` pixels.
    """
    if isinstance(source, Picture):
        path = source.path
        pixels = source.height * source.width
    else:
        path = source
        pixels = 0
    with decoding(path, pixels), open_input(path) as stream:
        picture = source if isinstance(source, Picture) else read_header(path, stream)
        values, alpha, notes = decode_upright(picture, stream, folder)
        warnings = [*picture.losses, *notes]
        if picture.format == "jpg":
            # looked for here, as the whole file was read
            warnings += find_trailing_video(stream)
    metadata = picture.metadata
    if metadata.icc is not None and not profile_fits(metadata.icc, picture.channels):
        metadata = replace(metadata, icc=None)
        if not any("converted to RGB" in warning for warning in warnings):
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


def open_known(
    path: Path, page: int = 1, stream: IO[bytes] | None = None
) -> Picture | None:
    """Read the header of a file of a format that is read here; None for others.

    Of a TIFF it is that of a page, counted from 1 without thumbnails. ``stream`` is the
    file, where that is open already. Files beside it are not looked at.
    """
    with (
        decoding(path),
        nullcontext(stream) if stream else open_input(path) as opened,
    ):
        opened.seek(0)
        head = opened.read(64)
        is_known = format_of_content(head) is not None or not head
        if not (is_known or jp2.is_photograph(opened)):
            return None
        picture = read_header(path, opened, page)
        return replace(picture, input_id=input_id(path, opened))


def read_header(path: Path, stream: IO[bytes], page: int = 1) -> Picture:
    """Read the header of an open picture, upright; files beside it are not looked at.

    Size and metadata are those after the orientation is applied.
    """
    stored = _by_sidecar(_read_stored_header(path, stream, page))
    picture = upright_layout(stored)
    if picture.refusal is not None:
        return picture
    pixel_map = PixelMap(stored.size, picture.size, picture.orientation)
    metadata, notes = fit_metadata(picture.metadata, pixel_map)
    # JPEG and PNG have told by now; a search reads up to 2 MB
    if picture.format not in ("jpg", "png", "tif") and has_credentials(stream):
        notes = (*notes, CREDENTIALS_LEFT_OUT)
    return replace(
        picture,
        metadata=metadata,
        warnings=tuple(dict.fromkeys((*picture.warnings, *notes))),
    )


def _by_sidecar(stored: Picture) -> Picture:
    """Return a header with the orientation of a sidecar, which counts before that of EXIF."""
    turn = sidecar_orientation(stored.path)
    is_raster = stored.raster is not None or stored.refusal is not None
    if turn is None or is_raster or stored.format in TURNED_BY_LIBRARY:
        return stored
    embedded = upright_layout(stored).orientation
    notes = stored.warnings
    if turn != embedded and embedded != 1:
        notes += (f"turned by its sidecar ({turn}), not by EXIF ({embedded})",)
    return replace(stored, orientation=turn, warnings=notes)


def _read_stored_header(path: Path, stream: IO[bytes], page: int) -> Picture:
    """Read a header with the reader of its format, not turned."""
    name = recognise(path, stream)
    if name == "png":
        return png_header.read_header(path, stream)
    if name == "tif":
        return tiff_header.read_header(path, stream, page)
    if name == jp2.FORMAT:
        return jp2.read_header(path, stream)
    return pillow_header.read_header(name, path, stream)
