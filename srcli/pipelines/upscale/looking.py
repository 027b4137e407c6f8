"""Look at an input that is read by windows, before anything is decided on it.

Its file is opened here, once for all that follows: decisions, statistics, pixels. What
srx reads itself of it holds metadata that GDAL does not pass on: EXIF, and all of photographs,
which keep what they keep without options of rasters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.files.tiff_pages import DAMAGED_PAGE
from srcli.imaging.opening import open_known
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.pixels.arrays import Size
from srcli.imaging.rasters.companions import source_id
from srcli.imaging.rasters.dataset_names import DatasetName
from srcli.imaging.rasters.headers import info_of, read_info
from srcli.imaging.rasters.info import RasterInfo
from srcli.imaging.rasters.look import Look, look_at
from srcli.imaging.rasters.opening import OpenedRaster, keep_open
from srcli.imaging.rasters.selection import choose_window
from srcli.ports import Window

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item


@dataclass(frozen=True, kw_only=True)
class SeenRaster:
    """A raster as it was looked at: all that decisions on it go by, besides the options."""

    opened: OpenedRaster
    look: Look
    """Its header, with the cutline if there is one, and samples of its pixels."""
    window: Window
    """The part that is to be enlarged."""
    notes: tuple[str, ...]
    """Warnings: pages that GDAL passes over, and the choice of the window."""
    input_id: str
    """What outputs record of the file and its companions."""
    picture: Picture | None
    """Its header as srx reads it itself, without GDAL; None where it does not."""


@contextmanager
def look_at_raster(
    item: Item,
    options: Settled,
    dataset: DatasetReader | None = None,
    picture: Picture | None = None,
) -> Iterator[SeenRaster]:
    """Open an input and look at it; its file is open for the block.

    ``dataset`` is read instead of the item's source, where that is open already.
    ``picture`` is the header of the source, where that was read before.

    Raises:
        PictureError: If the file cannot be read or has no such window, or if the output
            would overwrite a part of it.
    """
    with keep_open(item.source, dataset) as opened:
        # other inputs may have been enlarged since, and the file replaced
        if picture is None or picture.input_id != opened.input_id:
            picture = _read_picture(item.source, opened.stream)
        info, window, notes = _choose_part(info_of(opened, options.nodata), options)
        # GDAL counts the pages before a damaged one, and is silent
        if picture is not None and DAMAGED_PAGE in picture.warnings:
            notes = (DAMAGED_PAGE, *notes)
        _check_output_is_no_part(item, info)
        yield SeenRaster(
            opened=opened,
            look=look_at(info, window, options.bands),
            window=window,
            notes=notes,
            input_id=source_id(item.source, info.files, opened.input_id),
            picture=picture,
        )


def raster_size(item: Item, options: Settled) -> Size:
    """Return the (height, width) of the output of a raster."""
    _, window, _ = _choose_part(read_info(item.source), options)
    return window.height * options.scale, window.width * options.scale


def _choose_part(
    info: RasterInfo, options: Settled
) -> tuple[RasterInfo, Window, tuple[str, ...]]:
    """Return a header with the cutline, the window to enlarge, and warnings on that."""
    if options.polygons is not None:
        cutline = options.polygons.on(info.path, info.georeference)
        info = replace(info, cutline=cutline)
    window, notes = choose_window(info, srcwin=options.srcwin, bounds=options.bounds)
    return info, window, notes


def _check_output_is_no_part(item: Item, info: RasterInfo) -> None:
    parts = {Path(name).resolve() for name in info.files}
    parts.discard(item.source.resolve())
    if item.target.resolve() in parts:
        raise PictureError(
            f"{item.source}: {item.target} is a part of it and would be overwritten; give another "
            "output folder or --suffix _x4"
        )


def _read_picture(path: Path, stream: IO[bytes] | None) -> Picture | None:
    """Return the header of a picture of a format that srx reads itself; else None."""
    if isinstance(path, DatasetName):
        return None
    with suppress(PictureError):  # GDAL may read it nevertheless
        return open_known(path, stream=stream)
    return None
