"""Write a raster's final format by GDAL's drivers, and try their options before hours of work."""

from __future__ import annotations

import logging
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError, UsageError
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters.blocks import has_all_blocks
from srcli.imaging.rasters.creation import is_false
from srcli.imaging.rasters.metadata import set_documents, set_tags
from srcli.imaging.rasters.opening import reason_of
from srcli.imaging.rasters.vrt import write_vrt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rasterio.io import DatasetReader

    from srcli.imaging.rasters.output import OutputProfile

_COPY_SETTINGS = {
    "GDAL_CACHEMAX": 2**26,
    # each file that stays open takes 0.8 MB at 40,000 columns; a block needs one of them
    "GDAL_MAX_DATASET_POOL_SIZE": 16,
    "GDAL_TIFF_INTERNAL_MASK": True,
}
# Parts of GDAL's warnings of wrong creation options, which it then ignores.
_COMPLAINTS = ("creation option", "value not recognised")
_SIGNALLED = re.compile(r"GDAL signalled an error:.* msg=(['\"])(.*)\1")
_PREFIX = re.compile(r"copy\.\w+: |\w+Setup\w+:")
"""What GDAL puts before a reason: the trial's file, the name of a function of libtiff."""


def copy_file(source: Path, done: Path, output: OutputProfile) -> None:
    """Copy a VRT to the format and options of an output.

    Raises:
        rasterio.errors.RasterioError, rasterio._err.CPLE_BaseError: If GDAL cannot.
    """
    import rasterio
    import rasterio.shutil

    with rasterio.Env(**_COPY_SETTINGS):
        with quiet_pillow():
            dataset = rasterio.open(source, "r+")
        with dataset:
            set_documents(dataset, output)
            # GDAL 3.10 copies either the tags of bands or those of all namespaces
            tagged = any(band.tags.get("") for band in output.bands)
            options = {} if tagged else {"COPY_SRC_MDD": "YES"}
            rasterio.shutil.copy(dataset, done, driver=output.driver, **options, **output.creation)
        if tagged and output.driver == "GTiff" and set(output.tags) - {""}:
            with rasterio.open(done, "r+") as dataset:
                set_tags(dataset, output)


def check_options(target: Path, output: OutputProfile) -> None:
    """Let GDAL write a small file with the metadata and options of an output.

    Raises:
        UsageError: If GDAL does not know a creation option or its value.
        PictureError: If GDAL cannot write such a file.
    """
    height = min(output.height, int(output.creation.get("BLOCKYSIZE", "512")))
    width = min(output.width, int(output.creation.get("BLOCKXSIZE", "512")))
    with tempfile.TemporaryDirectory(prefix="srx-", ignore_cleanup_errors=True) as folder:
        small, copy = Path(folder) / "small.vrt", Path(folder) / f"copy{target.suffix}"
        with _strict(target, output):
            write_vrt(small, output, size=(height, width))
            copy_file(small, copy, output)
            sparse = not is_false(output.creation.get("SPARSE_OK", "NO"))
            if output.format == "tif" and not has_all_blocks(copy, may_be_empty=sparse):
                raise ValueError("it writes no pixels")
            check_shape(copy, target, output, size=(height, width))


def check_shape(
    file: Path, target: Path, output: OutputProfile, *, size: tuple[int, int] | None = None
) -> int:
    """Check size and bands of a file that GDAL has written; return the number of its overviews.

    Raises:
        PictureError: If they are others.
        rasterio.errors.RasterioError: If it cannot be read.
    """
    import rasterio
    from rasterio.windows import Window

    height, width = size or (output.height, output.width)
    with quiet_pillow():
        dataset = rasterio.open(file)
    with dataset:
        if (dataset.height, dataset.width, _bands(dataset, output)) != (
            height,
            width,
            len(output.bands),
        ):
            raise PictureError(
                f"{target}: with these options GDAL writes {dataset.count} band(s) of "
                f"{dataset.width}x{dataset.height} pixels instead of {len(output.bands)} of "
                f"{width}x{height}{_options(output)}; change --co"
            )
        dataset.read(1, window=Window(width - 1, height - 1, 1, 1))
        return len(dataset.overviews(1))


def _bands(dataset: DatasetReader, output: OutputProfile) -> int:
    """Number of bands; GDAL turns the alpha band of a COG with JPEG compression into a mask."""
    count: int = dataset.count
    if output.cog and output.alpha and count == output.channels:
        count += all(flag.name == "per_dataset" for flag in dataset.mask_flag_enums[0])
    return count


def _options(output: OutputProfile) -> str:
    telling = ("COMPRESS", "PHOTOMETRIC", "TILING_SCHEME", "TARGET_SRS")
    words = [f"{name}={output.creation[name]}" for name in telling if name in output.creation]
    return f" ({', '.join(words)})" if words else ""


@contextmanager
def _strict(target: Path, output: OutputProfile) -> Iterator[None]:
    """Run GDAL with creation options, and turn its warnings into errors."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    listener = _Listener()
    logger = logging.getLogger("rasterio._env")
    level = logger.level
    logger.addFilter(listener)
    logger.setLevel(logging.INFO)  # of errors that rasterio does not raise
    failure = ""
    try:
        yield
    except ValueError as error:
        failure = (listener.errors or [str(error)])[-1]
    except (RasterioError, CPLE_BaseError) as error:
        failure = reason_of(error)
    finally:
        logger.setLevel(level)
        logger.removeFilter(listener)
    if listener.complaints:
        raise UsageError(
            f"{target}: --co: GDAL says: {listener.complaints[0]}; "
            f"gdal.org/drivers/raster/{output.driver.lower()}.html lists what there is"
        )
    if failure:
        name = {"GTiff": "GeoTIFF"}.get(output.driver, output.driver)
        reason = _PREFIX.sub("", failure)
        raise PictureError(
            f"{target}: GDAL cannot write such a {name}{_options(output)}: {reason}; change --co"
        )


class _Listener(logging.Filter):
    """Collects GDAL's errors and its warnings of creation options, and hides them."""

    def __init__(self) -> None:
        super().__init__()
        self.complaints: list[str] = []
        self.errors: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        text = " ".join(record.getMessage().split())
        if found := _SIGNALLED.search(text):
            self.errors.append(found[2])
            return False
        if not any(words in text for words in _COMPLAINTS):
            return True
        self.complaints.append(text.partition(" in ")[2] or text)
        return False
