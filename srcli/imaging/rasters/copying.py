"""Copy a finished GeoTIFF into its final format (COG, PNG, JPEG) by GDAL's drivers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters import creation
from srcli.imaging.rasters.opening import BLOCK_CACHE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rasterio.io import DatasetReader

    from srcli.imaging.rasters.output import OutputProfile


def copy_file(source: Path, done: Path, output: OutputProfile) -> None:
    """Copy a GeoTIFF and its sidecars to the format and options of an output."""
    import rasterio
    import rasterio.shutil

    with rasterio.Env(GDAL_CACHEMAX=BLOCK_CACHE):
        driver = creation.DRIVERS[output.format]
        rasterio.shutil.copy(source, done, driver=driver, **output.copying)


def try_copy(source: Path, target: Path, output: OutputProfile) -> None:
    """Try the copy's options on a small file before hours of work.

    Args:
        source: A small GeoTIFF with the output's properties.
        target: The output's name, for messages.
        output: What it is to hold.

    Raises:
        PictureError: If the copy is of another size or has other bands.
    """
    with tempfile.TemporaryDirectory(prefix="srx-") as folder:
        copy = Path(folder) / "copy"
        copy_file(source, copy, output)
        check_copy(source, copy, target, output)


def check_copy(source: Path, copy: Path, target: Path, output: OutputProfile) -> None:
    """Check that GDAL has kept size and bands in a copy.

    Args:
        source: The GeoTIFF.
        copy: Its copy, or the GeoTIFF itself.
        target: The output's name, for messages.
        output: What it is to hold.

    Raises:
        PictureError: If the copy is of another size or has other bands.
    """
    import rasterio

    with quiet_pillow():
        first, second = rasterio.open(source), rasterio.open(copy)
    with first, second:
        if not has_shape(second, output, height=first.height, width=first.width):
            raise PictureError(
                f"{target}: with these options GDAL writes {second.count} bands of "
                f"{second.width}x{second.height} pixels instead of {len(output.bands)} of "
                f"{first.width}x{first.height}{_options(output)}; change --co"
            )


def has_shape(dataset: DatasetReader, output: OutputProfile, *, height: int, width: int) -> bool:
    """Tell if a file has the given size and the bands of an output.

    GDAL turns the alpha band of a COG with JPEG compression into a mask.
    """
    count = dataset.count
    if output.cog and output.alpha and count == output.channels:
        count += all(flag.name == "per_dataset" for flag in dataset.mask_flag_enums[0])
    return (dataset.height, dataset.width, count) == (height, width, len(output.bands))


def _options(output: OutputProfile) -> str:
    options: Mapping[str, str] = output.copying if output.copied else output.creation
    telling = ("COMPRESS", "PHOTOMETRIC", "TILING_SCHEME", "TARGET_SRS")
    words = [f"{name}={options[name]}" for name in telling if name in options]
    return f" ({', '.join(words)})" if words else ""
