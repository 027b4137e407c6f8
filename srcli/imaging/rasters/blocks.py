"""Compress rows of pixels into blocks of a TIFF file, in memory, by GDAL."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.rasters.template import STRIP_TAGS, TILE_TAGS, TiffTemplate, read_directories

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from srcli.imaging.ifd import Entry, Layout
    from srcli.imaging.rasters.output import OutputProfile

    Array = NDArray[Any]
    Numbers = NDArray[np.int64]

# Uncompressed bytes that one thread compresses at a time; bounds of a chunk.
_PART_BYTES = 2**22
_CHUNK_ROWS = 256
_CHUNK_BYTES = 2**26

_DTYPES = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
# Options that create sidecar files or affect tags only.
_IRRELEVANT = frozenset(
    {"TFW", "RPB", "RPCTXT", "WORLDFILE", "BIGTIFF", "PROFILE", "SOURCE_ICC_PROFILE", "NUM_THREADS"}
)


@dataclass(frozen=True, kw_only=True)
class BlockGrid:
    """Arrangement of a file's blocks, and of the chunks (full rows of blocks) written at once."""

    height: int
    width: int
    block_height: int
    block_width: int
    planes: tuple[int, ...]
    """For each directory: number of separate sets of blocks (1 if bands are interleaved)."""
    chunk_blocks: int
    """Rows of blocks in a chunk."""

    @property
    def across(self) -> int:
        """Number of columns of blocks."""
        return -(-self.width // self.block_width)

    @property
    def down(self) -> int:
        """Number of rows of blocks."""
        return -(-self.height // self.block_height)

    @property
    def chunk_height(self) -> int:
        """Pixel rows of a chunk; the last one may have fewer."""
        return self.chunk_blocks * self.block_height

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.height // self.chunk_height)

    def rows_of(self, chunk: int) -> int:
        """Pixel rows of one chunk, numbered from 0."""
        return min(self.chunk_height, self.height - chunk * self.chunk_height)

    def shapes(self, chunk: int) -> list[tuple[int, int, int]]:
        """For each directory: (planes, rows, columns) of the blocks of one chunk."""
        rows = -(-self.rows_of(chunk) // self.block_height)
        return [(planes, rows, self.across) for planes in self.planes]


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockTable:
    """Offsets and sizes in bytes of the blocks of one directory, or of a part of it."""

    offsets: Numbers
    """(planes, rows, columns), from the start of the file or buffer."""
    sizes: Numbers
    """Same shape; 0 for omitted blocks, which are all nodata or zero."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedBlocks:
    """Compressed blocks of some columns of a chunk."""

    column: int
    """Column of the first block, counted in blocks."""
    data: bytes
    """All blocks, concatenated."""
    tables: list[BlockTable]
    """One for each directory; offsets in ``data``."""


def make_block_grid(output: OutputProfile, template: TiffTemplate) -> BlockGrid:
    """Divide an output with the template's directories into blocks and chunks."""
    return BlockGrid(
        height=output.height,
        width=output.width,
        block_height=template.block_height,
        block_width=template.block_width,
        planes=template.planes,
        chunk_blocks=_chunk_blocks(_row_bytes(output), template.block_height),
    )


def writer_memory(output: OutputProfile, threads: int) -> int:
    """Estimate the most bytes that a chunk takes until it is written.

    Args:
        output: The raster to write.
        threads: Number of threads that compress.
    """
    row = _row_bytes(output)
    block_height = int(output.creation.get("BLOCKYSIZE", "512"))
    rows = min(_chunk_blocks(row, block_height) * block_height, output.height)
    held = rows * (row + output.width * output.mask)
    # the copy by bands, GDAL's blocks, the file in memory and the blocks taken from it
    return held + 4 * (threads + 1) * min(_PART_BYTES, held)


def _row_bytes(output: OutputProfile) -> int:
    return output.width * len(output.bands) * np.dtype(output.dtype).itemsize


def _chunk_blocks(row: int, block_height: int) -> int:
    return -(-max(min(_CHUNK_ROWS, _CHUNK_BYTES // row), 1) // block_height)


class BlockEncoder:
    """Compresses the chunks of one file in several threads."""

    def __init__(
        self, output: OutputProfile, template: TiffTemplate, grid: BlockGrid, threads: int
    ) -> None:
        self.grid = grid
        self.threads = threads
        self.tags = TILE_TAGS if template.tiled else STRIP_TAGS
        self.profile: dict[str, Any] = {
            key: value for key, value in output.creation.items() if key not in _IRRELEVANT
        }
        self.profile |= {
            "driver": "GTiff",
            "count": len(output.bands),
            "dtype": output.dtype,
            "nodata": output.nodata,
        }
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="srx-blocks")

    def close(self) -> None:
        """Stop the threads."""
        self.pool.shutdown()

    def encode(self, pixels: Array, mask: Array | None) -> Iterator[EncodedBlocks]:
        """Compress a chunk.

        Args:
            pixels: (rows, W, bands).
            mask: (rows, W) bool, True where valid; None if the file has none.

        Yields:
            Blocks from left to right; only a few are in memory at a time.
        """
        waiting: deque[Future[EncodedBlocks]] = deque()
        step = self._columns(pixels)
        for column in range(0, self.grid.across, step):
            left = column * self.grid.block_width
            right = min(left + step * self.grid.block_width, self.grid.width)
            part = None if mask is None else mask[:, left:right]
            waiting.append(self.pool.submit(self._part, column, pixels[:, left:right], part))
            if len(waiting) > self.threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _columns(self, pixels: Array) -> int:
        """Columns of blocks that one thread compresses at a time."""
        size = min(_PART_BYTES, -(-pixels.nbytes // self.threads))
        return max(size // max(pixels.nbytes // self.grid.across, 1), 1)

    def _part(self, column: int, pixels: Array, mask: Array | None) -> EncodedBlocks:
        import rasterio
        from rasterio.io import MemoryFile
        from rasterio.transform import Affine

        height, width = pixels.shape[:2]
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
            # rasterio warns of files without a transform
            with memory.open(
                height=height, width=width, transform=Affine.scale(2.0, 3.0), **self.profile
            ) as dataset:
                dataset.write(np.ascontiguousarray(np.moveaxis(pixels, 2, 0)))
                if mask is not None:
                    dataset.write_mask(np.ascontiguousarray(mask))
            return self._collected(column, memory.getbuffer(), height, width)

    def _collected(self, column: int, data: memoryview, height: int, width: int) -> EncodedBlocks:
        layout, found = read_directories(data)
        rows = -(-height // self.grid.block_height)
        columns = -(-width // self.grid.block_width)
        pieces: list[bytes] = []
        tables, end = [], 0
        for entries, planes in zip(found, self.grid.planes, strict=True):
            by_tag = {entry.tag: entry for entry in entries}
            old, sizes = (entry_integers(by_tag[tag], layout) for tag in self.tags)
            pieces += [bytes(data[o : o + n]) for o, n in zip(old, sizes, strict=True)]
            offsets = end + np.cumsum(sizes) - sizes
            end += int(sizes.sum())
            shape = (planes, rows, columns)
            tables.append(BlockTable(offsets=offsets.reshape(shape), sizes=sizes.reshape(shape)))
        return EncodedBlocks(column=column, data=b"".join(pieces), tables=tables)


def entry_integers(entry: Entry, layout: Layout) -> Numbers:
    """Return the integers of a directory's entry as an array, fast for many."""
    return np.frombuffer(entry.value, dtype=layout.order + _DTYPES[entry.kind]).astype(np.int64)
