"""Rows of pixels turned into the compressed blocks of a TIFF file, by GDAL, in memory."""

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

# Uncompressed bytes that one thread works on, and rows of a chunk at least.
_PART_BYTES = 2**22
_CHUNK_ROWS = 256
_CHUNK_BYTES = 2**26

_DTYPES = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
# Options that make files beside the picture, or that only its tags depend on.
_ELSEWHERE = frozenset(
    {"TFW", "RPB", "RPCTXT", "WORLDFILE", "BIGTIFF", "PROFILE", "SOURCE_ICC_PROFILE", "NUM_THREADS"}
)


@dataclass(frozen=True, kw_only=True)
class BlockGrid:
    """The blocks of a file, and the chunks (whole rows of blocks) in which they are written."""

    height: int
    width: int
    block_height: int
    block_width: int
    planes: tuple[int, ...]
    """For each directory: in how many sets of blocks its bands lie."""
    chunk_blocks: int
    """Rows of blocks in a chunk."""

    @property
    def across(self) -> int:
        """Blocks side by side."""
        return -(-self.width // self.block_width)

    @property
    def down(self) -> int:
        """Rows of blocks."""
        return -(-self.height // self.block_height)

    @property
    def chunk_height(self) -> int:
        """Pixel rows of a chunk; the last one may have fewer."""
        return self.chunk_blocks * self.block_height

    @property
    def chunks(self) -> int:
        """How many there are."""
        return -(-self.height // self.chunk_height)

    def rows_of(self, chunk: int) -> int:
        """Pixel rows of one chunk.

        Args:
            chunk: From 0.
        """
        return min(self.chunk_height, self.height - chunk * self.chunk_height)

    def shapes(self, chunk: int) -> list[tuple[int, int, int]]:
        """For each directory: (planes, rows, columns) of the blocks of one chunk.

        Args:
            chunk: From 0.
        """
        rows = -(-self.rows_of(chunk) // self.block_height)
        return [(planes, rows, self.across) for planes in self.planes]


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockTable:
    """Where the blocks of one directory lie, or of a part of it."""

    offsets: Numbers
    """(planes, rows, columns), bytes from the start of what holds them."""
    sizes: Numbers
    """Alike; 0 for blocks without bytes, which stand for nothing but nodata or zeros."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedBlocks:
    """Compressed blocks of some columns of a chunk."""

    column: int
    """Of the first block, in blocks."""
    data: bytes
    """All blocks one behind the other."""
    tables: list[BlockTable]
    """For each directory."""


def make_block_grid(output: OutputProfile, template: TiffTemplate) -> BlockGrid:
    """Divide a file into blocks and chunks.

    Args:
        output: What it is to hold.
        template: Its directories.
    """
    return BlockGrid(
        height=output.height,
        width=output.width,
        block_height=template.block_height,
        block_width=template.block_width,
        planes=template.planes,
        chunk_blocks=_chunk_blocks(_row_bytes(output), template.block_height),
    )


def writer_memory(output: OutputProfile, threads: int) -> int:
    """Bytes that the rows of a chunk take until they are written, in the worst case.

    Args:
        output: What is to be written.
        threads: That compress.
    """
    row = _row_bytes(output)
    block_height = int(output.creation.get("BLOCKYSIZE", "512"))
    rows = min(_chunk_blocks(row, block_height) * block_height, output.height)
    held = rows * (row + output.width * output.mask)
    # a copy by bands, GDAL's blocks, the file in memory and what is taken from it
    return held + 4 * (threads + 1) * min(_PART_BYTES, held)


def _row_bytes(output: OutputProfile) -> int:
    return output.width * len(output.bands) * np.dtype(output.dtype).itemsize


def _chunk_blocks(row: int, block_height: int) -> int:
    return -(-max(min(_CHUNK_ROWS, _CHUNK_BYTES // row), 1) // block_height)


class BlockEncoder:
    """Compresses the chunks of one file, in several threads."""

    def __init__(
        self, output: OutputProfile, template: TiffTemplate, grid: BlockGrid, threads: int
    ) -> None:
        self.grid = grid
        self.threads = threads
        self.tags = TILE_TAGS if template.tiled else STRIP_TAGS
        self.profile: dict[str, Any] = {
            key: value for key, value in output.creation.items() if key not in _ELSEWHERE
        }
        self.profile |= {
            "driver": "GTiff",
            "count": len(output.bands),
            "dtype": output.dtype,
            "nodata": output.nodata,
        }
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="srx-blocks")

    def close(self) -> None:
        """Let the threads go."""
        self.pool.shutdown()

    def encode(self, pixels: Array, mask: Array | None) -> Iterator[EncodedBlocks]:
        """Compress a chunk.

        Args:
            pixels: (rows, W, bands).
            mask: (rows, W) bool, True where valid; None if the file has none.

        Yields:
            Parts from left to right, few of them being in memory at a time.
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
        """Columns of blocks that one thread takes at a time."""
        size = min(_PART_BYTES, -(-pixels.nbytes // self.threads))
        return max(size // max(pixels.nbytes // self.grid.across, 1), 1)

    def _part(self, column: int, pixels: Array, mask: Array | None) -> EncodedBlocks:
        import rasterio
        from rasterio.io import MemoryFile
        from rasterio.transform import Affine

        height, width = pixels.shape[:2]
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
            # without any transform rasterio would warn
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
    """The numbers of a directory's entry, also if there are very many.

    Args:
        entry: Of whole numbers.
        layout: How its file is packed.
    """
    return np.frombuffer(entry.value, dtype=layout.order + _DTYPES[entry.kind]).astype(np.int64)
