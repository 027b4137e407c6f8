"""Blend the enlarged tiles of an image; finished rows come out as pixels.

Along each axis every tile has a core, where it alone counts, and ramps, each shared
with one neighbour (see ``tiling``). Only ramps wait in floats for the tile that
completes them; what is complete is turned into pixels at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.values import GRAY_SHARES
from srcli.inference.memory import within_memory
from srcli.inference.tiling import TRIM, TileAxis, columns_of, rows_of
from srcli.layers.transfer import HostCopy, upload
from srcli.ports import TileGrid

if TYPE_CHECKING:
    from srcli.inference.values import PixelEncoder

    Rows = tuple[int, Array]
    """First output row, and finished pixels (h, W, C)."""

PIECE_BYTES = 48 * 1024 * 1024
"""Rows come in pieces of about this size, so that memory shrinks while they are
written: blocks above 32 MiB go back to the system as soon as they are freed."""
GPU_TILES = 16
"""Tiles that a GPU blends at once: whatever their number, most steps start one kernel
each."""


@dataclass(frozen=True)
class TileSpan:
    """A tile along one axis, in output pixels from its own first one."""

    origin: int
    """Place of the tile's first pixel in the image; of columns, from the first tile on."""
    start: int
    """From here on the tile shares pixels with the one before."""
    core: int
    """From here on it has pixels for itself."""
    end: int
    """From here on it shares pixels with the next one."""
    stop: int
    """From here on it has no weight."""
    rise: Tensor
    """Weights from ``start`` to ``core``."""
    fall: Tensor
    """Weights from ``end`` to ``stop``."""


