"""Decide how an input is enlarged: as a photograph or by windows, by which model, in which passes.

What a file is decides that; its size decides only if a photograph is made by parts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.rasters.packed_heights import are_packed_heights
from srcli.pipelines.upscale.condition import SMALLEST_SIDE, classify_condition
from srcli.pipelines.upscale.measurements import are_measurements

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled

INTERPOLATION_MODEL = "bicubic"
"""Name of the model that is bicubic interpolation."""


def is_made_by_parts(picture: Picture, options: Settled) -> bool:
    """Return True for a photograph that becomes so large that its parts are kept on the disk."""
    steps = options.largest_steps(picture.size)
    pixels = picture.height * picture.width * math.prod(steps) ** 2
    return pixels > options.whole_pixels


def bytes_of_rows(picture: Picture, options: Settled) -> int:
    """Return the bytes of the rows that a photograph made by parts keeps on the disk."""
    value_count = picture.height * picture.width * picture.channels
    total = 0
    for scale in options.largest_steps(picture.size):
        value_count *= scale**2
        total += value_count * picture.bits // 8
    return total


def choose_model(
    photograph: Photograph, options: Settled, file_format: str
) -> tuple[str, str]:
    """Return the model for a photograph; by ``auto`` also its condition, such as ``noise``.

    Gray pictures of 16 bits that hold measurements, such as heights, are interpolated.
    """
    is_chosen = options.auto and not options.engine.is_corrected
    if is_chosen and are_measurements(photograph.pixels):
        return INTERPOLATION_MODEL, "measurements"
    return choose_by_condition(photograph, options, file_format)


def choose_by_condition(
    photograph: Photograph, options: Settled, file_format: str
) -> tuple[str, str]:
    """Return the model for a photograph that holds no measurements; see ``choose_model``.

    Floats are not judged: what is black and white in them is not known.

    A JPEG is never clean: from traces of its compression that are too faint to be
    measured, g-idrn would make rings and dots. For ``best`` other files of 8 bits are
    unsure, as they may have been JPEGs before, or resized; but not TIFFs, which cameras
    and scanners write.
    """
    if not options.auto or photograph.pixels.dtype.kind == "f":
        return options.model, ""
    condition: str = classify_condition(photograph.pixels)
    if condition == "clean" and file_format == "jpg":
        condition = "saved"
    elif condition == "clean" and options.best and file_format != "tif":
        height, width = photograph.pixels.shape[:2]
        is_measured = min(height, width) >= SMALLEST_SIDE
        if is_measured and photograph.pixels.dtype == np.uint8:
            condition = "unsure"
    return options.model_for_photograph(condition), condition


def choose_passes(
    picture: Picture, options: Settled, model: str
) -> tuple[tuple[str, int], ...]:
    """Return model and scale of each pass; the first restores, others only enlarge."""
    first_scale, *scales = options.steps(model, picture.size)
    further_model = options.model
    if model == INTERPOLATION_MODEL:
        further_model = model
    further = [(further_model, scale) for scale in scales]
    return (model, first_scale), *further


def note_packed_heights(photograph: Photograph, picture: Picture) -> tuple[str, ...]:
    """Note a terrain tile, a square whose colours are bytes of heights, that is no raster."""
    pixels = photograph.pixels
    is_square = pixels.shape[0] == pixels.shape[1]
    if not picture.lossless or not is_square or pixels.shape[2] < 3:
        return ()
    valid = np.ones(pixels.shape[:2], np.bool_)
    if photograph.alpha is not None:
        valid = photograph.alpha > 0
    if not are_packed_heights(pixels[None], valid[None]):
        return ()
    return (
        "its colours look like bytes of heights, and are enlarged as colours: --bidx 1,2,3 "
        "enlarges heights",
    )
