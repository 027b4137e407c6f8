"""Read picture files of any format: the header, once, for planning, and photographs upright."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging import pillow, png, tiff, vips
from srcli.imaging.metadata import exif
from srcli.imaging.metadata.fitting import fit_metadata
from srcli.imaging.metadata.labels import profile_fits
from srcli.imaging.metadata.pixel_map import PixelMap
from srcli.imaging.metadata.xmp import xmp_orientation
from srcli.imaging.photograph import (
    FORMATS,
    LARGEST_AREA,
    NAME,
    Array,
    Photograph,
    Picture,
    Provenance,
    decoding,
    format_of_content,
    mark_source,
)

_SOFTWARE = re.compile(
    r"(?P<version>\S+) \((?P<model>.+) x(?P<scale>\d)(?P<auto>, auto)?"
    r"(?:, options (?P<options>[0-9a-f]{8}))?(?:, weights (?P<weights>[0-9a-f]{16}))?"
    r"(?:, source (?P<source>\w* [0-9a-f]{8} (?:[0-9a-f]{8})?))?\)"
)


def read_photograph(source: Path | Picture) -> Photograph:
    """Read a picture file completely: upright pixels, metadata that fit them, and warnings.

    Raises:
        PictureError: If the file is missing, unreadable, damaged, cut short, or not a
            photograph, or has over ``LARGEST_AREA`` pixels.
    """
    path = source.path if isinstance(source, Picture) else source
    pixels = source.height * source.width if isinstance(source, Picture) else 0
    with decoding(path, pixels), open_input(path) as stream:
        picture = source if isinstance(source, Picture) else read_header(path, stream)
        if picture.refusal is not None:
            raise PictureError(picture.refusal)
        if picture.height * picture.width > LARGEST_AREA:
            raise PictureError(
                f"{path}: a picture of {picture.width}x{picture.height} pixels cannot be read as a "
                "photograph; cut it, or convert it to a GeoTIFF"
            )
        stored, alpha, orientation = _decode(picture, stream)
        values = upright(stored, orientation)
        stated_shape = (picture.height, picture.width, picture.channels)
        has_alpha = alpha is not None
        if values.shape != stated_shape or has_alpha != picture.has_alpha:
            raise ValueError("its header and its pixels disagree")
        warnings = list(picture.losses)
        if picture.format == "jpg":
            # looked for here, as the whole file was read
            warnings += pillow.video_behind(stream)
    if alpha is not None:
        alpha = upright(alpha, orientation)
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


def _decode(picture: Picture, stream: IO[bytes]) -> tuple[Array, Array | None, int]:
    """Decode a picture's pixels and alpha; return them and the orientation left to apply."""
    stream.seek(0)
    if picture.format == "tif":
        return *tiff.read_pixels(picture, stream), picture.orientation
    if picture.format == "png":
        return *vips.read_png(stream), picture.orientation
    if picture.format == "jpg" and picture.bits > 8:
        size = (picture.height, picture.width)
        if picture.orientation > 4:
            size = (picture.width, picture.height)
        values, bits = tiff.read_bands(picture.path, "JPEG", size, picture.channels)
        return tiff.scaled(values, bits, np.uint16), None, picture.orientation
    # the decoded image is not kept here, beside the arrays
    image = pillow.cropped(pillow.open_image(picture.format, stream)[0], stream)
    # Pillow's pixels of HEIC are upright
    orientation = 1 if picture.format == "heic" else picture.orientation
    return *pillow.pixels_of(image, picture.metadata.icc), orientation


