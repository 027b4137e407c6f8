"""Memory and disk space that a raster needs, checked before its run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.blocks import writer_memory
from srcli.imaging.rasters.output import disk_needed
from srcli.imaging.rasters.writing import compression_threads

if TYPE_CHECKING:
    from srcli.pipelines.upscale.rasters.job import RasterJob
    from srcli.ports.image import TileGrid

PROGRAM = 550 << 20
"""Bytes of Python, PyTorch, GDAL with its cache, and the network with a batch of tiles."""
WAITING = 64 << 20
"""Bytes of finished rows that may wait for the writer, by default."""
READ_AHEAD = 128 << 20
"""Bytes of input rows that may be held, by default."""
SMALLEST = 8 << 20
"""Least value of both under ``--max-memory``."""
LEAST_COMPRESSED = 0.4
"""Share of the uncompressed size that must be free on disk; photographs rarely shrink so far."""


@dataclass(frozen=True, kw_only=True)
class RasterMemory:
    """Bytes by purpose."""

    band: int
    """One row of tiles in the output's values, and the ramps between tiles in float32."""
    blocks: int
    """Blocks of the output that are being filled and compressed."""
    reading: int = READ_AHEAD
    """Limit for the rows of the input that are held."""
    waiting: int = WAITING
    """Limit for finished rows that wait to be written."""

    @property
    def pictures(self) -> int:
        """Everything beside the program itself."""
        return self.band + self.blocks + self.reading + self.waiting

    @property
    def total(self) -> int:
        """Everything, with the program itself."""
        return PROGRAM + self.pictures


def plan_memory(job: RasterJob, grid: TileGrid, scale: int, limit: int | None) -> RasterMemory:
    """Work out the memory that a raster needs; its width counts, its height does not.

    Args:
        job: The raster.
        grid: Its tiles.
        scale: Output pixels per input pixel.
        limit: Bytes allowed; None for any amount.

    Raises:
        UsageError: If the limit is too low.
    """
    channels, size = job.layout.channels, np.dtype(job.layout.dtype).itemsize
    row = grid.width * scale * channels
    ramps = (grid.overlap // 2 + 1) * scale
    wanted = RasterMemory(
        band=row * (grid.tile_height * scale * size + ramps * 4),
        blocks=writer_memory(job.output, compression_threads(job.output)),
    )
    if limit is None:
        return wanted
    least = replace(wanted, reading=SMALLEST, waiting=SMALLEST).total
    spare = limit - least
    if spare < 0:
        raise UsageError(
            f"{job.item.source}: takes about {least >> 20:,} MiB, more than --max-memory "
            f"{limit >> 20:,} MiB; allow more, take a part (--srcwin) or a smaller --tile"
        )
    return replace(
        wanted,
        reading=min(READ_AHEAD, SMALLEST + spare * 2 // 3),
        waiting=min(WAITING, SMALLEST + spare // 3),
    )


def check_disk(job: RasterJob) -> tuple[str, ...]:
    """Compare the size of the output with the free disk space.

    Returns:
        A warning where the output may not fit, else nothing.

    Raises:
        PictureError: If it cannot fit.
    """
    needed = disk_needed(job.output)
    folder = job.item.target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    room = f"{_size(free)} are free in {folder}"
    if free < LEAST_COMPRESSED * needed:
        raise PictureError(
            f"{job.item.source}: its enlargement takes {_size(needed)} before compression "
            f"and {room}; make room, take another folder or a part (--srcwin)"
        )
    if free < needed:
        return (f"the output takes up to {_size(needed)} before compression, and {room}",)
    return ()


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e9:.2g} GB"
