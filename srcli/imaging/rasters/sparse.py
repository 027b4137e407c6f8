"""Blocks that sparse TIFF files leave out, which hold nodata or zeros."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from srcli.imaging import size_checks
from srcli.imaging.arrays import Bools
from srcli.imaging.rasters.size_checks import dataset_stream, page_number
from srcli.ports.image import Window

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


@dataclass(frozen=True)
class SparseBlocks:
    """The blocks of a sparse TIFF that the file leaves out; they hold nodata, or else zeros."""

    present: Bools
    """(down, across): True for blocks that are there."""
    height: int
    """Pixels of a block, as ``width``."""
    width: int

    @property
    def block_share(self) -> float:
        """Share of the blocks that are there."""
        return float(self.present.mean())

    def cover(self, window: Window) -> bool:
        """Tell if a window of the file lies in blocks that are left out."""
        bottom = window.top + window.height
        right = window.left + window.width
        rows = slice(max(window.top, 0) // self.height, -(-bottom // self.height))
        columns = slice(max(window.left, 0) // self.width, -(-right // self.width))
        return not self.present[rows, columns].any()


def find_sparse_blocks(
    dataset: DatasetReader, stream: IO[bytes] | None = None
) -> SparseBlocks | None:
    """Return the blocks that a TIFF on disk leaves out, by its directory; None if it has all.

    ``stream`` is its file, where that is open already.
    """
    if dataset.driver not in ("GTiff", "COG"):
        return None
    with (
        suppress(OSError, ValueError, KeyError),
        dataset_stream(dataset.files[:1], stream) as file,
    ):
        blocks = size_checks.TiffBlocks.from_tags(
            size_checks.read_tiff_page(file, page_number(dataset))
        )
        if blocks is not None and not blocks.present().all():
            return SparseBlocks(blocks.present(), blocks.height, blocks.width)
    return None
