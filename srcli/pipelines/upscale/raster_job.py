"""Prepare a raster: bands, window, values, output, fingerprint, memory and disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import srcli
from srcli.errors import PictureError, UsageError
from srcli.imaging.photograph import mark_source
from srcli.imaging.rasters.info import RasterInfo, cast_nodata, read_info
from srcli.imaging.rasters.opening import BLOCK_CACHE, DatasetName, file_on_disk
from srcli.imaging.rasters.output import OutputProfile, disk_needed, make_output
from srcli.imaging.rasters.parts import part_rows
from srcli.imaging.rasters.reading import cache_for
from srcli.imaging.rasters.selection import BandLayout, choose_window
from srcli.imaging.rasters.values import choose_bands, choose_value_range
from srcli.pipelines.upscale.plan import Item
from srcli.ports.image import Values, Window
from srcli.quantities import format_bytes

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import RasterOptions, UpscaleOptions
    from srcli.ports.image import TileGrid


PROGRAM = 550 << 20
"""Bytes of Python, PyTorch, GDAL with its cache, and the network with a batch of tiles."""
WAITING = 64 << 20
"""Bytes of finished rows that may wait for the writer, by default."""
SMALLEST = 8 << 20
"""The same at least, under ``--max-memory``."""
REPEATED = 64 << 20
"""Bytes of the rows that are repeated where no band goes through the network."""
LEAST_COMPRESSED = 0.4
"""Share of the uncompressed size that must be free on disk; photographs rarely shrink so far."""


@dataclass(frozen=True, kw_only=True)
class RasterJob:
    """Everything that is decided before the first pixel is read."""

    item: Item
    info: RasterInfo
    layout: BandLayout
    window: Window
    values: Values
    output: OutputProfile
    notes: tuple[str, ...]
    """Choices made for the user, who may want others."""
    remarks: tuple[str, ...]
    """Choices by what the file says: its bands of classes, the values taken as black and white."""
    fingerprint: Mapping[str, object]
    """Everything that the pixels depend on, by names that users understand: a run continues an
    interrupted one with the same. Without the network until that is loaded."""
    calibration: list[dict[str, Any]] | None = None
    """The network's measurements of the whole raster as arrays; None where it needs none."""


def open_job(item: Item, options: UpscaleOptions) -> RasterJob:
    """Read a raster's header and decide on bands, window, values and output."""
    asked = options.raster
    info = _with_nodata(read_info(item.source, remote=options.allow_remote), asked)
    if options.strip_metadata:  # all tags but a part of the georeference
        own = {key: text for key, text in info.tags.get("", {}).items() if key == "AREA_OR_POINT"}
        bands = tuple(replace(band, tags={}) for band in info.bands)
        info = replace(info, tags={"": own}, bands=bands)
    parts = {Path(name).resolve() for name in info.files} - {item.source.resolve()}
    if item.target.resolve() in parts:
        raise PictureError(
            f"{item.source}: {item.target} is a part of it and would be overwritten; give another "
            "output folder or --suffix _x4"
        )
    window, clipped = choose_window(info, srcwin=asked.srcwin, bounds=asked.bounds)
    layout = choose_bands(info, window, asked.classes, bands=asked.bands, rgb=asked.rgb)
    values, range_found = Values(dtype=np.dtype(layout.dtype), low=0, high=1), ""
    if not layout.all_classes:
        values, range_found = choose_value_range(info, layout.interpolated(), window, asked.values)
    made_by = options.made_by(mark_source(item.source)) if options.records else None
    wanted = replace(asked, format=item.format, quality=options.quality, provenance=made_by)
    output = make_output(info, layout, window, options.scale, wanted)
    named = [str(info.path)] if isinstance(info.path, DatasetName) else []  # one of its file's
    return RasterJob(
        item=item,
        info=info,
        layout=layout,
        window=window,
        values=values,
        output=output,
        notes=(*info.notes, *layout.notes, *clipped, *output.notes),
        remarks=tuple(filter(None, (*layout.remarks, range_found))),
        fingerprint={
            "version": srcli.__version__,
            "input": [*named, *(_file_state(path) for path in info.files)],
            "scale": options.scale,
            "classes": layout.classes,
            "bands": [*layout.bands, layout.alpha],
            "rgb": layout.groups,
            "range": [values.ranges, str(values.dtype)],
            "nodata": str([band.nodata for band in info.bands]),  # NaN differs from itself
            "part": [window.left, window.top, window.width, window.height],
        },
    )


def plan_memory(job: RasterJob, grid: TileGrid, scale: int, limit: int | None) -> tuple[int, int]:
    """Return the bytes of GDAL's cache, and of finished rows that may wait, within a limit.

    The height of a raster does not change them.
    """
    channels, size = job.layout.interpolated().channels, np.dtype(job.layout.dtype).itemsize
    ramps = (grid.overlap // 2 + 1) * scale  # between tiles, in float32
    band = grid.width * scale * channels * (grid.tile_height * scale * size + ramps * 4)
    cache = cache_for(job.info, grid.tile_height)
    out = job.output
    row = out.width * (len(out.bands) * np.dtype(out.dtype).itemsize + out.mask)
    parts = min(part_rows(out), out.height) * row * 2  # the rows of one, and the file of them
    least = PROGRAM + (band or REPEATED) + cache - BLOCK_CACHE + parts + SMALLEST
    if limit is not None and limit < least:
        raise UsageError(
            f"{job.item.source}: takes about {least >> 20:,} MiB, more than --max-memory "
            f"{limit >> 20:,} MiB; allow more, take a part (--srcwin) or a smaller --tile"
        )
    return cache, WAITING if limit is None else min(WAITING, SMALLEST + limit - least)


def check_disk(job: RasterJob) -> tuple[str, ...]:
    """Refuse an output that the disk cannot hold; return a warning where it may not fit."""
    needed = disk_needed(job.output)
    free, folder = free_disk(job.item.target)
    room = f"{format_bytes(free)} are free in {folder}"
    if free < LEAST_COMPRESSED * needed:
        raise PictureError(
            f"{job.item.source}: its enlargement takes {format_bytes(needed)} before compression "
            f"and {room}; make room, take another folder or a part (--srcwin)"
        )
    if free < needed:
        return (f"the output takes up to {format_bytes(needed)} before compression, and {room}",)
    return ()


def free_disk(target: Path) -> tuple[int, Path]:
    """Return the free bytes where a file is to be written, and the nearest folder that exists."""
    folder = next(folder for folder in target.parents if folder.exists())
    return shutil.disk_usage(folder).free, folder


def _file_state(path: str) -> list[object]:
    try:
        found = file_on_disk(path).stat()
    except OSError:  # a source that is no file, such as a service
        return [path]
    return [path, found.st_size, found.st_mtime_ns]


def _with_nodata(info: RasterInfo, asked: RasterOptions) -> RasterInfo:
    """Apply ``--nodata``."""
    if asked.nodata == "file":
        return info
    value = None if asked.nodata == "none" else float(asked.nodata)
    mask = info.mask
    if value is not None and mask != "alpha":  # the option takes precedence over a mask
        mask = "nodata"
    elif mask == "nodata":
        mask = "none"
    bands = tuple(replace(band, nodata=cast_nodata(band.dtype, value)) for band in info.bands)
    for band in bands:
        if value is not None and band.nodata is None:
            raise UsageError(f"--nodata {value:g}: {info.path} has {band.dtype} values")
    return replace(info, bands=bands, mask=mask)
