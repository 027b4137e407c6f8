"""Complete a raster whose blocks are written: directories, overviews, final format, final name."""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters import container, disk
from srcli.imaging.rasters.blocks import BlockGrid, BlockTable, entry_integers
from srcli.imaging.rasters.copying import copy_file, has_shape
from srcli.imaging.rasters.creation import is_false
from srcli.imaging.rasters.disk import part_path, sync, sync_file, sync_folder
from srcli.imaging.rasters.journal import FileStamp
from srcli.imaging.rasters.metadata import georeference_sidecars
from srcli.imaging.rasters.opening import BLOCK_CACHE
from srcli.imaging.rasters.output import OutputProfile
from srcli.imaging.rasters.template import STRIP_TAGS, TILE_TAGS, TiffTemplate, read_directories

if TYPE_CHECKING:
    from rasterio.enums import Resampling

    from srcli.imaging.rasters.journal import Journal

_OVERVIEW_BLOCK = 256
_OVERVIEW_SIZE = 0.4  # a third of the pixels, slightly harder to compress


@dataclass(frozen=True, kw_only=True, eq=False)
class FinishJob:
    """A raster whose blocks are all written, but nothing else."""

    target: Path
    output: OutputProfile
    template: TiffTemplate
    grid: BlockGrid
    stream: IO[bytes]
    """The file, under its hidden name."""
    end: int
    """Bytes up to the end of the last block."""
    tables: Sequence[BlockTable]
    """For each directory, positions of all blocks."""


def file_stamp(path: Path) -> FileStamp | None:
    """Return size and modification time, which identify a finished file; None if it is missing."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return FileStamp(size=found.st_size, time=found.st_mtime_ns)


def finish_file(job: FinishJob, journal: Journal) -> None:
    """Complete a file and give it its final name; running it again after an interruption is safe.

    Args:
        job: The raster.
        journal: Records the file's stamp before the file gets its name.

    Raises:
        OSError: If the disk fails.
        PictureError: If the result cannot be read.
    """
    try:
        done, folder = _complete(job)
        check_result(done, job.target, job.output)
        sync_file(done)
        stamp = file_stamp(done)
        assert stamp is not None
        journal.set_ready(stamp)
        disk.move_sidecars(folder, job.target)
    except BaseException:
        # these will be made again and only take room meanwhile
        disk.remove_sidecar_folder(job.target)
        with suppress(OSError, ValueError):
            job.stream.truncate(job.end)
        raise
    if os.name == "nt":
        job.stream.close()  # open files cannot be renamed there
    done.replace(job.target)
    sync_folder(job.target.parent)


def check_result(path: Path, target: Path, output: OutputProfile) -> None:
    """Check that a finished file is complete: GDAL may report success although the disk is full.

    Args:
        path: The file, under its temporary name.
        target: Its final name, for messages.
        output: What it is to hold.

    Raises:
        PictureError: If something is missing.
        OSError: If GDAL cannot read it.
    """
    complete = True
    if output.format == "tif":
        sparse = {**output.creation, **output.copying}.get("SPARSE_OK", "NO")
        complete = _has_all_blocks(path, may_be_empty=not is_false(sparse))
    if complete:
        overviews = _count_overviews(path, target, output)
        complete = output.cog or overviews >= len(output.overviews)
    if not complete:
        raise PictureError(
            f"{target}: was written incompletely; make room on the disk and run again"
        )


def _has_all_blocks(path: Path, *, may_be_empty: bool) -> bool:
    """Tell if all blocks that the directories list lie within the file."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, found = read_directories(data)
        except ValueError:  # truncated
            return False
        for entries in found:
            tags = {entry.tag: entry for entry in entries}
            places, lengths = TILE_TAGS if TILE_TAGS[0] in tags else STRIP_TAGS
            if places not in tags or lengths not in tags:
                return False
            sizes = entry_integers(tags[lengths], layout)
            ends = entry_integers(tags[places], layout) + sizes
            if ends.max() > len(data) or (sizes.min() == 0 and not may_be_empty):
                return False
    return True


def _count_overviews(path: Path, target: Path, output: OutputProfile) -> int:
    """Check height, width and bands, read the last pixel; returns the number of overviews."""
    import rasterio
    from rasterio.windows import Window

    with quiet_pillow():
        dataset = rasterio.open(path)
    with dataset:
        if not has_shape(dataset, output, height=output.height, width=output.width):
            raise PictureError(
                f"{target}: GDAL has written {dataset.count} band(s) of {dataset.width}x"
                f"{dataset.height} pixels instead of {len(output.bands)} of {output.width}x"
                f"{output.height}; write it as --format tif"
            )
        dataset.read(1, window=Window(output.width - 1, output.height - 1, 1, 1))
        return len(dataset.overviews(1))


def _complete(job: FinishJob) -> tuple[Path, Path | None]:
    """Make the file in its final format under a hidden name, and a folder of its sidecars."""
    part = part_path(job.target)
    # keep blocks only: an earlier attempt may have written more
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
    folder = disk.make_sidecar_folder(job.target)
    if not job.output.copied:
        disk.write_sidecars(folder, job.target, job.template.sidecars)
        return part, folder
    done = folder / job.target.name
    _copy(part, done, job)
    disk.write_sidecars(folder, job.target, georeference_sidecars(job.output))
    return done, folder


def _build_overviews(part: Path, job: FinishJob) -> None:
    import rasterio

    output = job.output
    # GDAL does not always notice a full disk
    needed, free = int(job.end * _OVERVIEW_SIZE), shutil.disk_usage(part.parent).free
    if free < needed:
        raise PictureError(
            f"{job.target}: {free / 1e9:.1f} GB of the disk are free, overviews take "
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
            dataset = rasterio.open(part, "r+")
        with dataset:
            dataset.build_overviews(list(output.overviews), _resampling(output))


def _resampling(output: OutputProfile) -> Resampling:
    """Resampling of overviews: by the options of a COG, else averages."""
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
