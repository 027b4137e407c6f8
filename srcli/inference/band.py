"""One band of rows of an enlarged image: tiles are blended in, finished rows come out as pixels.

Along each axis every tile has a core, where it alone counts, and ramps, each shared
with one neighbour (see ``tiling``). Only ramps wait in floats for the tile that
completes them; what is complete is turned into pixels at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srcli.imaging.colour import GRAY_SHARES
from srcli.inference.device import within_memory
from srcli.inference.tiling import TRIM, axis_weights, ramp
from srcli.layers.network import upload
from srcli.ports.image import TileGrid, Values

if TYPE_CHECKING:
    Rows = tuple[int, NDArray[Any]]

PIECE_BYTES = 48 * 1024 * 1024
"""Rows come in pieces of about this size, so that memory shrinks while they are
written: blocks above 32 MiB go back to the system as soon as they are freed."""
GPU_TILES = 16
"""Tiles that a GPU blends at once: whatever their number, most steps start one kernel
each."""


class TorchBand:
    """Blend the enlarged tiles of one image; memory is one row of tiles, whatever the height.

    That row is held as pixels. In floats there is only the ramp to the next row of
    tiles. Where one channel is to come out, tiles of three are reduced to luma.
    """

    def __init__(
        self, grid: TileGrid, *, scale: int, channels: int, encoder: PixelEncoder
    ) -> None:
        self.grid = grid
        self.scale = scale
        self.channels = channels
        self.encoder = encoder
        self.device = encoder.device
        self._columns = [
            self._part(grid.lefts, column, grid.tile_width)
            for column in range(len(grid.lefts))
        ]
        self._shares = torch.tensor(GRAY_SHARES, device=self.device).view(3, 1, 1)
        self._waiting: list[tuple[Tensor, _Part]] = []
        """Tiles of a row, in floats, that are blended together."""
        self._together = GPU_TILES if self.device.type == "cuda" else 1
        self._row: _Part | None = None
        self._pieces: list[tuple[int, Tensor]] = []
        """Finished pixels (h, W, C) of the row of tiles, each with its first output
        row."""
        self._beside: Tensor | None = None
        tallest = (
            math.ceil(grid.overlap * (1 - 2 * TRIM) * scale) + 1
            if len(grid.tops) > 1
            else 0
        )
        self._above = torch.zeros(
            (channels, tallest, grid.width * scale),
            dtype=encoder.blending,
            device=self.device,
        )
        """Ramp of the row of tiles above."""
        self._copies: list[tuple[int, Callable[[], NDArray[Any]]]] = []
        """Rows on their way from a GPU, each with its first output row."""

    @within_memory
    def add(self, tile: Tensor | None, *, row: int, column: int) -> list[Rows]:
        """Blend one enlarged tile (C, sH, sW) of a grid place in, or zeros for None.

        Tiles come row by row, from left to right. The first may begin any row of tiles:
        rows then come out from where that one shares none with the row above.

        Returned are rows that no later tile touches: (first output row, (h, W, C) in
        the dtype of the encoder), from top to bottom, maybe in several pieces; they
        belong to the caller. From a GPU they come with those of the next row of tiles.
        """
        if column == 0:
            self._begin(row)
        self._waiting.append((self._block(tile), self._columns[column]))
        ends_row = column + 1 == len(self._columns)
        if ends_row or len(self._waiting) == self._together:
            self._blend()
        if not ends_row:
            return []
        before = self.finish()
        self._copies = [(top, host_copy(piece)) for top, piece in self._pieces]
        self._pieces, self._beside = [], None
        return before if self._together > 1 else self.finish()

    def finish(self) -> list[Rows]:
        """Return the rows, likewise, that are not back from a GPU after the last tile."""
        copies, self._copies = self._copies, []
        return [(top, copied()) for top, copied in copies]

    def _blend(self) -> None:
        """Blend in the tiles that wait: beside each other, below the row above."""
        row, (_, leftmost) = self._row, self._waiting[0]
        assert row is not None
        blocks: list[Tensor] = []
        for block, part in self._waiting:
            if part.core > part.start:
                assert self._beside is not None
                blocks.append(
                    self._beside + block[:, :, part.start : part.core] * part.rise
                )
            blocks.append(block[:, :, part.core : part.end])
            if part.stop > part.end:
                self._beside = block[:, :, part.end : part.stop] * part.fall
        self._waiting = []
        block = torch.cat(blocks, dim=2) if len(blocks) > 1 else blocks[0]
        left, end = leftmost.origin + leftmost.start, block.shape[2]
        done = block[:, row.core : row.end]
        if row.core > row.start:
            above = self._above[:, : row.core - row.start, left : left + end]
            joined = above + block[:, row.start : row.core] * row.rise[:, None]
            done = torch.cat([joined, done], dim=1)
        if row.stop > row.end:
            # The same memory: of these columns, what was above is used by now.
            below = self._above[:, : row.stop - row.end, left : left + end]
            below.copy_(block[:, row.end : row.stop] * row.fall[:, None])
        self._put(done, row.origin + row.start, left)

    def _block(self, tile: Tensor | None) -> Tensor:
        grid = self.grid
        size = (
            self.channels,
            grid.tile_height * self.scale,
            grid.tile_width * self.scale,
        )
        if tile is None:
            return torch.zeros((), device=self.device).expand(size)
        block = tile.to(self.device)
        if self.channels == 1 and block.shape[0] == 3:
            block = (block * self._shares).sum(dim=0, keepdim=True)
        if block.shape != size:
            raise ValueError(f"expected a tile of {size}, got {tuple(block.shape)}")
        return block

    def _begin(self, row: int) -> None:
        """Make room for the rows that a row of tiles completes."""
        part, encoder = (
            self._part(self.grid.tops, row, self.grid.tile_height),
            self.encoder,
        )
        if self._row is None:  # what the row above would have to give is not there
            part = part._replace(start=part.core, rise=part.rise[:0])
        self._row = part
        width = self.grid.width * self.scale
        height = max(1, PIECE_BYTES // (width * self.channels * encoder.dtype.itemsize))
        last = part.origin + part.end
        for top in range(part.origin + part.start, last, height):
            shape = (min(height, last - top), width, self.channels)
            piece = torch.empty(shape, dtype=encoder.storage, device=self.device)
            self._pieces.append((top, piece))

    def _put(self, block: Tensor, top: int, left: int) -> None:
        height, width = block.shape[1:]
        pixels = self.encoder.encode(block).permute(1, 2, 0)
        for start, piece in self._pieces:
            first, last = max(top, start), min(top + height, start + piece.shape[0])
            if last > first:
                target = piece[first - start : last - start, left : left + width]
                target.copy_(pixels[first - top : last - top])

    def _part(self, starts: Sequence[int], index: int, tile: int) -> _Part:
        own: dict[str, int] = {
            "tile": tile,
            "overlap": self.grid.overlap,
            "scale": self.scale,
        }
        origin, length = starts[index] * self.scale, tile * self.scale
        start = core = 0
        end = stop = length
        if index > 0:
            start, core = (place - origin for place in ramp(starts, index - 1, **own))
        if index + 1 < len(starts):
            end, stop = (place - origin for place in ramp(starts, index, **own))
        weights = upload(axis_weights(starts, index, **own), self.device)
        return _Part(
            origin, start, core, end, stop, weights[start:core], weights[end:stop]
        )


class _Part(NamedTuple):
    """The parts of a tile along one axis, in output pixels from its own first one.

    ``origin`` is that pixel's place in the image. From ``start`` on the tile shares
    pixels with the one before, from ``core`` on they are its own alone, from ``end`` on
    it shares them with the next, and from ``stop`` on it gives nothing.
    """

    origin: int
    start: int
    core: int
    end: int
    stop: int
    rise: Tensor
    """Weights from ``start`` to ``core``."""
    fall: Tensor
    """Weights from ``end`` to ``stop``."""


def host_copy(tensor: Tensor) -> Callable[[], NDArray[Any]]:
    """Begin to copy a tensor to the host, and return what waits for it and gives the values.

    A GPU copies into pinned memory, in the order of its current stream.
    """
    host = tensor.to("cpu", non_blocking=tensor.is_cuda)
    if not tensor.is_cuda:
        return host.numpy
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record(torch.cuda.current_stream(tensor.device))

    def wait() -> NDArray[Any]:
        copied.synchronize()
        return host.numpy()

    return wait


def is_full_range(values: Values) -> bool:
    """Return True for uint8 and uint16 whose whole range is [0, 1] to the network.

    Such pixels need no arithmetic of their own, and none lies outside the range.
    """
    if values.dtype not in (np.uint8, np.uint16) or values.most is not None:
        return False
    return values.ranges == ((0, np.iinfo(values.dtype).max),)


class PixelEncoder:
    """Turn enlarged tiles into the pixels of a file, of a dtype and range of values.

    None is for photographs: uint8 and uint16 have their full range, float32 comes as
    the network gives it.
    """

    def __init__(
        self, dtype: np.dtype[Any], values: Values | None, device: torch.device
    ) -> None:
        if values is None and dtype not in (np.uint8, np.uint16, np.float32):
            raise ValueError(f"expected values for pixels of {dtype}")
        self.dtype = dtype
        self.storage: torch.dtype = getattr(torch, dtype.name)
        """Dtype of tensors of finished pixels."""
        self.copies = values is None and dtype.kind == "f"
        """True if pixels are the network's output, neither scaled nor clipped."""
        narrow = is_narrow(dtype)
        self.blending = torch.float32 if narrow or self.copies else torch.float64
        """Dtype of sums of weighted tiles."""
        # 16 bits are rounded in float64: fp32 has 24 bits, and the last one must not be
        # lost.
        eight = self.copies or dtype.itemsize == 1
        self._rounding = torch.float32 if eight else torch.float64
        limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        most = None if values is None else values.most
        self._limits = (float(limits.min), float(limits.max) if most is None else most)
        wide = torch.float64 in (self._rounding, self.blending)
        self.device = torch.device("cpu") if wide and device.type == "mps" else device
        """Where to blend tiles of a network on ``device``: Metal has no float64."""
        own = None if values is None or is_full_range(values) else values
        ranges = own.ranges if own else ((0.0, float(limits.max)),)
        self._low = self._of_bands([low for low, _ in ranges])
        self._range = self._of_bands([high - low for low, high in ranges])

    def encode(self, block: Tensor) -> Tensor:
        """Scale, round and clip (C, h, w), as the network gave it in units of the range."""
        if self.copies:
            return block
        pixels = block.to(self._rounding)
        # A tensor of our own: what follows works in place, and tiles are not ours to
        # change.
        pixels = pixels * self._range
        if not isinstance(self._low, float) or self._low:
            pixels += self._low
        if self.dtype.kind != "f":
            pixels.round_()
        return pixels.clamp_(*self._limits)

    def _of_bands(self, numbers: Sequence[float]) -> float | Tensor:
        if len(numbers) == 1:
            return float(numbers[0])
        # Copied at once: what blends may be ahead of the stream in which this is made.
        values = torch.tensor(numbers, dtype=self._rounding, device=self.device)
        return values[:, None, None]


def is_narrow(dtype: np.dtype[Any]) -> bool:
    """Return True if float32 holds every value, and a hundred steps in between."""
    return dtype.kind in "ui" and dtype.itemsize <= 2
