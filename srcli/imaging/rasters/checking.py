"""See that what GDAL calls finished is whole: it may say so of files that a full disk has cut."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.opening import calm
from srcli.imaging.rasters.blocks import entry_integers
from srcli.imaging.rasters.copying import has_shape
from srcli.imaging.rasters.creation import is_false
from srcli.imaging.rasters.template import STRIP_TAGS, TILE_TAGS, read_directories

if TYPE_CHECKING:
    from pathlib import Path

    from srcli.imaging.rasters.output import OutputProfile


def check_result(path: Path, target: Path, output: OutputProfile) -> None:
    """Look for holes in a finished file.

    Args:
        path: The file, still under another name.
        target: Its final name, for messages.
        output: What it is to hold.

    Raises:
        PictureError: If something is missing.
        OSError: If GDAL cannot read it.
    """
    if output.format == "tif":
        sparse = {**output.creation, **output.copying}.get("SPARSE_OK", "NO")
        if not _blocks_are_there(path, may_be_empty=not is_false(sparse)):
            raise PictureError(_words(target))
    levels = _check_size(path, target, output)
    if not output.cog and levels < len(output.overviews):
        raise PictureError(_words(target))


def _words(target: Path) -> str:
    return f"{target}: was not written whole; is there room on the disk? Then run again"


def _blocks_are_there(path: Path, *, may_be_empty: bool) -> bool:
    """Whether all blocks that the directories name lie within the file."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, found = read_directories(data)
        except ValueError:  # cut short
            return False
        for entries in found:
            tags = {entry.tag: entry for entry in entries}
            places, lengths = TILE_TAGS if TILE_TAGS[0] in tags else STRIP_TAGS
            if places not in tags or lengths not in tags:
                return False
            sizes = entry_integers(tags[lengths], layout)
            ends = entry_integers(tags[places], layout) + sizes
            if ends.max() > len(data) or (sizes.min() == 0 and not may_be_empty):
                return False
    return True


def _check_size(path: Path, target: Path, output: OutputProfile) -> int:
    """Check height, width and bands, read the last pixel; returns how many smaller copies."""
    import rasterio
    from rasterio.windows import Window

    with calm():
        dataset = rasterio.open(path)
    with dataset:
        if not has_shape(dataset, output, height=output.height, width=output.width):
            size = (dataset.height, dataset.width, dataset.count)
            raise PictureError(f"{target}: came out wrong ({size}); write it as --format tif")
        dataset.read(1, window=Window(output.width - 1, output.height - 1, 1, 1))
        return len(dataset.overviews(1))
