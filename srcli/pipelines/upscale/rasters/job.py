"""One raster before its run: what is read, what will be written, what it takes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.bands import BandLayout, choose_layout
from srcli.imaging.rasters.info import RasterInfo, cast_nodata, read_info
from srcli.imaging.rasters.output import OutputOptions, OutputProfile, disk_needed, make_output
from srcli.imaging.rasters.values import choose_value_range
from srcli.imaging.rasters.windows import choose_window
from srcli.pipelines.upscale.plan import Item
from srcli.ports.image import Window
from srcli.ports.values import Values

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.rasters.options import RasterOptions

LEAST_COMPRESSED = 0.4
"""Of the uncompressed size: less disk than that is refused; photographs rarely shrink so far."""


@dataclass(frozen=True, kw_only=True)
class RasterJob:
    """Everything that is settled before the first pixel is read."""

    item: Item
    info: RasterInfo
    layout: BandLayout
    window: Window
    values: Values
    output: OutputProfile
    notes: tuple[str, ...]
    """What was decided for the user, who may want it otherwise."""
    range_found: str
    """Which values are black and white, in words; empty where nothing had to be found out."""

    @property
    def bits(self) -> int:
        """Of the values, for the choice of a number format: 8, or 32 for all else."""
        return 8 if self.layout.dtype == "uint8" else 32


def open_job(item: Item, options: UpscaleOptions) -> RasterJob:
    """Look at a raster and settle how it is enlarged.

    Args:
        item: Input, output and its format.
        options: Scale, bands, part, values.

    Raises:
        PictureError: If it cannot be read, or its result could not be written.
        UsageError: If the options do not fit it.
    """
    asked = options.raster
    info = _with_nodata(read_info(item.source), asked)
    _refuse_own_part(item, info)
    layout = choose_layout(info, bands=asked.bands, rgb=asked.rgb)
    window, clipped = choose_window(info, srcwin=asked.srcwin, bounds=asked.bounds)
    values, told = choose_value_range(info, layout, window, asked.values)
    wanted = OutputOptions(
        format=item.format,
        creation=_with_quality(asked, item, options.quality),
        overviews=asked.overviews,
        cog=asked.cog,
    )
    output = make_output(info, layout, window, options.scale, wanted)
    notes = (*info.notes, *layout.notes, *clipped, *output.notes)
    return RasterJob(
        item=item,
        info=info,
        layout=layout,
        window=window,
        values=values,
        output=output,
        notes=notes,
        range_found=told,
    )


def check_disk(job: RasterJob) -> str | None:
    """Compare what the output takes with the room there is.

    Returns:
        A warning where it may not fit; None where it will.

    Raises:
        PictureError: If it cannot fit.
    """
    needed = disk_needed(job.output)
    folder = _existing(job.item.target.parent)
    free = shutil.disk_usage(folder).free
    room = f"{_size(free)} are free in {folder}"
    if free < LEAST_COMPRESSED * needed:
        raise PictureError(
            f"{job.item.source}: its enlargement takes {_size(needed)} before compression "
            f"and {room}; make room, take another folder or a part (--srcwin)"
        )
    if free < needed:
        return f"the output takes up to {_size(needed)} before compression, and {room}"
    return None


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e9:.2g} GB"


def _refuse_own_part(item: Item, info: RasterInfo) -> None:
    """A mosaic must not replace what it is made of."""
    target = item.target.resolve()
    if target == item.source.resolve():
        return  # asked for, by --overwrite
    if any(Path(name).resolve() == target for name in info.files):
        raise PictureError(
            f"{item.source}: {item.target} is a part of it and would be overwritten; give another "
            "output folder or --suffix _x4"
        )


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _with_nodata(info: RasterInfo, asked: RasterOptions) -> RasterInfo:
    if asked.nodata == "file":
        return info
    value = None if asked.nodata == "none" else float(asked.nodata)
    mask = info.mask
    if mask != "alpha":  # a value that the user names counts for more than a mask
        mask = "none" if value is None and mask == "nodata" else mask if value is None else "nodata"
    bands = tuple(replace(band, nodata=cast_nodata(band.dtype, value)) for band in info.bands)
    for band in bands:
        if value is not None and band.nodata is None:
            raise UsageError(f"--nodata {value:g}: {info.path} has {band.dtype} values")
    return replace(info, bands=bands, mask=mask)


def _with_quality(asked: RasterOptions, item: Item, quality: int | None) -> dict[str, str]:
    creation = dict(asked.creation)
    if quality is not None and item.format in ("jpg", "webp"):
        creation.setdefault("QUALITY", str(quality))
    return creation
