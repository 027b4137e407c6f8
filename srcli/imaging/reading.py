"""Read picture files of any format: the header, once, for planning, and photographs upright."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging import exif, fallback, pillow, png, tiff, xmp
from srcli.imaging.fitting import fit_metadata
from srcli.imaging.formats import FORMATS, format_of_content
from srcli.imaging.photograph import DAMAGE, LARGEST_AREA, Photograph, Picture, decoding
from srcli.imaging.pixel_map import PixelMap
from srcli.imaging.provenance import mark_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

_T = TypeVar("_T")


def read_photograph(source: Path | Picture) -> Photograph:
    """Read a picture file completely: upright pixels, metadata that fit them, and warnings.

    Raises:
        PictureError: If the file is missing, unreadable, damaged, cut short, or not a photograph,
            or has over ``LARGEST_AREA`` pixels.
    """
    path = source.path if isinstance(source, Picture) else source
    with decoding(path), open_input(path) as stream:
        picture = source if isinstance(source, Picture) else read_header(path, stream)
        _check(picture)
        pixels, alpha, orientation = _decode(picture, stream)
        pixels = upright(pixels, orientation)
        if (*pixels.shape, alpha is not None) != (
            *(picture.height, picture.width, picture.channels),
            picture.has_alpha,
        ):
            raise ValueError("its header and its pixels disagree")
    metadata, warnings, icc = picture.metadata, picture.warnings, picture.metadata.icc
    if picture.frames > 1:
        warnings = (*warnings, f"holds {picture.frames} pictures: only the first is used")
    if icc is not None and not pillow.profile_fits(icc, picture.channels):
        metadata = replace(metadata, icc=None)
        if not any("converted to RGB" in note for note in warnings):
            warnings = (*warnings, "colour profile of another kind of picture left out")
    return Photograph(
        pixels=pixels,
        alpha=None if alpha is None else upright(alpha, orientation),
        metadata=metadata,
        warnings=warnings,
    )


def _decode(picture: Picture, stream: IO[bytes]) -> tuple[Array, Array | None, int]:
    """Return pixels, alpha and the orientation still to be applied, by the first able reader."""
    stream.seek(0)
    orientation = picture.orientation
    try:
        if picture.format == "tif":
            return tiff.read_pixels(picture, stream)
        if picture.format == "png":
            return *png.read_pixels(stream), orientation
        # the decoded image is not kept here, beside the arrays
        image = pillow.open_image(picture.format, stream)[0]
        return *pillow.pixels_of(image, picture.metadata.icc), orientation
    except DAMAGE as error:
        return _try_second(error, partial(fallback.read_pixels, picture, stream))


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
        raise PictureError(
            f"{picture.path}: a picture of {picture.width}x{picture.height} pixels cannot be read "
            "as a photograph; cut it, or convert it to a GeoTIFF"
        )


def open_picture(
    path: Path, *, remote: bool = False, confined: bool = False, companions: bool = True
) -> Picture:
    """Read a file's header and decide if it is a photograph or a raster; no pixel is decoded.

    Args:
        path: The file, whose format is told from its content, or a ``DatasetName``.
        remote: The network may be used, by rasters.
        confined: Rasters that are made of other files are no pictures.
        companions: Look for files beside it that make it a raster, such as world files.

    Raises:
        PictureError: If there is no such file, or it is no picture that srx or GDAL reads.
    """
    from srcli.imaging.rasters.opening import DatasetName, companion_reason, open_by_gdal

    if not isinstance(path, DatasetName):
        with decoding(path), open_input(path) as stream:
            head = stream.read(64)
            if format_of_content(head) is not None or not head:
                picture = read_header(path, stream)
                picture = replace(picture, mark=mark_source(path, stream))
                if picture.raster is None and companions:
                    picture = replace(picture, raster=companion_reason(picture))
                return picture
    found = open_by_gdal(path, remote=remote, confined=confined)
    if found is None:
        raise _not_a_picture(path)
    return found


def read_header(path: Path, stream: IO[bytes]) -> Picture:
    """Read the header of an open picture, upright; files beside it are not looked at.

    Raises:
        PictureError: If it is empty or in another format.
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
        picture = _read_other_header(name, path, stream)
    if picture.refusal is None and min(picture.height, picture.width) < 1:
        raise PictureError(f"{path}: a picture of {picture.width}x{picture.height} pixels is empty")
    return picture if picture.refusal else _upright(picture)


def _read_other_header(name: str, path: Path, stream: IO[bytes]) -> Picture:
    try:
        return pillow.read_header(name, path, stream)
    except DAMAGE as error:
        return _try_second(error, partial(fallback.read_header, name, path, stream))


def _try_second(error: Exception, read: Callable[[], _T]) -> _T:
    """Call the second reader; if it fails as well, raise what says more of the damage."""
    try:
        return read()
    except NotImplementedError:
        raise error from None
    except DAMAGE as other:
        # the first one did not get far if it knew the kind of file not
        raise (error if isinstance(error, OSError) else other) from None


def _not_a_picture(path: Path) -> PictureError:
    names = ", ".join(sorted({*FORMATS, "heic", "jxl"}))
    return PictureError(f"{path}: not a picture that srx reads ({names}); convert it first")


def _upright(picture: Picture) -> Picture:
    """Return the picture with its size and metadata after the orientation is applied."""
    metadata, orientation = picture.metadata, picture.orientation
    if not 1 <= orientation <= 8:
        orientation = exif.orientation(metadata.exif) or xmp.orientation(metadata.xmp) or 1
    stored = picture.height, picture.width
    size = stored[::-1] if orientation > 4 else stored
    pixels = PixelMap(before=stored, after=size, orientation=orientation)
    metadata, notes = fit_metadata(metadata, pixels)
    return replace(
        picture,
        height=size[0],
        width=size[1],
        orientation=orientation,
        metadata=metadata,
        warnings=tuple(dict.fromkeys((*picture.warnings, *notes))),
    )
