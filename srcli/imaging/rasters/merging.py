"""Merge the parts of a raster into its final file: format, overviews, sidecars, name."""

from __future__ import annotations

import logging
import os
import shutil
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.files import NEW_FILE, FileAttributes, remove_stale
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters.copying import check_shape, copy_file, georeference_sidecars, write_vrt
from srcli.imaging.rasters.opening import BLOCK_CACHE
from srcli.imaging.rasters.parts import writing_errors

if TYPE_CHECKING:
    from pathlib import Path

    from srcli.imaging.rasters.output import OutputProfile
    from srcli.imaging.rasters.parts import Parts

log = logging.getLogger(__name__)

_OVERVIEW_BLOCK = 256
_WAIT_SECONDS = 0.1
_PROBE = 2**22
"""Bytes that a disk must still take after a file."""


def merge_parts(parts: Parts, attributes: FileAttributes = NEW_FILE) -> None:
    """Copy the parts into the final file and give it its name; doing it again is safe.

    The output gets the attributes, its sidecars the access rights among them.
    """
    target, output = parts.target, parts.output
    folder = parts.folder / "result"
    try:
        with writing_errors(target):
            if missing := sum(map(len, parts.missing())):
                raise PictureError(f"{target}: {missing} parts of it have got lost; run again")
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that was lost while it merged
            folder.mkdir()
            vrt, done = parts.folder / "parts.vrt", folder / target.name
            write_vrt(vrt, output, parts)
            _copy_interruptibly(vrt, done, output)
            if output.overviews and not output.cog:
                _build_overviews(done, output)
            _check_room(done)
            if check_shape(done, target, output) < len(output.overviews) and not output.cog:
                raise PictureError(f"{target}: its overviews are missing; run again")
            for key, data in georeference_sidecars(output).items():
                name = target.stem + key[1:] if key.startswith("*") else target.name + key
                (folder / name).write_bytes(data)
            for file in folder.iterdir():
                _sync(file)
                (attributes if file == done else replace(attributes, times=None)).apply(file)
            _move_sidecars(folder, target)
            done.replace(target)
            with suppress(OSError):  # not all systems can
                _sync(target.parent)
    finally:
        # what is not finished will be made again and only takes room meanwhile
        shutil.rmtree(folder, ignore_errors=True)


def _copy_interruptibly(vrt: Path, done: Path, output: OutputProfile) -> None:
    """Copy in a thread, because GDAL does not return for minutes and Ctrl-C should work."""
    copied: Future[None] = Future()

    def copy() -> None:
        try:
            copy_file(vrt, done, output)
            copied.set_result(None)
        except BaseException as error:  # noqa: BLE001 - raised by result()
            copied.set_exception(error)

    Thread(target=copy, daemon=True, name="gdal-copy").start()
    while not wait([copied], timeout=_WAIT_SECONDS).done:
        pass
    copied.result()


def _build_overviews(file: Path, output: OutputProfile) -> None:
    import rasterio
    from rasterio.enums import Resampling

    settings = {
        "GDAL_CACHEMAX": BLOCK_CACHE,
        "GDAL_NUM_THREADS": output.creation.get("NUM_THREADS", "ALL_CPUS"),
        "GDAL_TIFF_OVR_BLOCKSIZE": _OVERVIEW_BLOCK,
    }
    if "JPEG_QUALITY" in output.creation:
        settings["JPEG_QUALITY_OVERVIEW"] = output.creation["JPEG_QUALITY"]
    # as the options of a COG say, else averages; never of classes
    said = output.creation.get("OVERVIEW_RESAMPLING") or output.creation.get("RESAMPLING")
    name = (said or ("nearest" if output.classes else "average")).lower()
    name = {"cubicspline": "cubic_spline"}.get(name, name)
    with rasterio.Env(**settings):
        with quiet_pillow():
            dataset = rasterio.open(file, "r+")
        with dataset:
            kind = Resampling.__members__.get(name, Resampling.average)
            dataset.build_overviews(list(output.overviews), kind)


def _check_room(path: Path) -> None:
    """Check that the disk was not full when GDAL wrote a file: GDAL does not always say so."""
    with path.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        try:
            stream.write(bytes(_PROBE))
            stream.flush()
            os.fsync(stream.fileno())
        finally:
            stream.truncate(end)


def _sync(path: Path) -> None:
    """Wait until a closed file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _move_sidecars(folder: Path, target: Path) -> None:
    """Move what is in a folder, but for the output itself, beside it; remove older sidecars."""
    made = sorted(file for file in folder.iterdir() if file.name != target.name)
    remove_stale(target, keep={file.name for file in made})
    for file in made:
        place = target.with_name(file.name)
        # of a shapefile or another picture, unless it is that of the output's older version
        foreign = not target.exists() or target.with_suffix(".shp").exists()
        if file.suffix == ".prj" and foreign and place.exists():
            if place.read_bytes() != file.read_bytes():
                log.warning("%s: is left as it is, other files may rely on it", place)
            continue
        file.replace(place)
