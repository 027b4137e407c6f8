"""Predict the time of a raster by many workers, from the measured speeds of one."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import rasterio

from srcli.imaging.rasters.part_writer import PartWriter
from srcli.imaging.rasters.parts import open_parts
from srcli.imaging.rasters.publishing import publish
from srcli.pipelines.upscale.looking import look_at_raster
from srcli.pipelines.upscale.plans import RasterPlan, plan_raster
from srcli.pipelines.upscale.rasters import FEWEST_TILE_ROWS
from srcli.pipelines.upscale.reporter import Item
from srcli.ports import Window

if TYPE_CHECKING:
    from pathlib import Path

    from srcli.pipelines.upscale.options import Settled

SIZES = (8_000, 100_000, 1_000_000)
WORKERS = (1, 2, 8, 64, 1_000)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Speeds of one worker on this machine, and of the storage."""

    start: float
    """Seconds of a command with next to nothing to do."""
    tile: float
    """Seconds of the network for a tile."""
    read: float
    """Input pixels read a second."""
    write: float
    """Output pixels stored as parts a second."""
    merge: float
    """Output pixels merged into the final file a second, on one machine."""
    storage: float
    """Bytes a second that the storage moves for all workers together; assumed."""
    faster: float = 1.0
    """Speed of the network relative to this core; assumed where it is not 1."""


def predict(
    side: int, workers: int, rates: Rates, tiling: tuple[int, int], scale: int
) -> tuple:
    """Return the seconds for a raster of side x side pixels (RGB, 8 bits), and what takes longest.

    Workers take runs of rows of tiles, of which they compute one twice; reading and
    writing go on beside the network. Then the parts are merged on one machine.
    """
    tile, overlap = tiling
    rows = max(math.ceil((side - overlap) / (tile - overlap)), 1)
    used = max(min(workers, rows // FEWEST_TILE_ROWS), 1)
    pixels, out = side**2, (side * scale) ** 2
    own_rows = math.ceil(rows / used) + (used > 1)
    steps = {
        "network": own_rows
        * rows
        * rates.tile
        / rates.faster,  # as many columns as rows
        "reading": pixels / used / rates.read,
        "compressing parts": out / used / rates.write,
        "storage": 3
        * (pixels + 2 * out)
        / rates.storage,  # parts are written, and read again
    }
    merge = {"merging": out / rates.merge}
    seconds = rates.start + max(steps.values()) + merge["merging"]
    everything = steps | merge
    return seconds, max(everything, key=everything.__getitem__)


def measure_rates(raster: Path, result: Path, options: Settled, scratch: Path) -> dict:
    """Time reading, storing parts and merging them, with the pixels of a finished result."""
    item = Item(source=raster, target=scratch / "again.tif", format="tif")
    with look_at_raster(item, options) as seen:
        return _time_steps(plan_raster(item, options, seen), result)


def _time_steps(job: RasterPlan, result: Path) -> dict:
    side, out = job.window.width, job.output.width
    started = time.perf_counter()
    source = job.source(0)
    for top in range(0, side, 256):
        source.read(Window(top=top, left=0, height=min(256, side - top), width=side))
    read = side**2 / (time.perf_counter() - started)
    written = 0.0
    fingerprint = {"of": "a benchmark"}
    with open_parts(job.item.target, job.output, fingerprint) as (parts, _):
        writer = PartWriter(parts, range(parts.count), source, job.options.scale)
        with rasterio.open(result) as file:
            for top in range(0, out, 256):
                window = rasterio.windows.Window(0, top, out, min(256, out - top))
                rows = np.ascontiguousarray(file.read(window=window).transpose(1, 2, 0))
                started = time.perf_counter()
                writer.write(top, rows)
                written += time.perf_counter() - started
        started = time.perf_counter()
        publish(parts)
        merged = time.perf_counter() - started
    return {"read": read, "write": out**2 / written, "merge": out**2 / merged}


def predictions(
    rates: Rates, tiling: tuple[int, int], scale: int, faster: float
) -> str:
    """Return a table for this core, and for workers that are ``faster``."""
    rows = []
    for side in SIZES:
        for n in WORKERS:
            row = [f"{side:,} x {side:,}", f"{n:,}"]
            for each in (rates, replace(rates, faster=faster)):
                seconds, slowest = predict(side, n, each, tiling, scale)
                row += [in_words(seconds), slowest]
            rows.append(row)
    head = ["raster", "workers", "this core", "longest step"]
    return table([*head, f"{faster:g} times as fast", "longest step"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def in_words(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
