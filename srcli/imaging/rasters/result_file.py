"""Write the file of an output from its parts: put together from their blocks, or copied by GDAL."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from srcli.imaging.rasters.assembling import OtherBlocksError, assemble
from srcli.imaging.rasters.copying import build_overviews, copy_file
from srcli.imaging.rasters.map_tiles import store_tags
from srcli.imaging.rasters.profile import OutputProfile
from srcli.imaging.rasters.vrt import MosaicFile, describe_mosaic


def write_result(
    files: Sequence[MosaicFile], result: Path, output: OutputProfile
) -> None:
    """Write the file of an output, with its overviews, from files as ``encode_part`` makes them.

    GDAL's cache of blocks, which holds for the whole process, is left to the caller.
    """
    is_written = False
    if output.keeps_blocks:
        with suppress(OtherBlocksError):
            assemble(files, result, output)
            is_written = True
    if not is_written:
        copy_file(describe_mosaic(output, files), result, output)
    if output.overviews and not (is_written and output.has_halves):
        build_overviews(result, output.overviews, output)
    if output.driver == "MBTiles":
        store_tags(result, output.tags.get("", {}))


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder, in which others may write and remove some."""
    total = 0
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total
