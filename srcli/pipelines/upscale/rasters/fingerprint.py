"""What makes two runs of one raster the same, so that the second may go on with the first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import srcli
from srcli.models.weights import network_digest

if TYPE_CHECKING:
    from srcli.inference.engine import TorchEngine
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.rasters.job import RasterJob
    from srcli.ports.grid import Grid


def fingerprint(
    job: RasterJob, engine: TorchEngine, grid: Grid, options: UpscaleOptions
) -> dict[str, object]:
    """Everything that pixels depend on, as plain values by names that users understand.

    Args:
        job: The raster.
        engine: Runs the network.
        grid: How the raster is cut.
        options: Model and scale.
    """
    asked = options.raster
    part = job.window
    return {
        "version": srcli.__version__,
        "input": [_state(path) for path in job.info.files],
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


def _state(path: str) -> list[object]:
    try:
        found = Path(path).stat()
    except OSError:  # a source that is no file, such as a service
        return [path]
    return [path, found.st_size, found.st_mtime_ns]
