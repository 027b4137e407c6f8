"""Open a file of any kind: decide by its header if it is a photograph, a raster or a video."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import IO

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging.files.decoding import decoding
from srcli.imaging.files.formats import (
    FRAME_TABLE_SUFFIX,
    format_of_content,
    is_video,
)
from srcli.imaging.files.provenance import Provenance, input_id, parse_provenance
from srcli.imaging.metadata import exif
from srcli.imaging.photographs import reading
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.rasters.dataset_names import DatasetName


def open_picture(path: Path, *, confined: bool = False, page: int = 1) -> Picture:
    """Read a file's header and decide if it is a photograph or a raster; no pixel is decoded.

    Of a TIFF it is that of a page, counted from 1 without thumbnails.

    The path may be a ``DatasetName``. Files beside it can make it a raster, such as
    world files. Rasters made of other files are no pictures if they are to be
    ``confined``.
    """
    if not isinstance(path, DatasetName):
        if os.path.isdir(path):  # noqa: PTH112 - paths are slow to make
            from srcli.imaging.films import frames

            return frames.read_header(path)
        picture = open_known(path, page)
        if picture is not None:
            return picture
    from srcli.imaging.rasters.opening import open_by_gdal

    raster = open_by_gdal(path, confined=confined)
    if raster is None:
        raise reading.not_a_picture(path)
    return raster


def open_known(
    path: Path, page: int = 1, stream: IO[bytes] | None = None
) -> Picture | None:
    """Read the header of a photograph or a video; None for formats of GDAL alone.

    ``stream`` is the file, where that is open already.
    """
    with (
        decoding(path),
        nullcontext(stream) if stream else open_input(path) as opened,
    ):
        picture = _read_header(path, opened, page)
        if picture is not None:
            picture = replace(picture, input_id=input_id(path, opened))
    if picture is None or picture.raster is not None:
        return picture
    reason = _companion_reason(picture)
    return replace(picture, raster=reason, is_on_map=reason is not None)


def _companion_reason(picture: Picture) -> str | None:
    """Return why files beside a picture, such as a world file, make it a raster; else None."""
    stem, ending = os.path.splitext(picture.path)  # noqa: PTH122 - paths are slow to make
    # world files (.wld, .tifw, .tfw), sensor models, MapInfo's places
    tails = (
        ".wld",
        f"{ending}w",
        f"{ending[:2]}{ending[-1:]}w",
        "_rpc.txt",
        ".rpb",
        ".tab",
    )
    names = [f"{picture.path}.msk", f"{picture.path}.aux.xml"]
    for tail in tails:
        names += [stem + tail, stem + tail.upper()]
    if not any(map(os.path.exists, names)):
        return None
    from srcli.imaging.rasters.headers import read_info

    try:
        info = read_info(picture.path)
    except PictureError:
        return None
    if any(info.georeference[name] for name in ("transform", "gcps", "rpcs")):
        return "a place on the map, by a file beside it"
    if info.mask == "dataset":
        return "a mask of valid pixels, by a file beside it"
    if any(band.nodata is not None for band in info.bands):
        return "a nodata value, by a file beside it"
    return None


def _read_header(path: Path, stream: IO[bytes], page: int = 1) -> Picture | None:
    """Read the header of a photograph or a video; None for formats of GDAL alone.

    World files and their like are not looked at.
    """
    stream.seek(0)
    head = stream.read(64)
    if not head or not is_video(path):
        return reading.read_photograph_header(path, stream, page)
    name = format_of_content(head)
    if name is not None:
        raise PictureError(
            f"{path}: is a picture with the name of a video; rename it to end in .{name}"
        )
    from srcli.imaging.films.reading import read_header

    return read_header(path)


def read_provenance(path: Path) -> Provenance | None:
    """Return the provenance in the last Software entry of an output; None if it is not srx's."""
    try:
        if path.suffix == FRAME_TABLE_SUFFIX:
            from srcli.imaging.films import frames

            return parse_provenance(frames.read_record(path))
        with decoding(path), open_input(path) as stream:
            picture = _read_header(path, stream)
    except PictureError:
        return None
    if picture is None:
        return None
    metadata = picture.metadata
    software = metadata.software or exif.software(metadata.exif)
    return parse_provenance(software)
