"""Tell how much smaller the output of a lossy photograph is as a JPEG than as a PNG."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.photographs.photograph import Photograph
from srcli.imaging.photographs.writing import write_photograph
from srcli.ports.progress import Progress
from srcli.quantities import format_bytes

if TYPE_CHECKING:
    from srcli.pipelines.upscale.reporter import Item

SAMPLE_SIDE = 768
LEAST_TIMES = 3
"""How many times smaller a JPEG is that is worth a message."""
LEAST_BYTES = 10 * 2**20
"""Of a PNG that anybody minds."""


def compare_with_jpeg(item: Item, photograph: Photograph, progress: Progress) -> None:
    """Tell how many times smaller a JPEG would be, by a sample from the middle."""
    size = item.target.stat().st_size
    if photograph.alpha is not None or size < LEAST_BYTES:
        return
    height, width = photograph.pixels.shape[:2]
    top = max((height - SAMPLE_SIDE) // 2, 0)
    left = max((width - SAMPLE_SIDE) // 2, 0)
    middle = photograph.pixels[top:, left:][:SAMPLE_SIDE, :SAMPLE_SIDE]
    pixels = np.ascontiguousarray(middle)
    sample = replace(photograph, pixels=pixels, metadata=Metadata())
    sizes = {}
    with tempfile.TemporaryDirectory(
        prefix="srx-", ignore_cleanup_errors=True
    ) as folder:
        for fmt in ("png", "jpg"):
            file = Path(folder) / f"sample.{fmt}"
            write_photograph(file, sample, fmt=fmt)
            sizes[fmt] = file.stat().st_size
    times = sizes["png"] / sizes["jpg"]
    if times >= LEAST_TIMES:
        progress.message(
            f"{item.source}: becomes a PNG of {format_bytes(size)}, as its format is not "
            f"written; -f jpg makes it about {times:.0f} times smaller, with losses as the "
            "input has them"
        )
