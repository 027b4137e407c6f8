"""Decide how an input is enlarged: as a photograph or by windows, by which model, in which passes.

What a file is decides that; its size decides only if a photograph is made by parts.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.condition import SMALLEST_SIDE, classify_condition
from srcli.imaging.formats import VIDEO
from srcli.imaging.opening import open_picture
from srcli.imaging.photograph import LARGEST_AREA, Photograph, Picture
from srcli.imaging.rasters.packed_heights import are_packed_heights
from srcli.imaging.reading import read_photograph
from srcli.imaging.videos import open_video
from srcli.pipelines.upscale.interpolated_bands import (
    INTERPOLATION_MODEL,
    are_measurements,
)

_SIDES_OF_TILES = range(64, 1025)
"""Pixels a side of squares that are looked at as terrain tiles."""

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.reporter import Item


def open_photograph(item: Item, options: UpscaleOptions) -> Picture | None:
    """Open an input that is a photograph; return None if it is read by windows, as a raster.

    Read by windows are georeferenced files and others that only a raster can be (see
    ``Picture.raster``), inputs with raster options, and photographs of more than
    ``LARGEST_AREA``. Videos are opened, too: their ``format`` is ``VIDEO``.
    A terrain tile, whose colours are bytes of heights, is a raster as well.
    Of the pictures of a folder, raster options apply to the TIFFs only. A picture
    rotated by EXIF is always a photograph, as windows on disk cannot be rotated.

    A ``PictureError`` is raised, too, for a photograph rotated by EXIF with raster
    options, and with ``--fit`` for a file that is read by windows.
    """
    try:
        page = options.pages or 1
        picture = open_picture(item.source, confined=item.from_folder, page=page)
    except PictureError:
        if options.raster.given_options and not item.from_folder:
            return None  # reading it fails with the reason
        raise
    if picture.format == VIDEO:
        return picture
    is_photograph = picture.raster is None and not _needs_windows(
        item, picture, options
    )
    if is_photograph and not _holds_packed_heights(picture):
        return picture
    option = options.photograph_option
    if not option:
        return None
    reason = picture.raster or f"more than {LARGEST_AREA:,} pixels"
    if is_photograph:
        reason = "heights packed into colours"
    advice = f"drop {option}"
    if options.size:
        advice = "give -s 4, or another scale of the model"
    raise PictureError(
        f"{item.source}: is a raster ({reason}), and {option} is for photographs; {advice}"
    )


def _needs_windows(item: Item, picture: Picture, options: UpscaleOptions) -> bool:
    """Return True for a photograph that raster options apply to, or that no memory holds."""
    is_turned = picture.orientation != 1
    as_raster = bool(options.raster.given_options)
    if item.from_folder:
        as_raster = as_raster and picture.format == "tif" and not is_turned
    if as_raster and is_turned:
        raise PictureError(
            f"{item.source}: EXIF rotates this photograph, and raster options cannot follow; "
            "drop them, or rotate the pixels first"
        )
    is_huge = picture.height * picture.width > LARGEST_AREA and not is_turned
    return as_raster or is_huge


def _holds_packed_heights(picture: Picture) -> bool:
    """Tell if a picture is a terrain tile: square, lossless, its colours bytes of heights."""
    is_square = picture.height == picture.width
    is_tile = is_square and picture.lossless and picture.width in _SIDES_OF_TILES
    has_colours = (picture.channels, picture.bits) == (3, 8)
    if not is_tile or not has_colours or picture.frames > 1 or picture.orientation != 1:
        return False
    try:
        photograph = read_photograph(picture)
    except PictureError:
        return False  # which is told when it is enlarged
    valid = np.ones(photograph.pixels.shape[:2], np.bool_)
    if photograph.alpha is not None:
        valid = photograph.alpha > 0
    return are_packed_heights(photograph.pixels[None], valid[None])


def is_made_by_parts(picture: Picture, options: UpscaleOptions) -> bool:
    """Return True for a photograph that becomes so large that its parts are kept on the disk."""
    steps = options.largest_steps(picture.size)
    pixels = picture.height * picture.width * math.prod(steps) ** 2
    return pixels > options.whole_pixels


def bytes_of_rows(picture: Picture, options: UpscaleOptions) -> int:
    """Return the bytes of the rows that a photograph made by parts keeps on the disk."""
    value_count = picture.height * picture.width * picture.channels
    total = 0
    for scale in options.largest_steps(picture.size):
        value_count *= scale**2
        total += value_count * picture.bits // 8
    return total


def choose_model(
    photograph: Photograph, options: UpscaleOptions, file_format: str
) -> tuple[str, str]:
    """Return the model for a photograph; by ``auto`` also its condition, such as ``noise``.

    Gray pictures of 16 bits that hold measurements, such as heights, are interpolated.
    """
    if options.auto and are_measurements(photograph, options):
        return INTERPOLATION_MODEL, "measurements"
    return choose_by_condition(photograph, options, file_format)


def choose_by_condition(
    photograph: Photograph, options: UpscaleOptions, file_format: str
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


def choose_video_model(path: Path, options: UpscaleOptions) -> tuple[str, str]:
    """Return the model that most of a few frames of a video would get; see ``choose_model``."""
    if not options.auto:
        return options.model, ""
    choices = Counter[tuple[str, str]]()
    with open_video(path) as video:
        for frame in video.samples():
            choices[choose_model(frame, options, "jpg")] += 1
    ((choice, _),) = choices.most_common(1)
    return choice


def choose_passes(
    picture: Picture, options: UpscaleOptions, model: str
) -> tuple[tuple[str, int], ...]:
    """Return model and scale of each pass; the first restores, others only enlarge."""
    first_scale, *scales = options.steps(model, picture.size)
    further_model = options.model
    if model == INTERPOLATION_MODEL:
        further_model = model
    further = [(further_model, scale) for scale in scales]
    return (model, first_scale), *further


def look_for_model(item: Item, options: UpscaleOptions) -> str:
    """Open an input and return the model for it; rasters and animations get the usual one."""
    picture = open_photograph(item, options)
    if picture is not None and picture.format == VIDEO:
        return choose_video_model(item.source, options)[0]
    if picture is None or picture.frames > 1:
        return options.model
    return choose_model(read_photograph(picture), options, picture.format)[0]
