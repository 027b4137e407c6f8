"""Which files go the way of rasters, by windows on disk, and which are photographs in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.errors import LargePictureError, PictureError
from srcli.imaging.fitting import UNBOUNDED
from srcli.imaging.headers import read_header
from srcli.imaging.rasters.detection import raster_reason

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.plan import Item

LARGEST_PHOTOGRAPH = 400_000_000
"""Output pixels; what is larger is not held in memory. One number, so that results do not depend
on the machine."""


def goes_by_rasters(item: Item, options: UpscaleOptions) -> bool:
    """Whether an input is read by windows.

    That is so for everything with a place on the map and for what photographs cannot be (see
    ``raster_reason``), where options of rasters are given, and for pictures that are too large.
    Such options mean the TIFFs of a folder, and not the other pictures that lie there, too.
    A picture that EXIF turns is always a photograph: windows on disk cannot be turned.

    Args:
        item: The input.
        options: Scale, and what was asked for.

    Raises:
        PictureError: If options of rasters are given for a photograph that EXIF turns, or a size
            for what is read by windows.
    """
    reason = raster_reason(item.source)
    if options.fit == UNBOUNDED:
        return reason is not None or _by_windows(item, options)
    if reason is not None:
        raise PictureError(
            f"{item.source}: is a raster ({reason}), and --fit is for photographs; leave it away"
        )
    if _by_windows(item, options):
        raise PictureError(
            f"{item.source}: is too large for --fit when enlarged by {options.scale} "
            f"(more than {LARGEST_PHOTOGRAPH / 1e6:.0f} megapixels); take a smaller --scale"
        )
    return False


def _by_windows(item: Item, options: UpscaleOptions) -> bool:
    """Whether what is no raster by itself is read by windows all the same."""
    asked = bool(options.raster.asked_for)
    try:
        header = read_header(item.source)
        if item.walked and (header.format != "tif" or header.orientation != 1):
            asked = False
    except LargePictureError:
        return True
    except PictureError:
        return asked  # the way of photographs says why
    if asked and header.orientation != 1:
        raise PictureError(
            f"{item.source}: EXIF turns this photograph, and options of rasters cannot follow; "
            "leave them away, or turn it first"
        )
    if asked:
        return True
    pixels = header.height * header.width * options.scale**2
    return pixels > LARGEST_PHOTOGRAPH and header.orientation == 1 and header.format != "gif"
