"""Choose a model for each picture: JPEGs whose blocks show get the one that is trained on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.errors import SrxError
from srcli.imaging.blockiness import VISIBLE, blockiness
from srcli.imaging.reading import read_photograph
from srcli.models.weights import weights_path
from srcli.pipelines.upscale.opening import open_photograph

if TYPE_CHECKING:
    from collections.abc import Iterable

    from srcli.imaging.photograph import Photograph, Picture
    from srcli.pipelines.upscale.naming import Item
    from srcli.pipelines.upscale.options import UpscaleOptions

AUTO = "auto"
"""The value of ``--model`` that chooses for each picture."""
CLEAN_MODEL, PHOTO_MODEL = "g-idrn", "g-idrn-photo"


def has_photo_model(scale: int) -> bool:
    """Return True if the model for JPEGs has weights of a scale."""
    return weights_path(PHOTO_MODEL, scale).is_file()


def shows_blocks(picture: Picture, photograph: Photograph) -> bool:
    """Return True for a JPEG whose blocks show."""
    return picture.format == "jpg" and blockiness(photograph.pixels) >= VISIBLE


def choose_model(item: Item, options: UpscaleOptions) -> str:
    """Return the model for one input; rasters, and what cannot be read, get the usual one."""
    try:
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
