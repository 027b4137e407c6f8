"""Open inputs, and tell photographs, which fit into memory, from what is read by windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.photograph import LARGEST_AREA
from srcli.imaging.reading import open_picture
from srcli.imaging.resize import UNBOUNDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.imaging.photograph import Picture
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.plan import Item
    from srcli.pipelines.upscale.reporter import Reporter


LARGEST_PHOTOGRAPH = 400_000_000
"""Output pixels; larger pictures are read by windows. One number, so that results do not depend on
the machine."""


def open_photographs(
    items: Sequence[Item], options: UpscaleOptions, reporter: Reporter, rasters: list[Item]
) -> Iterator[tuple[Item, Picture]]:
    """Open inputs one by one, when they are asked for; yield those that are photographs.

    Args:
        items: Inputs and outputs.
        options: As for ``open_photograph``.
        reporter: Receives those that cannot be opened.
        rasters: Receives those that are read by windows.
    """
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

    Raises:
        PictureError: If it cannot be opened; if raster options are given for a photograph rotated
            by EXIF, or ``--fit`` for a file that is read by windows.
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
    by_windows = picture.raster is not None or _by_windows(item, picture, options)
    if options.fit == UNBOUNDED or not by_windows:
        return None if by_windows else picture
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
