"""Tell photographs, which are held in memory, from rasters, which are read by windows."""

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
"""Output pixels; larger pictures are read by windows. One number, so that results do not depend on
the machine."""


def is_raster(item: Item, options: UpscaleOptions) -> bool:
    """Return True if an input is read by windows, False if it is a photograph.

    Read by windows are georeferenced files and others that photographs cannot be (see
    ``raster_reason``), inputs with raster options, and pictures too large for memory. Of the
    pictures of a folder, raster options apply to the TIFFs only. A picture rotated by EXIF is
    always a photograph, as windows on disk cannot be rotated.

    Args:
        item: The input.
        options: Scale, ``--fit`` and raster options.

    Raises:
        PictureError: If raster options are given for a photograph rotated by EXIF, or ``--fit``
            for a file that is read by windows.
    """
    reason = raster_reason(item.source)
    if options.fit == UNBOUNDED:
        return reason is not None or _by_windows(item, options)
    if reason is not None:
        raise PictureError(
            f"{item.source}: is a raster ({reason}), and --fit is for photographs; drop --fit"
        )
    if _by_windows(item, options):
        raise PictureError(
            f"{item.source}: is too large for --fit when enlarged by {options.scale} "
            f"(more than {LARGEST_PHOTOGRAPH / 1e6:.0f} megapixels); use a smaller --scale"
        )
    return False


def _by_windows(item: Item, options: UpscaleOptions) -> bool:
    """Return True if raster options or its size make an ordinary picture a raster."""
    asked = bool(options.raster.asked_for)
    try:
        header = read_header(item.source)
    except LargePictureError:
        return True
    except PictureError:
        return asked  # reading it fails with the reason
    turned = header.orientation != 1
    if item.from_folder:
        asked = asked and header.format == "tif" and not turned
    if asked and turned:
        raise PictureError(
            f"{item.source}: EXIF rotates this photograph, and raster options cannot follow; "
            "drop them, or rotate the pixels first"
        )
    pixels = header.height * header.width * options.scale**2
    return asked or (pixels > LARGEST_PHOTOGRAPH and not turned and header.format != "gif")
