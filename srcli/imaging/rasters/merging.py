"""Merge the parts of a raster into its final file: format, overviews, sidecars, name."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from srcli.errors import PictureError
from srcli.files import write_whole
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters import disk
from srcli.imaging.rasters.blocks import has_all_blocks
from srcli.imaging.rasters.creation import is_false
from srcli.imaging.rasters.drivers import check_shape, copy_file
from srcli.imaging.rasters.metadata import georeference_sidecars
from srcli.imaging.rasters.opening import BLOCK_CACHE
from srcli.imaging.rasters.vrt import write_vrt

if TYPE_CHECKING:
    from pathlib import Path

    from rasterio.enums import Resampling

    from srcli.imaging.rasters.output import OutputProfile
    from srcli.imaging.rasters.parts import Parts

_OVERVIEW_BLOCK = 256
_OVERVIEW_SIZE = 0.4  # a third of the pixels, slightly harder to compress
_WAIT_SECONDS = 0.1


def merge_parts(parts: Parts) -> None:
    """Copy the parts into the final file and give it its name; doing it again is safe.

    A VRT is written over the parts instead, without a copy.

    Args:
        parts: The parts, all there; they are kept.

    Raises:
        PictureError: If the disk fails or GDAL cannot write the result.
    """
    target, output, attributes = parts.target, parts.output, parts.attributes
    if output.format == "vrt":
        with disk.writing_errors(target):
            write_vrt(vrt := parts.folder / "parts.vrt", output, parts)
            beside = f'relativeToVRT="1">{escape(parts.folder.name)}/'
            text = vrt.read_text(encoding="utf-8").replace('relativeToVRT="1">', beside)
            vrt.unlink()
            write_whole(target, text.encode(), attributes)
            parts.note_done(target)
        return
    folder = parts.folder / "result"
    try:
        with disk.writing_errors(target):
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that was lost while it merged
            folder.mkdir()
            vrt, done = parts.folder / "parts.vrt", folder / target.name
            write_vrt(vrt, output, parts)
            _copy_interruptibly(vrt, done, output)
            if output.overviews and not output.cog:
                _build_overviews(done, target, output)
            disk.check_room(done)
            check_result(done, target, output)
            disk.write_sidecars(folder, target, georeference_sidecars(output))
            disk.sync_file(done)
            for file in folder.iterdir():
                (attributes if file == done else replace(attributes, times=None)).apply(file)
            parts.note_done(done)
            disk.move_sidecars(folder, target)
            done.replace(target)
            disk.sync_folder(target.parent)
    finally:
        # what is not finished will be made again and only takes room meanwhile
        shutil.rmtree(folder, ignore_errors=True)


def check_result(path: Path, target: Path, output: OutputProfile) -> None:
    """Check that a finished file is complete: GDAL may report success although the disk is full.

    Raises:
        PictureError: If something is missing.
        OSError: If GDAL cannot read it.
    """
    complete = True
    if output.format == "tif":
        sparse = output.creation.get("SPARSE_OK", "NO")
        complete = has_all_blocks(path, may_be_empty=not is_false(sparse))
    if complete:
        overviews = check_shape(path, target, output)
        complete = output.cog or overviews >= len(output.overviews)
    if not complete:
        raise PictureError(
            f"{target}: was written incompletely; make room on the disk and run again"
        )


def _copy_interruptibly(vrt: Path, done: Path, output: OutputProfile) -> None:
    """Copy in a thread, because GDAL does not return for minutes and Ctrl-C should work."""
    failure: list[BaseException] = []

    def copy() -> None:
        try:
            copy_file(vrt, done, output)
        except BaseException as error:  # noqa: BLE001 - raised below
            failure.append(error)

    thread = threading.Thread(target=copy, daemon=True, name="gdal-copy")
    thread.start()
    while thread.is_alive():
        thread.join(_WAIT_SECONDS)
    if failure:
        raise failure[0]


def _build_overviews(file: Path, target: Path, output: OutputProfile) -> None:
    import rasterio

    # GDAL does not always notice a full disk
    needed, free = int(file.stat().st_size * _OVERVIEW_SIZE), shutil.disk_usage(file.parent).free
    if free < needed:
        raise PictureError(
            f"{target}: {free / 1e9:.1f} GB of the disk are free, overviews take "
            f"{needed / 1e9:.1f}; make room and run again, what is done is kept"
        )
    settings = {
        "GDAL_CACHEMAX": BLOCK_CACHE,
        "GDAL_NUM_THREADS": output.creation.get("NUM_THREADS", "ALL_CPUS"),
        "GDAL_TIFF_OVR_BLOCKSIZE": _OVERVIEW_BLOCK,
    }
    if "JPEG_QUALITY" in output.creation:
        settings["JPEG_QUALITY_OVERVIEW"] = output.creation["JPEG_QUALITY"]
    with rasterio.Env(**settings):
        with quiet_pillow():
            dataset = rasterio.open(file, "r+")
        with dataset:
            dataset.build_overviews(list(output.overviews), _resampling(output))


def _resampling(output: OutputProfile) -> Resampling:
    """Resampling of overviews: by the options of a COG, else averages; never of classes."""
    from rasterio.enums import Resampling

    said = (output.creation.get(key) for key in ("OVERVIEW_RESAMPLING", "RESAMPLING"))
    usual = "nearest" if output.classes else "average"
    name = next((one for one in said if one), usual).lower()
    name = {"cubicspline": "cubic_spline"}.get(name, name)
    return Resampling.__members__.get(name, Resampling.average)