def read_frames(picture: Picture) -> Iterator[tuple[Photograph, int, int]]:
    """Decode the frames of an animation, complete and not only what changes, one after another.

    Yields:
        RGB with alpha, 8 bits; milliseconds, 0 leaves them to the program that shows
        it; and how often the whole is played, 0 is without end.
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
                # Pillow makes a GIF larger for frames that reach beyond it; browsers
                # cut those
                stored = np.asarray(image.convert("RGBA"))[:height, :width]
            values = upright(stored, picture.orientation)
            photograph = Photograph(
                pixels=values[:, :, :3].copy(),
                alpha=values[:, :, 3].copy(),
                metadata=picture.metadata,
            )
            duration = round(image.info.get("duration", 0))
            yield photograph, duration, _times_played(picture, image.info.get("loop"))


def _times_played(picture: Picture, loop: int | None) -> int:
    """Return how often an animation is played by the ``loop`` of its file; 0 is without end."""
    if picture.format != "gif":
        return loop or 0
    if loop is None:
        return 1
    if loop:
        loop += 1  # GIF counts repetitions
    return loop


def upright(image: Array, orientation: int) -> Array:
    """Turn (H, W) or (H, W, C) the right way up by its orientation, 1 to 8 as EXIF numbers them."""
    if orientation > 4:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def open_picture(path: Path, *, confined: bool = False) -> Picture:
    """Read a file's header and decide if it is a photograph or a raster; no pixel is decoded.

    The path may be a ``DatasetName``. Files beside it can make it a raster, such as
    world files. Rasters made of other files are no pictures if they are to be
    ``confined``.
    """
    from srcli.imaging.rasters.info import companion_reason
    from srcli.imaging.rasters.opening import DatasetName, open_by_gdal

    if not isinstance(path, DatasetName):
        with decoding(path), open_input(path) as stream:
            head = stream.read(64)
            if format_of_content(head) is not None or not head:
                picture = read_header(path, stream)
                picture = replace(picture, mark=mark_source(path, stream))
                if picture.raster is None:
                    picture = replace(picture, raster=companion_reason(picture))
                return picture
    raster = open_by_gdal(path, confined=confined)
    if raster is None:
        raise _not_a_picture(path)
    return raster


def read_header(path: Path, stream: IO[bytes]) -> Picture:
    """Read the header of an open picture, upright; files beside it are not looked at.

    Size and metadata are those after the orientation is applied.
    """
    stream.seek(0)
    head = stream.read(64)
    stream.seek(0)
    name = format_of_content(head)
    if not head:
        raise PictureError(f"{path}: the file is empty (0 bytes); copy it again")
    if name is None:
        raise _not_a_picture(path)
    if name == "png":
        picture = png.read_header(path, stream)
    elif name == "tif":
        picture = tiff.read_header(path, stream)
    else:
        picture = pillow.read_header(name, path, stream)
    if picture.refusal is not None:
        return picture
    if min(picture.height, picture.width) < 1:
        raise PictureError(
            f"{path}: a picture of {picture.width}x{picture.height} pixels is empty"
        )
    orientation = picture.orientation
    if not 1 <= orientation <= 8:
        orientation = (
            exif.orientation(picture.metadata.exif)
            or xmp_orientation(picture.metadata.xmp)
            or 1
        )
    size = (picture.height, picture.width)
    height, width = reversed(size) if orientation > 4 else size
    pixel_map = PixelMap(size, (height, width), orientation)
    metadata, notes = fit_metadata(picture.metadata, pixel_map)
    return replace(
        picture,
        height=height,
        width=width,
        orientation=orientation,
        metadata=metadata,
        warnings=tuple(dict.fromkeys((*picture.warnings, *notes))),
    )


def _not_a_picture(path: Path) -> PictureError:
    names = ", ".join(sorted({*FORMATS, "heic", "jxl"}))
    return PictureError(
        f"{path}: not a picture that srx reads ({names}); convert it first"
    )


def read_provenance(path: Path) -> Provenance | None:
    """Return the provenance in the last Software entry of an output; None if it is not srx's."""
    try:
        with decoding(path), open_input(path) as stream:
            metadata = read_header(path, stream).metadata
    except PictureError:
        return None
    return parse_provenance(metadata.software or exif.software(metadata.exif))


def parse_provenance(software: str) -> Provenance | None:
    """Return the provenance in the last entry of a Software text; None if it is not srx's."""
    last_entry = software.strip().rpartition(f"; {NAME} ")[2]
    match = _SOFTWARE.fullmatch(last_entry.removeprefix(f"{NAME} "))
    if match is None:
        return None
    fields: dict[str, Any] = match.groupdict("")
    fields["scale"] = int(fields["scale"])
    fields["auto"] = bool(fields["auto"])
    return Provenance(**fields)
