"""The engine for rasters: any number of bands of any values, by the engine for photographs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from srcli.imaging.pixels.arrays import Array, Size, stack_as_stored
from srcli.imaging.pixels.values import GRAY_SHARES
from srcli.inference.blending import Blender
from srcli.inference.engine import BatchResult, NetworkBatch, TorchEngine
from srcli.inference.memory import within_memory
from srcli.inference.values import PixelEncoder, is_full_range, normalise
from srcli.layers.global_pools import combine
from srcli.layers.resize import bicubic_resize
from srcli.layers.transfer import upload
from srcli.ports import TileGrid, Values

if TYPE_CHECKING:
    from srcli.inference.engine import Positions, Tiles
    from srcli.layers.global_pools import Calibration


@dataclass(frozen=True)
class RasterBatch:
    """A batch of which each group of bands is a batch of the network."""

    engine: RasterEngine
    count: int
    """Tiles of the batch."""
    size: Size
    """Height and width of a tile that comes out."""
    groups: Iterable[NetworkBatch]
    """One for each group of bands; a generator starts each when it is asked for."""
    excess: Array | None
    """What ``normalise`` clipped; None for nothing."""

    @within_memory
    @torch.inference_mode()
    def result(self) -> BatchResult:
        """Wait for the groups, and put the bands of each tile together."""
        engine = self.engine
        groups_of_tiles: list[dict[tuple[int, ...], Tensor]]
        groups_of_tiles = [{} for _ in range(self.count)]
        finite = np.ones(self.count, np.bool_)
        for group, batch in zip(engine.groups, self.groups, strict=True):
            result = batch.result()
            finite &= result.finite
            for groups, rgb in zip(groups_of_tiles, result.tiles, strict=True):
                groups[group] = engine.choose_bands(rgb, group)
        tiles = []
        for number, groups in enumerate(groups_of_tiles):
            tile = engine.join_groups(groups, self.size)
            if self.excess is not None and self.excess[number].any():
                tile = engine.add_excess(tile, self.excess[number])
            tiles.append(tile)
        return BatchResult(tiles, finite)


class RasterEngine:
    """Run a network on tiles of rasters; see ``Engine`` for its methods.

    Each band is in one of the ``groups``. Three bands go through the network as RGB; a
    single one goes as gray, and gets the luma of the result. ``gray`` says that red,
    green and blue are equal, and gives that luma to all three. Values outside the
    network's range are clipped for it; what was clipped is enlarged by bicubic
    interpolation and added again, so that nothing is lost. ``interpolated`` bands are
    enlarged by bicubic interpolation alone, in 64-bit floats where values have more than
    16 bits.
    """

    def __init__(
        self,
        engine: TorchEngine,
        *,
        groups: Sequence[tuple[int, ...]],
        values: Values,
        interpolated: Collection[int] = (),
        gray: bool = False,
    ) -> None:
        self.engine = engine
        self.network = engine.network
        self.scale = engine.scale
        self.calibrates = engine.calibrates
        self.runs_ahead = engine.runs_ahead
        self.blending_stream = engine.blending_stream
        self.lanes = engine.lanes
        self.values = values
        self.gray = gray
        self.interpolated = sorted(interpolated)
        self.channels = sum(map(len, groups))
        self.groups = [group for group in groups if not {*group} <= {*interpolated}]
        """Groups that go through the network."""
        self._band_indices = [_band_index(group) for group in self.groups]
        self._skips_normalising = is_full_range(values) and not interpolated
        self._encoder = PixelEncoder(values.dtype, values, engine.device)
        self.blending_device = self._encoder.device
        self._shares = torch.tensor(GRAY_SHARES, device=engine.device).view(3, 1, 1)

    def batch_size(self, height: int, width: int) -> int:
        """Return the tiles to try at once; fewer of many bands, which all stay on the device."""
        channels = 8
        if self.runs_ahead:  # bands of two batches
            channels = 4
        count = self.engine.batch_size(height, width)
        return max(1, count * channels // max(channels, self.channels))

    def calibrate(self, windows: Tiles) -> Calibration | None:
        """Measure a whole raster, one row of measurements for each group of bands."""
        if not self.groups:
            return None
        units: Iterable[Array] = windows
        if not self._skips_normalising:
            units, _ = normalise(stack_as_stored(windows), self.values)
        rows = []
        for bands in self._band_indices:
            row = self.engine.calibrate([window[:, :, bands] for window in units])
            if row is None:
                return None
            rows.append(row)
        return combine(rows, partial(torch.cat, dim=1))

    @within_memory
    def start(
        self,
        tiles: Tiles,
        calibration: Calibration | None = None,
        positions: Positions | None = None,
    ) -> RasterBatch:
        """Start to enlarge tiles of the raster's dtype, all of its bands.

        They come in units of the range, not clipped.
        """
        units: Iterable[Array] = tiles
        excess = None
        if not self._skips_normalising:
            units, excess = normalise(
                stack_as_stored(tiles), self.values, self.interpolated
            )
        groups: Iterable[NetworkBatch]
        groups = self._start_groups(units, calibration, positions)
        # A CPU gains nothing by starting ahead, and takes less memory for one group at a
        # time.
        if self.runs_ahead:
            groups = list(groups)
        height, width = tiles[0].shape[:2]
        size = (height * self.scale, width * self.scale)
        return RasterBatch(self, len(tiles), size, groups, excess)

    def _start_groups(
        self,
        units: Iterable[Array],
        calibration: Calibration | None,
        positions: Positions | None,
    ) -> Iterator[NetworkBatch]:
        """Yield a batch for each group of bands, started when it is asked for."""
        for row, bands in enumerate(self._band_indices):
            measured = None
            if calibration is not None:
                rows = calibration.items()
                measured = {name: value[:, row : row + 1] for name, value in rows}
            yield self.engine.start(
                [tile[:, :, bands] for tile in units], measured, positions
            )

    def choose_bands(self, rgb: Tensor, group: Sequence[int]) -> Tensor:
        """Return the bands of a group from the network's RGB: these three, or their luma."""
        if len(group) == 3 and not self.gray:
            return rgb
        luma = (rgb * self._shares).sum(dim=0, keepdim=True)
        return luma.expand(len(group), -1, -1)

    def join_groups(
        self, groups: Mapping[tuple[int, ...], Tensor], size: Size
    ) -> Tensor:
        """Return all bands of a tile from those of each group; interpolated ones are zeros."""
        all_bands = tuple(range(self.channels))
        if all_bands in groups:
            return groups[all_bands]
        bands: dict[int, Tensor] = {}
        for group, layers in groups.items():
            bands.update(zip(group, layers, strict=True))
        for band in self.interpolated:
            bands[band] = torch.zeros(size, device=self.blending_device)
        return torch.stack([bands[band] for band in all_bands])

    def add_excess(self, tile: Tensor, excess: Array) -> Tensor:
        """Add what was clipped of a tile, enlarged by bicubic interpolation."""
        clipped = upload(excess, self.blending_device).permute(2, 0, 1)[None]
        enlarged = bicubic_resize(clipped, self.scale)[0]
        return tile.to(self.blending_device) + enlarged

    @within_memory
    def blender(
        self, grid: TileGrid, *, channels: int, dtype: np.dtype[Any]
    ) -> Blender:
        """Return what blends tiles to rows of the raster's dtype and range."""
        assert (channels, dtype) == (self.channels, self.values.dtype)
        with self.blending_stream():
            return Blender(
                grid,
                scale=self.scale,
                channels=channels,
                encoder=self._encoder,
                by_bands=True,  # as GDAL takes them
            )


def _band_index(group: tuple[int, ...]) -> slice | list[int]:
    """Return what selects a group's bands of an array (H, W, C).

    A slice, where they lie side by side, gives a view; a list copies pixel by pixel.
    """
    side_by_side = range(group[0], group[-1] + 1)
    if group == tuple(side_by_side):
        return slice(side_by_side.start, side_by_side.stop)
    return list(group)
