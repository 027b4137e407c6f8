"""Let GDAL copy a raster to the format and options of an output, and build its overviews."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.imaging.rasters.block_form import OVERVIEW_BLOCK
from srcli.imaging.rasters.opening import open_quietly
from srcli.imaging.rasters.profile import OutputProfile

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter

_COPY_SETTINGS = {
    # each file that stays open takes 0.8 MB at 40,000 columns; a block needs one of
    # them
    "GDAL_MAX_DATASET_POOL_SIZE": 16,
    "GDAL_TIFF_INTERNAL_MASK": True,
}


def copy_file(vrt: bytes, copy: Path, output: OutputProfile) -> None:
    """Copy a VRT to the format and options of an output; raises errors of rasterio."""
    import rasterio
    import rasterio.shutil
    from rasterio.io import MemoryFile

    # GDAL 3.10 copies either the tags of bands (STATISTICS too) or those of all
    # namespaces
    has_band_tags = any(band.tags.get("") for band in output.bands)
    has_namespaces = not set(output.tags) <= {""}
    options = dict(output.creation)
    if has_namespaces and not has_band_tags:
        options = {"COPY_SRC_MDD": "YES", **options}
    with rasterio.Env(**_COPY_SETTINGS), MemoryFile(ext=".vrt") as memory:
        memory.write(vrt)  # GDAL may then write tags into it, which are longer
        with open_quietly(memory.name, "r+") as dataset:
            # set here, as in the text of a VRT white space would change
            _set_tags(dataset, output)
            rasterio.shutil.copy(dataset, copy, driver=output.driver, **options)
        if has_band_tags and has_namespaces and output.driver == "GTiff":
            with open_quietly(copy, "r+") as dataset:
                _set_tags(dataset, output)


def _set_tags(dataset: DatasetWriter, output: OutputProfile) -> None:
    """Set the tags of the file, which GDAL counts as band 0, and those of its bands."""
    for number, tags in enumerate(
        [output.tags, *(band.tags for band in output.stored_bands)]
    ):
        for namespace, items in tags.items():
            settable = dict(items)
            if set(items) == {namespace}:
                # a complete document: rasterio reads it under the name of its
                # namespace, but writes "key=value"
                key, sign, value = items[namespace].partition("=")
                settable = {key: value} if sign else {}
            else:
                # arguments of rasterio's
                settable.pop("bidx", None)
                settable.pop("ns", None)
            dataset.update_tags(number, ns=namespace or None, **settable)


def build_overviews(file: Path, factors: Sequence[int], output: OutputProfile) -> None:
    """Build overviews of the file of an output, or of one of half its size."""
    add_overview_levels(
        file,
        factors,
        is_exact=output.classes,
        quality=output.creation.get("JPEG_QUALITY", ""),
        threads=output.creation.get("NUM_THREADS", "ALL_CPUS"),
    )


def add_overview_levels(
    file: Path,
    factors: Sequence[int],
    is_exact: bool,
    quality: str,
    threads: str = "ALL_CPUS",
) -> None:
    """Build overviews of a file: averages, or nearest neighbours where it holds classes."""
    import rasterio
    from rasterio.enums import Resampling

    settings = {
        "GDAL_NUM_THREADS": threads,
        "GDAL_TIFF_OVR_BLOCKSIZE": OVERVIEW_BLOCK,
    }
    if quality:
        settings["JPEG_QUALITY_OVERVIEW"] = quality
    resampling = Resampling.nearest if is_exact else Resampling.average
    with rasterio.Env(**settings), open_quietly(file, "r+") as dataset:
        dataset.build_overviews(list(factors), resampling)


def check_room(path: Path) -> None:
    """Check that the disk was not full when GDAL wrote a file: GDAL does not always say so."""
    with path.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        try:
            stream.write(bytes(2**22))  # fails on a disk that is full
            stream.flush()
            os.fsync(stream.fileno())
        finally:
            stream.truncate(end)
