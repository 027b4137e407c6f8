"""One raster before its run: input, window, values and output profile; its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import srcli
from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.info import RasterInfo, cast_nodata, read_info
from srcli.imaging.rasters.output import OutputOptions, OutputProfile, make_output
from srcli.imaging.rasters.selection import BandLayout, choose_layout, choose_window
from srcli.imaging.rasters.values import choose_value_range
from srcli.models.weights import network_digest
from srcli.pipelines.upscale.plan import Item
from srcli.ports.image import Values, Window

if TYPE_CHECKING:
    from srcli.inference.engine import TorchEngine
    from srcli.pipelines.upscale.options import RasterOptions, UpscaleOptions
    from srcli.ports.image import TileGrid


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
    range_found: str
    """The values taken as black and white, in words; empty where they are fixed."""

    @property
    def bits(self) -> int:
        """8 for 8-bit values, else 32; decides the precision of the network."""
        return 8 if self.layout.dtype == "uint8" else 32


def open_job(item: Item, options: UpscaleOptions) -> RasterJob:
    """Read a raster's header and decide on bands, window, values and output.

    Args:
        item: Input, output and its format.
        options: Scale, and the raster options.

    Raises:
        PictureError: If it cannot be read, or its result could not be written.
        UsageError: If the options do not fit it.
    """
    asked = options.raster
    info = _with_nodata(read_info(item.source), asked)
    _refuse_own_part(item, info)
    layout = choose_layout(info, bands=asked.bands, rgb=asked.rgb)
    window, clipped = choose_window(info, srcwin=asked.srcwin, bounds=asked.bounds)
    values, range_found = choose_value_range(info, layout, window, asked.values)
    creation = dict(asked.creation)
    if options.quality is not None and item.format in ("jpg", "webp"):
        creation.setdefault("QUALITY", str(options.quality))
    wanted = OutputOptions(
        format=item.format, creation=creation, overviews=asked.overviews, cog=asked.cog
    )
    output = make_output(info, layout, window, options.scale, wanted)
    return RasterJob(
        item=item,
        info=info,
        layout=layout,
        window=window,
        values=values,
        output=output,
        notes=(*info.notes, *layout.notes, *clipped, *output.notes),
        range_found=range_found,
    )


def fingerprint(
    job: RasterJob, engine: TorchEngine, grid: TileGrid, options: UpscaleOptions
) -> dict[str, object]:
    """Return everything that the pixels depend on, by names that users understand.

    A run continues an interrupted one if both have the same fingerprint.

    Args:
        job: The raster.
        engine: Runs the network.
        grid: The tiles of the raster.
        options: Model and scale.
    """
    asked = options.raster
    part = job.window
    return {
        "version": srcli.__version__,
        "input": [_file_state(path) for path in job.info.files],
        "model": f"{options.model} {network_digest(engine.network)[:16]}",
        "scale": options.scale,
        "tile": [grid.tile_height, grid.tile_width, grid.overlap],
        "batch": engine.batch_size(grid.tile_height, grid.tile_width),
        "precision": str(engine.half or "fp32"),
        "device": engine.device.type,
        "tta": engine.tta,
        "back_project": engine.back_project,
        "bands": [*job.layout.bands, job.layout.alpha],
        "rgb": [list(group) for group in job.layout.groups],
        "range": [job.values.ranges, str(job.values.dtype)],
        "nodata": str([band.nodata for band in job.info.bands]),
        "part": [part.left, part.top, part.width, part.height],
        "output": [job.item.format, dict(asked.creation), asked.overviews, asked.cog],
    }


def _file_state(path: str) -> list[object]:
    try:
        found = Path(path).stat()
    except OSError:  # a source that is no file, such as a service
        return [path]
    return [path, found.st_size, found.st_mtime_ns]


def _refuse_own_part(item: Item, info: RasterInfo) -> None:
    """Refuse to replace a file that a mosaic is made of."""
    target = item.target.resolve()
    if target == item.source.resolve():
        return  # asked for by --overwrite
    if any(Path(name).resolve() == target for name in info.files):
        raise PictureError(
            f"{item.source}: {item.target} is a part of it and would be overwritten; give another "
            "output folder or --suffix _x4"
        )


def _with_nodata(info: RasterInfo, asked: RasterOptions) -> RasterInfo:
    """Apply ``--nodata``."""
    if asked.nodata == "file":
        return info
    value = None if asked.nodata == "none" else float(asked.nodata)
    mask = info.mask
    if mask != "alpha":  # the option takes precedence over a mask
        mask = "none" if value is None and mask == "nodata" else mask if value is None else "nodata"
    bands = tuple(replace(band, nodata=cast_nodata(band.dtype, value)) for band in info.bands)
    for band in bands:
        if value is not None and band.nodata is None:
            raise UsageError(f"--nodata {value:g}: {info.path} has {band.dtype} values")
    return replace(info, bands=bands, mask=mask)
