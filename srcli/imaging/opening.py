"""Open a file of any kind: decide by its header if it is a photograph, a raster or a video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import IO

from srcli.errors import PictureError
from srcli.imaging.files.decoding import decoding
from srcli.imaging.files.formats import format_of_content, is_video
from srcli.imaging.files.provenance import Provenance, input_id, parse_provenance
from srcli.imaging.films import reading as videos
from srcli.imaging.metadata import exif
from srcli.imaging.photographs import reading
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.rasters.dataset_names import DatasetName
from srcli.imaging.rasters.headers import companion_reason
from srcli.imaging.rasters.opening import open_by_gdal
from srcli.input_files import open_input


def open_picture(path: Path, *, confined: bool = False, page: int = 1) -> Picture:
    """Read a file's header and decide if it is a photograph or a raster; no pixel is decoded.

    Of a TIFF it is that of a page, counted from 1 without thumbnails.

    The path may be a ``DatasetName``. Files beside it can make it a raster, such as
    world files. Rasters made of other files are no pictures if they are to be
    ``confined``.
    """
    if not isinstance(path, DatasetName):
        picture = open_known(path, page)
        if picture is not None:
            return picture
    raster = open_by_gdal(path, confined=confined)
    if raster is None:
        raise reading.not_a_picture(path)
    return raster


def open_known(path: Path, page: int = 1) -> Picture | None:
    """Read the header of a photograph or a video; None for formats of GDAL alone."""
    picture: Picture | None
    if is_video(path):
        with decoding(path), open_input(path) as stream:
            picture = _read_header(path, stream)
            picture = replace(picture, input_id=input_id(path, stream))
    else:
        picture = reading.read_known_header(path, page)
    if picture is None:
        return None
    return replace(picture, raster=picture.raster or companion_reason(picture))


def _read_header(path: Path, stream: IO[bytes]) -> Picture:
    """Read the header of a photograph or a video; files beside it are not looked at."""
    stream.seek(0)
    head = stream.read(64)
    if not head or not is_video(path):
        return reading.read_photograph_header(path, stream)
    name = format_of_content(head)
    if name is not None:
        raise PictureError(
            f"{path}: is a picture with the name of a video; rename it to end in .{name}"
        )
    return videos.read_header(path)


def read_provenance(path: Path) -> Provenance | None:
    """Return the provenance in the last Software entry of an output; None if it is not srx's."""
    try:
        with decoding(path), open_input(path) as stream:
            metadata = _read_header(path, stream).metadata
    except PictureError:
        return None
    software = metadata.software or exif.software(metadata.exif)
    return parse_provenance(software)
