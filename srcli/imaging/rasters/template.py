"""Let GDAL make the TIFF directories of an output before there are any pixels."""

from __future__ import annotations

import logging
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.imaging.ifd import Entry, Layout, numbers, read_directory, read_start
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters import creation
from srcli.imaging.rasters.copying import check_copy, try_copy
from srcli.imaging.rasters.metadata import set_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

    from srcli.imaging.rasters.output import OutputProfile

WIDTH, HEIGHT, ROWS_PER_STRIP, PLANAR = 256, 257, 278, 284
TILE_WIDTH, TILE_HEIGHT = 322, 323
STRIP_TAGS, TILE_TAGS = (273, 279), (324, 325)
"""Tags of the blocks' offsets and sizes, in files of strips and of tiles."""

_NAME = "template.tif"
_SEPARATE = 2
# Parts of GDAL's warnings of wrong creation options, which it then ignores.
_COMPLAINTS = ("creation option", "value not recognised")


@dataclass(frozen=True, kw_only=True)
class TiffTemplate:
    """TIFF directories of a file, without offsets and sizes of blocks."""

    order: str
    """Byte order, ``"<"`` or ``">"``."""
    directories: tuple[tuple[Entry, ...], ...]
    """Of the picture, then of its mask if it has one."""
    tiled: bool
    block_height: int
    block_width: int
    planes: tuple[int, ...]
    """For each directory: number of separate sets of blocks (1 if bands are interleaved)."""
    sidecars: Mapping[str, bytes]
    """Contents of files beside the output by what is appended to its name, or after ``"*"`` to its
    stem."""

    @property
    def digest(self) -> int:
        """Checksum of the directories."""
        return zlib.crc32(repr((self.order, self.directories, self.planes)).encode())


def make_template(target: Path, output: OutputProfile) -> TiffTemplate:
    """Let GDAL write a small file with the output's tags, and read its directories.

    Args:
        target: The output's name, for messages.
        output: What the file is to hold.

    Raises:
        UsageError: If GDAL does not know a creation option or its value.
        PictureError: If GDAL cannot write such a file.
    """
    with tempfile.TemporaryDirectory(prefix="srx-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / _NAME
        with _strict(target, output):
            _write(path, output)
            check_copy(path, path, target, output)
        data = path.read_bytes()
        if output.copied:
            with _strict(target, output):
                try_copy(path, target, output)
        sidecars = {
            _beside(file.name): file.read_bytes()
            for file in Path(folder).iterdir()
            if file.name.startswith("template") and file != path
        }
    return _parsed(data, target, output, sidecars)


def read_directories(data: memoryview | mmap | bytes) -> tuple[Layout, list[list[Entry]]]:
    """Parse all directories of a TIFF file."""

    def read(at: int, length: int) -> bytes:
        return bytes(data[at : at + length])

    layout, at = read_start(read(0, 16))
    found = []
    while at:
        entries, at = read_directory(read, at, layout)
        found.append(entries)
    return layout, found


@contextmanager
def _strict(target: Path, output: OutputProfile) -> Iterator[None]:
    """Run GDAL with creation options, and turn its warnings into errors."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    driver = creation.DRIVERS[output.format] if output.copied else "GeoTIFF"
    listener = _Listener()
    logger = logging.getLogger("rasterio._env")
    logger.addFilter(listener)
    failure = ""
    try:
        with quiet_pillow():
            yield
    except (RasterioError, CPLE_BaseError, ValueError) as error:
        failure = " ".join(str(error.__cause__ or error).split()).replace(_NAME + ": ", "")
    finally:
        logger.removeFilter(listener)
    if listener.complaints:
        page = f"gdal.org/drivers/raster/{'gtiff' if driver == 'GeoTIFF' else driver.lower()}.html"
        raise UsageError(
            f"{target}: --co: GDAL says: {listener.complaints[0]}; {page} lists what there is"
        )
    if failure:
        raise PictureError(f"{target}: GDAL cannot write such a {driver} ({failure}); change --co")


class _Listener(logging.Filter):
    """Collects GDAL's warnings of creation options and hides them."""

    def __init__(self) -> None:
        super().__init__()
        self.complaints: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        text = " ".join(record.getMessage().split())
        if not any(words in text for words in _COMPLAINTS):
            return True
        self.complaints.append(text.partition(" in ")[2] or text)
        return False


def _write(path: Path, output: OutputProfile) -> None:
    import rasterio

    height = min(output.height, int(output.creation.get("BLOCKYSIZE", "512")))
    width = min(output.width, int(output.creation.get("BLOCKXSIZE", "512")))
    georeference = {} if output.transform is None else {"transform": output.transform}
    options = {key: value for key, value in output.creation.items() if key != "BIGTIFF"}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=len(output.bands),
            dtype=output.dtype,
            nodata=output.nodata,
            crs=output.crs,
            **georeference,
            **options,
        ) as dataset,
    ):
        set_metadata(dataset, output)
        # GDAL notices some impossible options only when pixels are written
        dataset.write(np.zeros((len(output.bands), height, width), dtype=output.dtype))
        if output.mask:
            dataset.write_mask(np.ones((height, width), dtype=bool))


def _beside(name: str) -> str:
    return name[len(_NAME) :] if name.startswith(_NAME) else "*" + name[len("template") :]


def _parsed(
    data: bytes, target: Path, output: OutputProfile, sidecars: Mapping[str, bytes]
) -> TiffTemplate:
    layout, found = read_directories(data)
    tables = [{entry.tag: entry for entry in entries} for entries in found]
    if len(found) != 1 + output.mask:
        raise PictureError(f"{target}: GDAL does not write this as one picture; change --co")
    main = tables[0]
    tiled = TILE_TAGS[0] in main
    dropped = {WIDTH, HEIGHT, ROWS_PER_STRIP, TILE_WIDTH, TILE_HEIGHT, *STRIP_TAGS, *TILE_TAGS}
    rows = main[TILE_HEIGHT if tiled else ROWS_PER_STRIP]
    return TiffTemplate(
        order=layout.order,
        directories=tuple(
            tuple(entry for entry in entries if entry.tag not in dropped) for entries in found
        ),
        tiled=tiled,
        block_height=int(numbers(rows, layout)[0]),
        block_width=int(numbers(main[TILE_WIDTH], layout)[0]) if tiled else output.width,
        planes=tuple(_planes(table, layout) for table in tables),
        sidecars=dict(sidecars),
    )


def _planes(table: Mapping[int, Entry], layout: Layout) -> int:
    separate = PLANAR in table and numbers(table[PLANAR], layout)[0] == _SEPARATE
    return int(numbers(table[277], layout)[0]) if separate else 1
