"""How much memory a raster takes on its way, and whether that is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import UsageError
from srcli.imaging.rasters.blocks import writer_memory
from srcli.imaging.rasters.writing import compression_threads

if TYPE_CHECKING:
    from srcli.pipelines.upscale.rasters.job import RasterJob
    from srcli.ports.grid import Grid

PROGRAM = 550 << 20
"""Bytes of Python, PyTorch, GDAL with its cache, and the network with a batch of tiles."""
WAITING = 64 << 20
"""Bytes of finished rows that may wait for the writer, by default."""
READ_AHEAD = 128 << 20
"""Bytes of input rows that may be held, by default."""
SMALLEST = 8 << 20
"""What either is lowered to where memory is short."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes by purpose."""

    band: int
    """One row of tiles in the output's values, and the ramps between tiles in float32."""
    blocks: int
    """The output's blocks that are being filled and compressed."""
    reading: int
    """Limit for rows of the input that are held."""
    waiting: int
    """Limit for finished rows that wait to be written."""

    @property
    def total(self) -> int:
        """Everything, with the program itself."""
        return PROGRAM + self.band + self.blocks + self.reading + self.waiting


def plan_memory(job: RasterJob, grid: Grid, scale: int, limit: int | None) -> Memory:
    """Bound what a raster takes; the width counts, the height does not.

    Args:
        job: The raster.
        grid: How it is cut.
        scale: Output pixels per input pixel.
        limit: Bytes allowed; None for any amount.

    Raises:
        UsageError: If it cannot be done within the limit.
    """
    channels, size = job.layout.channels, np.dtype(job.layout.dtype).itemsize
    row = grid.width * scale * channels
    ramps = (grid.overlap // 2 + 1) * scale
    band = row * (grid.tile_height * scale * size + ramps * 4)
    blocks = writer_memory(job.output, compression_threads(job.output))
    needed = Memory(band=band, blocks=blocks, reading=SMALLEST, waiting=SMALLEST)
    if limit is None:
        return Memory(band=band, blocks=blocks, reading=READ_AHEAD, waiting=WAITING)
    spare = limit - needed.total
    if spare < 0:
        raise UsageError(
            f"{job.item.source}: takes about {needed.total >> 20:,} MiB, more than --max-memory "
            f"{limit >> 20:,} MiB; allow more, take a part (--srcwin) or a smaller --tile"
        )
    return Memory(
        band=band,
        blocks=blocks,
        reading=min(READ_AHEAD, SMALLEST + spare * 2 // 3),
        waiting=min(WAITING, SMALLEST + spare // 3),
    )
