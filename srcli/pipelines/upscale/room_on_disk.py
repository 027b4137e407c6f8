"""Foresee what the output of a raster takes on the disk, and refuse one that finds no room."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from srcli.disks import free_disk
from srcli.imaging.rasters.disk_use import disk_needed, sample_disk
from srcli.input_files import file_state

if TYPE_CHECKING:
    from srcli.pipelines.upscale.plans import RasterPlan

USUAL_SHARE = 0.4
"""Share of its uncompressed size that an output takes where no sample of it is made;
photographs rarely shrink so far."""
MOST_GROWTH = 12
"""How many times larger a pixel becomes by compression without loss; that of the input
may have been a lossy one."""
SURE_SHARE = 0.6
"""Share of the foreseen bytes that must be free on disk, as samples may be unlike the
rest."""
UNSURE_SHARE = 1.3
"""Share of the foreseen bytes that an output may take after all."""


def check_room(plan: RasterPlan) -> RasterPlan:
    """Return a plan with a note if its output may not fit on the disk.

    Raises:
        PictureError: If it cannot fit.
    """
    free, _ = free_disk(plan.item.target)
    if free >= round(disk_needed(plan.output) * plan.info.block_share):
        return plan
    # parts of an earlier run are there, or are removed
    likely = max(foresee_disk(plan) - plan.parts.stored_bytes, 0)
    advice = "a part (--srcwin)"
    if plan.options.mosaic:
        advice = "a folder with fewer of its files"
    notes = plan.item.check_disk(
        "parts and result may take",
        round(UNSURE_SHARE * likely),
        round(SURE_SHARE * likely),
        advice,
        refuses=plan.options.disk_check,
    )
    return replace(plan, notes=(*plan.notes, *notes))


def foresee_disk(plan: RasterPlan) -> int:
    """Estimate the bytes on disk that an output takes on the way, by a sample of it."""
    info = plan.info
    scale = plan.options.scale
    sample = sample_disk(info, plan.layout, plan.window, scale, plan.output)
    most = round(disk_needed(plan.output) * info.block_share)
    # a mosaic may have large holes, and its samples lie beside them by chance
    input_bytes = sum((file_state(name) or (0,))[0] for name in info.files)
    if info.driver == "VRT" and input_bytes:
        # twice, as parts and result lie there together
        most = min(most, round(2 * MOST_GROWTH * input_bytes * scale**2))
    if sample is None:
        return round(USUAL_SHARE * most)
    return min(sample, most)
