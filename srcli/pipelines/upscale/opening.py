"""Open inputs: tell photographs from what is read by windows, and JPEGs whose blocks show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError, SrxError, one_file
from srcli.imaging.photograph import LARGEST_AREA
from srcli.imaging.reading import open_picture, read_photograph
from srcli.imaging.resize import UNBOUNDED
from srcli.models.weights import weights_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from srcli.imaging.photograph import Photograph, Picture
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.plan import Item
    from srcli.pipelines.upscale.reporter import Reporter

LARGEST_PHOTOGRAPH = 400_000_000
"""Output pixels; larger pictures are read by windows. One number, so that results do not depend on
the machine."""
PHOTO_MODEL = "g-idrn-photo"
"""Is trained on JPEGs whose blocks show."""
VISIBLE = 1.2
"""Blockiness from which blocks show: Set5 and Set14 have 1.11 at most as they are, but for five
pictures that were compressed before, and 1.18 at least as JPEGs of quality 85 (EXPERIMENTS.md)."""
_BLOCK = 8
_LARGEST_SIDE = 512  # pixels that are measured, from the middle
_SMOOTH = 4  # levels: a step beside one that is larger belongs to the picture
_LEAST_STEP = 0.05  # levels; flat drawings have hardly any


def open_photographs(
    items: Sequence[Item], options: UpscaleOptions, reporter: Reporter, rasters: list[Item]
) -> Iterator[tuple[Item, Picture]]:
    """Open inputs when they are asked for; yield photographs, put the others into ``rasters``."""
    for item in items:
        with reporter.guard(item):
            picture = open_photograph(item, options)
            if picture is None:
                rasters.append(item)
            else:
                yield item, picture


def open_photograph(item: Item, options: UpscaleOptions) -> Picture | None:
    """Open an input that is a photograph; None if it is read by windows.

    Read by windows are georeferenced files and others that photographs cannot be (see
    ``Picture.raster``), inputs with raster options, and pictures too large for memory. Of the
    pictures of a folder, raster options apply to the TIFFs only. A picture rotated by EXIF is
    always a photograph, as windows on disk cannot be rotated.

    A ``PictureError`` is raised, too, for a photograph rotated by EXIF with raster options, and
    with ``--fit`` for a file that is read by windows.
    """
    asked = bool(options.raster.asked_for)
    try:
        picture = open_picture(
            item.source,
            remote=options.allow_remote,
            confined=item.from_folder,
            companions=item.companions,
        )
    except PictureError:
        if asked and not item.from_folder and options.fit == UNBOUNDED:
            return None  # reading it fails with the reason
        raise
    if picture.raster is None and not _by_windows(item, picture, options):
        return picture
    if options.fit == UNBOUNDED:
        return None
    if picture.raster is not None:
        raise PictureError(
            f"{item.source}: is a raster ({picture.raster}), and --fit is for photographs; "
            "drop --fit"
        )
    raise PictureError(
        f"{item.source}: is too large for --fit when enlarged by {options.scale} "
        f"(more than {LARGEST_PHOTOGRAPH / 1e6:.0f} megapixels); use a smaller --scale"
    )


def _by_windows(item: Item, picture: Picture, options: UpscaleOptions) -> bool:
    """Return True if raster options or its size make an ordinary picture a raster."""
    pixels = picture.height * picture.width
    if pixels > LARGEST_AREA:
        return True
    asked, turned = bool(options.raster.asked_for), picture.orientation != 1
    if item.from_folder:
        asked = asked and picture.format == "tif" and not turned
    if asked and turned:
        raise PictureError(
            f"{item.source}: EXIF rotates this photograph, and raster options cannot follow; "
            "drop them, or rotate the pixels first"
        )
    large = pixels * options.scale**2 > LARGEST_PHOTOGRAPH
    return asked or (large and not turned and picture.format != "gif")


def choose_model(picture: Picture, photograph: Photograph, options: UpscaleOptions) -> str:
    """Return ``PHOTO_MODEL`` for a JPEG whose blocks show, else the usual model."""
    suits = picture.format == "jpg" and weights_path(PHOTO_MODEL, options.scale).is_file()
    return PHOTO_MODEL if suits and blockiness(photograph.pixels) >= VISIBLE else options.model


def look_for_model(item: Item, options: UpscaleOptions) -> str:
    """Return the model for one input; rasters, and what cannot be read, get the usual one."""
    try:
        with one_file(item.source):
            picture = open_photograph(item, options)
            if picture is None or picture.format != "jpg":
                return options.model
            return choose_model(picture, read_photograph(picture), options)
    except SrxError:
        return options.model


def blockiness(pixels: NDArray[Any]) -> float:
    """Compare the steps across the borders of 8x8 blocks with those elsewhere, in smooth places.

    Args:
        pixels: (H, W, C) uint8; blocks may begin anywhere, as they do after turning or cropping.

    Returns:
        The ratio, about 1 without blocks; 1 for pictures of fewer than 64 pixels a side.
    """
    top, left = (max(side - _LARGEST_SIDE, 0) // 2 for side in pixels.shape[:2])
    middle = pixels[top : top + _LARGEST_SIDE, left : left + _LARGEST_SIDE]
    gray = middle.mean(axis=2, dtype=np.float32)
    if min(gray.shape) < 8 * _BLOCK:
        return 1.0
    return float(np.mean([_along_rows(gray), _along_rows(gray.T)]))


def _along_rows(gray: NDArray[np.float32]) -> float:
    steps = np.abs(np.diff(gray, axis=1))
    inner = steps[:, 1:-1]
    smooth = (steps[:, :-2] < _SMOOTH) & (steps[:, 2:] < _SMOOTH)
    means = np.ones(_BLOCK)
    for phase in range(_BLOCK):
        places = smooth[:, phase::_BLOCK]
        if places.any():
            means[phase] = inner[:, phase::_BLOCK][places].mean()
    highest = int(means.argmax())
    return float(means[highest] / max(np.delete(means, highest).mean(), _LEAST_STEP))