class Blender:
    """Blend the enlarged tiles of one image; memory is one row of tiles, whatever the height.

    That row is held as pixels. In floats there is only the ramp to the next row of
    tiles. Where one channel is to come out, tiles of three are reduced to luma. With
    ``by_bands`` a band of the rows lies behind the other in memory, which costs less
    for what is written by bands; else the bands of a pixel lie side by side.
    """

    def __init__(
        self,
        grid: TileGrid,
        *,
        scale: int,
        channels: int,
        encoder: PixelEncoder,
        by_bands: bool = False,
    ) -> None:
        self.encoder = encoder
        self._by_bands = by_bands
        self.device = encoder.device
        self._width = grid.width_of_tiles * scale
        self._tile_shape = (channels, grid.tile_height * scale, grid.tile_width * scale)
        self._rows = rows_of(grid, scale)
        columns = columns_of(grid, scale)
        left_border = columns.starts[0] * scale
        self._columns = []
        for index in range(len(columns.starts)):
            span = self._span(columns, index)
            self._columns.append(replace(span, origin=span.origin - left_border))
        self._shares = torch.tensor(GRAY_SHARES, device=self.device).view(3, 1, 1)
        self._waiting: list[tuple[Tensor, TileSpan]] = []
        """Tiles of a row, in floats, that are blended together."""
        self._tiles_at_once = GPU_TILES if self.device.type == "cuda" else 1
        self._row: TileSpan | None = None
        self._pieces: list[tuple[int, Tensor]] = []
        """Finished pixels (C, h, W) of the row of tiles, each with its first output
        row."""
        self._left: Tensor | float = 0.0
        """Ramp of the tile to the left; a number where that is blank."""
        self._has_ramp_above = [False] * len(self._columns)
        """For each column of tiles: ``_above`` holds something other than zeros."""
        blank_pixel = encoder.encode(torch.zeros((channels, 1, 1), device=self.device))
        self._blank_pixel = blank_pixel.to(encoder.storage)
        """(C, 1, 1), where no tile has a pixel."""
        tallest = 0
        if len(grid.tops) > 1:
            tallest = math.ceil(grid.overlap * (1 - 2 * TRIM) * scale) + 1
        self._above = torch.zeros(
            (channels, tallest, self._width), dtype=encoder.blending, device=self.device
        )
        """Ramp of the row of tiles above."""
        self._copies: list[tuple[int, HostCopy]] = []
        """Rows on their way from a GPU, each with its first output row."""

    @within_memory
    def add(self, tile: Tensor | None, *, row: int, column: int) -> list[Rows]:
        """Blend in one enlarged tile (C, sH, sW), None for zeros, and return finished rows.

        Tiles come row by row, from left to right. The first tile may begin any row of
        tiles; rows that it shares with the row of tiles above then do not come out.

        Returned are rows that no later tile touches, in the dtype of the encoder, from
        top to bottom, maybe in several pieces; they belong to the caller. From a GPU
        they come one row of tiles later.
        """
        if column == 0:
            self._begin(row)
        if tile is None:
            self._add_blank(column)
        else:
            self._waiting.append((self._block(tile), self._columns[column]))
            self._has_ramp_above[column] = True
        ends_row = column + 1 == len(self._columns)
        if ends_row or len(self._waiting) == self._tiles_at_once:
            self._blend()
        if not ends_row:
            return []
        rows_above = self.finish()
        for top, piece in self._pieces:
            self._copies.append((top, HostCopy(piece.permute(1, 2, 0))))
        self._pieces = []
        self._left = 0.0
        if self._tiles_at_once > 1:
            return rows_above
        return self.finish()

    def finish(self) -> list[Rows]:
        """Return rows that are still on their way from a GPU; called after the last tile."""
        copies = self._copies
        self._copies = []
        return [(top, copy.wait()) for top, copy in copies]

    def _blend(self) -> None:
        """Blend the waiting tiles with each other and with the row of tiles above."""
        if not self._waiting:
            return
        row = self._row
        assert row is not None
        leftmost = self._waiting[0][1]
        block = self._join_waiting()
        start = leftmost.origin + leftmost.start
        columns = slice(start, start + block.shape[2])
        finished = block[:, row.start : row.end]
        height = row.core - row.start
        if height:
            above = self._above[:, :height, columns]
            joined = above + finished[:, :height] * row.rise[:, None]
            # in place, where this is no tile, and sums are of no other type
            finished = finished.to(joined.dtype, copy=len(self._columns) == 1)
            finished[:, :height] = joined
        if row.stop > row.end:
            # The same memory: of these columns, what was above is used by now.
            below = self._above[:, : row.stop - row.end, columns]
            below.copy_(block[:, row.end : row.stop] * row.fall[:, None])
        self._put(finished, row.origin + row.start, columns)

    def _join_waiting(self) -> Tensor:
        """Blend the waiting tiles with their left neighbours; return the columns they complete.

        A new tensor, unless tiles are as wide as the image.
        """
        blocks = []
        for tile, span in self._waiting:
            if span.core > span.start:
                rising = tile[:, :, span.start : span.core] * span.rise
                blocks.append(self._left + rising)
            blocks.append(tile[:, :, span.core : span.end])
            if span.stop > span.end:
                self._left = tile[:, :, span.end : span.stop] * span.fall
        self._waiting = []
        if len(self._columns) == 1:
            return blocks[0]
        return torch.cat(blocks, dim=2)

    def _add_blank(self, column: int) -> None:
        """Blend in a tile without pixels; write blank pixels where no ramp reaches into it."""
        self._blend()  # the tiles to the left, whose ramp reaches into this one
        has_pixels = isinstance(self._left, Tensor)
        if has_pixels or self._has_ramp_above[column]:
            zeros = torch.zeros((), device=self.device).expand(self._tile_shape)
            self._waiting.append((zeros, self._columns[column]))
            self._blend()
        else:
            self._leave_blank(self._columns[column])
        self._left = 0.0
        self._has_ramp_above[column] = has_pixels

    def _block(self, tile: Tensor) -> Tensor:
        """Return a tile as it is blended, on the device and with the channels of the output."""
        shape = self._tile_shape
        block = tile.to(self.device)
        if shape[0] == 1 and block.shape[0] == 3:
            block = (block * self._shares).sum(dim=0, keepdim=True)
        if block.shape != shape:
            raise ValueError(f"expected a tile of {shape}, got {tuple(block.shape)}")
        return block

    def _begin(self, row: int) -> None:
        """Make room for the rows that a row of tiles completes."""
        span = self._span(self._rows, row)
        if self._row is None:  # the row of tiles above was not computed
            span = replace(span, start=span.core, rise=span.rise[:0])
        self._row = span
        channels = self._tile_shape[0]
        row_bytes = self._width * channels * self.encoder.dtype.itemsize
        height = max(1, PIECE_BYTES // row_bytes)
        bottom = span.origin + span.end
        for top in range(span.origin + span.start, bottom, height):
            rows = min(height, bottom - top)
            shape = (rows, self._width, channels)
            if self._by_bands:
                shape = (channels, rows, self._width)
            piece = torch.empty(shape, dtype=self.encoder.storage, device=self.device)
            if not self._by_bands:
                piece = piece.permute(2, 0, 1)
            self._pieces.append((top, piece))

    def _put(self, block: Tensor, top: int, columns: slice) -> None:
        """Write a block (C, h, w), of rows from ``top`` on, into the pieces as pixels."""
        self._put_pixels(self.encoder.encode(block), top, columns)

    def _leave_blank(self, span: TileSpan) -> None:
        """Write blank pixels where a column of tiles has none, which takes no blending."""
        row = self._row
        assert row is not None
        columns = slice(span.origin + span.start, span.origin + span.end)
        height = row.end - row.start
        width = columns.stop - columns.start
        blank = self._blank_pixel.expand(-1, height, width)
        self._put_pixels(blank, row.origin + row.start, columns)

    def _put_pixels(self, pixels: Tensor, top: int, columns: slice) -> None:
        """Write pixels (C, h, w), of rows from ``top`` on, into the pieces."""
        bottom = top + pixels.shape[1]
        for piece_top, piece in self._pieces:
            start = max(top, piece_top)
            stop = min(bottom, piece_top + piece.shape[1])
            if stop > start:
                target = piece[:, start - piece_top : stop - piece_top, columns]
                self._copy(pixels[:, start - top : stop - top], target)

    def _copy(self, pixels: Tensor, target: Tensor) -> None:
        """Copy pixels (C, h, w) into the pieces, by a processor in two steps."""
        is_interleaved = len(pixels) > 1 and not self._by_bands
        if target.is_cpu and is_interleaved and pixels.dtype != target.dtype:
            # both at once, another type and another order, take three times as long
            pixels = pixels.to(target.dtype)
            for band, target_band in zip(pixels, target, strict=True):
                target_band.copy_(band)
        else:
            target.copy_(pixels)

    def _span(self, axis: TileAxis, index: int) -> TileSpan:
        """Return where a tile lies along an axis, and where it counts."""
        origin = axis.starts[index] * axis.scale
        start, core = axis.ramp(index - 1)
        end, stop = axis.ramp(index)
        weights = upload(axis.weights(index), self.device)
        return TileSpan(
            origin=origin,
            start=start - origin,
            core=core - origin,
            end=end - origin,
            stop=stop - origin,
            rise=weights[start - origin : core - origin],
            fall=weights[end - origin : stop - origin],
        )
