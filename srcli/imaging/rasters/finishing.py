"""From all blocks of a raster to the finished file: directories, smaller copies, its last form."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.opening import calm
from srcli.imaging.rasters import container, sidecars
from srcli.imaging.rasters.blocks import BlockGrid, BlockTable
from srcli.imaging.rasters.checking import check_result
from srcli.imaging.rasters.copying import copy_file
from srcli.imaging.rasters.disk import part_path, sync, sync_file, sync_folder
from srcli.imaging.rasters.journal import FileStamp
from srcli.imaging.rasters.opening import BLOCK_CACHE
from srcli.imaging.rasters.output import OutputProfile
from srcli.imaging.rasters.template import TiffTemplate

if TYPE_CHECKING:
    from rasterio.enums import Resampling

    from srcli.imaging.rasters.journal import Journal

_OVERVIEW_BLOCK = 256
_SHARE_OF_OVERVIEWS = 0.4  # a third of the pixels, a little harder to compress


@dataclass(frozen=True, kw_only=True, eq=False)
class FinishJob:
    """A raster whose blocks are all in its file."""

    target: Path
    output: OutputProfile
    template: TiffTemplate
    grid: BlockGrid
    stream: IO[bytes]
    """The file, under its hidden name."""
    end: int
    """Bytes up to the end of the last block."""
    tables: Sequence[BlockTable]
    """For each directory, where all blocks lie."""


def file_stamp(path: Path) -> FileStamp | None:
    """What tells a finished file from any other; None if there is no such file.

    Args:
        path: The file.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return FileStamp(size=found.st_size, time=found.st_mtime_ns)


def finish_file(job: FinishJob, journal: Journal) -> None:
    """Complete a file and give it its final name; starting again after being stopped is safe.

    Args:
        job: What is there.
        journal: Told before the file gets its name.

    Raises:
        OSError: If the disk does not take it.
        PictureError: If the result cannot be read.
    """
    try:
        done, folder = _complete(job)
        check_result(done, job.target, job.output)
        sync_file(done)
        stamp = file_stamp(done)
        assert stamp is not None
        journal.set_ready(stamp)
        sidecars.move_sidecars(folder, job.target)
    except BaseException:
        # what will be made again only takes room meanwhile
        sidecars.remove_folder(job.target)
        with suppress(OSError, ValueError):
            job.stream.truncate(job.end)
        raise
    if os.name == "nt":
        job.stream.close()  # open files cannot be renamed there
    done.replace(job.target)
    sync_folder(job.target.parent)


def _complete(job: FinishJob) -> tuple[Path, Path | None]:
    """Make the file in its last form, still under a hidden name, and a folder of its sidecars."""
    part = part_path(job.target)
    # nothing but blocks: an earlier attempt may have gone further
    job.stream.truncate(job.end)
    big = container.needs_bigtiff(
        job.output.creation.get("BIGTIFF", "IF_SAFER"),
        job.end,
        overviews=bool(job.output.overviews),
    )
    container.write_directories(job.stream, job.template, job.grid, job.tables, big=big)
    sync(job.stream)
    if job.output.overviews:
        _build_overviews(part, job)
    if not job.output.copied and not job.template.sidecars:
        return part, None
    folder = sidecars.make_folder(job.target)
    if not job.output.copied:
        sidecars.write_sidecars(folder, job.target, job.template.sidecars)
        return part, folder
    done = folder / job.target.name
    _copy(part, done, job)
    sidecars.write_sidecars(folder, job.target, sidecars.georeference_sidecars(job.output))
    return done, folder


def _build_overviews(part: Path, job: FinishJob) -> None:
    import rasterio

    output = job.output
    # GDAL does not always notice that the disk is full
    needed, free = int(job.end * _SHARE_OF_OVERVIEWS), shutil.disk_usage(part.parent).free
    if free < needed:
        raise PictureError(
            f"{job.target}: {free / 1e9:.1f} GB of the disk are free, smaller copies take "
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
        with calm():
            dataset = rasterio.open(part, "r+")
        with dataset:
            dataset.build_overviews(list(output.overviews), _resampling(output))


def _resampling(output: OutputProfile) -> Resampling:
    """How smaller copies are made: as the options of a COG say, else by averages."""
    from rasterio.enums import Resampling

    said = (output.copying.get(key) for key in ("OVERVIEW_RESAMPLING", "RESAMPLING"))
    name = next((one for one in said if one), "average").lower()
    name = {"cubicspline": "cubic_spline"}.get(name, name)
    return Resampling.__members__.get(name, Resampling.average)


def _copy(part: Path, done: Path, job: FinishJob) -> None:
    beside = part.with_name(part.name + ".aux.xml")
    try:
        if ".aux.xml" in job.template.sidecars:
            beside.write_bytes(job.template.sidecars[".aux.xml"])
        copy_file(part, done, job.output)
    finally:
        beside.unlink(missing_ok=True)
