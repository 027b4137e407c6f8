"""Choose the model for a photograph, by what its pixels have gone through, and the passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.pipelines.upscale import condition, measurements

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled

INTERPOLATION_MODEL = "bicubic"
"""Name of the model that is bicubic interpolation."""


def choose_model(
    photograph: Photograph, options: Settled, file_format: str
) -> tuple[str, str]:
    """Return the model for a photograph; by ``auto`` also its condition, such as ``noise``.

    Gray pictures of 16 bits that hold measurements, such as heights, are interpolated.
    """
    is_chosen = options.auto and not options.engine.is_corrected
    if is_chosen and measurements.are_measurements(photograph.pixels):
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
    word: str = condition.classify_condition(photograph.pixels)
    if word == "clean" and file_format == "jpg":
        word = "saved"
    elif word == "clean" and options.best and file_format != "tif":
        height, width = photograph.pixels.shape[:2]
        is_measured = min(height, width) >= condition.SMALLEST_SIDE
        if is_measured and photograph.pixels.dtype == np.uint8:
            word = "unsure"
    return options.model_for_photograph(word), word


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
