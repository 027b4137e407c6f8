"""Choose a model for each picture: JPEGs whose blocks show get the one that is trained on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import SrxError, one_file
from srcli.imaging.reading import read_photograph
from srcli.models.weights import weights_path
from srcli.pipelines.upscale.opening import open_photograph

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from srcli.imaging.photograph import Photograph, Picture
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.plan import Item

AUTO = "auto"
"""The value of ``--model`` that chooses for each picture."""
CLEAN_MODEL, PHOTO_MODEL = "g-idrn", "g-idrn-photo"
VISIBLE = 1.2
"""Blockiness from which blocks show: Set5 and Set14 have 1.11 at most as they are, but for five
pictures that were compressed before, and 1.18 at least as JPEGs of quality 85 (EXPERIMENTS.md)."""
_BLOCK = 8
_LARGEST_SIDE = 512  # pixels that are measured, from the middle
_SMOOTH = 4  # levels: a step beside one that is larger belongs to the picture
_LEAST_STEP = 0.05  # levels; flat drawings have hardly any


def has_photo_model(scale: int) -> bool:
    """Return True if the model for JPEGs has weights of a scale."""
    return weights_path(PHOTO_MODEL, scale).is_file()


def shows_blocks(picture: Picture, photograph: Photograph) -> bool:
    """Return True for a JPEG whose blocks show."""
    return picture.format == "jpg" and blockiness(photograph.pixels) >= VISIBLE


def choose_model(item: Item, options: UpscaleOptions) -> str:
    """Return the model for one input; rasters, and what cannot be read, get the usual one."""
    try:
        with one_file(item.source):
            picture = open_photograph(item, options)
            if picture is None or picture.format != "jpg" or not has_photo_model(options.scale):
                return CLEAN_MODEL
            return PHOTO_MODEL if shows_blocks(picture, read_photograph(picture)) else CLEAN_MODEL
    except SrxError:
        return CLEAN_MODEL


def group_by_model(items: Iterable[Item], options: UpscaleOptions) -> dict[str, list[Item]]:
    """Return the inputs of each model; all are of the user's unless that is ``auto``."""
    if options.model != AUTO:
        return {options.model: list(items)}
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(choose_model(item, options), []).append(item)
    return groups


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
