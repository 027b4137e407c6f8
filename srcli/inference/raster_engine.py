"""Run networks for RGB in [0, 1] on rasters of any number of bands, dtype and range."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from srcli.imaging.colour import GRAY_SHARES
from srcli.inference.band import TorchBand
from srcli.inference.engine import raising_out_of_memory
from srcli.inference.levels import PixelEncoder, is_full_range, normalise
from srcli.layers.pooling import Calibration
from srcli.layers.resize import bicubic_resize
from srcli.layers.upload import upload
from srcli.ports.image import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from srcli.inference.engine import TorchEngine
    from srcli.ports.image import TileGrid, TilePosition, Values


class RasterEngine:
    """Run a network on the bands of a raster; implements ``srcli.ports.image.Engine``.

    Three bands of a group go through the network as RGB. A single one goes through it as gray, of
    which luma comes out. Values outside the network's range are clipped for it; what
    was clipped is enlarged by bicubic interpolation and added again, so that nothing is lost.

    Args:
        engine: Takes and gives RGB.
        groups: Positions of bands that belong together, three or one each; every band once.
        values: Dtype and range of the tiles.
    """

    def __init__(
        self, engine: TorchEngine, *, groups: Sequence[tuple[int, ...]], values: Values
    ) -> None:
        bands = list(chain.from_iterable(groups))
        sizes = {len(group) for group in groups}
        if not bands or sizes - {1, 3} or sorted(bands) != list(range(len(bands))):
            raise ValueError(f"expected groups of three bands or one, each once, got {groups}")
        self.engine = engine
        self.scale = engine.scale
        self.calibrates = engine.calibrates
        self.seeks_extremes = engine.seeks_extremes
        self.groups = tuple(groups)
        self.values = values
        self.channels = len(bands)
        self._plain = is_full_range(values)
        self._encoder = PixelEncoder(values.dtype, values)
        # Groups go through the network side by side: gray ones are R = G = B beside RGB.
        widest = max(sizes)
        self._inputs = [group if len(group) == widest else group * 3 for group in groups]
        self._shares = torch.tensor(GRAY_SHARES, device=engine.device).view(3, 1, 1)
        self._limit: int | None = None

    def batch_size(self, height: int, width: int) -> int:
        """Tiles of this size, with all of their bands, to try at once."""
        return max(1, self.engine.batch_size(height, width) // len(self.groups))

    def calibrate(self, windows: NDArray[Any], *, extremes: int = 0) -> Calibration | None:
        """Measure a whole raster, one row for each group of bands; see ``run`` for windows."""
        units = windows if self._plain else normalise(windows, self.values)[0]
        found = [
            self.engine.calibrate(units[:, :, :, group], extremes=extremes)
            for group in self._inputs
        ]
        rows = [each for each in found if each is not None]
        return Calibration.join(rows) if len(rows) == len(found) else None

    def run(
        self,
        tiles: NDArray[Any],
        calibration: object | None = None,
        positions: Sequence[TilePosition] | None = None,
    ) -> Sequence[Tensor | None]:
        """Enlarge tiles (N, H, W, C) of the raster's dtype, all of its bands; see ``Engine.run``.

        Returns:
            (C, scale H, scale W) a tile, in units of the range, not clipped; or None.
        """
        if tiles.dtype != self.values.dtype or tiles.shape[3] != self.channels:
            raise ValueError(f"expected tiles of {self.channels} bands of {self.values.dtype}")
        units, excess = (tiles, None) if self._plain else normalise(tiles, self.values)
        assert calibration is None or isinstance(calibration, Calibration)
        enlarged = self._enlarge(units, calibration, positions)
        with raising_out_of_memory(), torch.inference_mode():
            every = len(self.groups)
            parts = (enlarged[i : i + every] for i in range(0, len(enlarged), every))
            done = [self._join(each) for each in parts]
            return done if excess is None else list(map(self._add, done, excess))

    def band(self, grid: TileGrid, *, channels: int, dtype: np.dtype[Any]) -> TorchBand:
        """Return a new band; it gives rows of the raster's dtype and range."""
        if channels != self.channels or dtype != self.values.dtype:
            raise ValueError(
                f"expected {self.channels} bands of {self.values.dtype}, got {channels} of {dtype}"
            )
        return TorchBand(
            grid,
            scale=self.scale,
            channels=channels,
            encoder=self._encoder,
            device=self.engine.device,
        )

    def _enlarge(
        self,
        units: NDArray[Any],
        calibration: Calibration | None,
        positions: Sequence[TilePosition] | None,
    ) -> list[Tensor | None]:
        """Return all groups of the first tile, then those of the next."""
        if self.groups == ((0, 1, 2),):
            return self.engine.run(units, calibration, positions)
        count, height, width = units.shape[:3]
        inputs = units[:, :, :, self._inputs].transpose(0, 3, 1, 2, 4)
        stack = inputs.reshape(count * len(self.groups), height, width, -1)
        done: list[Tensor | None] = []
        while len(done) < len(stack):
            limit = self._limit or self.engine.batch_size(height, width)
            part = stack[len(done) : len(done) + limit]
            indices = range(len(done), len(done) + len(part))
            groups = [i % len(self.groups) for i in indices]
            own = positions and [positions[i // len(self.groups)] for i in indices]
            try:
                done += self.engine.run(part, calibration and calibration.rows(groups), own)
            except OutOfMemory:
                # Fewer tiles are asked for by the caller; fewer groups of one tile only here.
                if count > 1 or len(part) == 1:
                    raise
                self._limit = len(part) // 2
        return done

    def _join(self, parts: Sequence[Tensor | None]) -> Tensor | None:
        """Put the groups of one tile together."""
        first = parts[0]
        if first is None or self.groups == ((0, 1, 2),):
            return first
        joined = first.new_empty((self.channels, *first.shape[1:]))
        for group, part in zip(self.groups, parts, strict=True):
            if part is None:
                return None
            planes = part if len(group) == 3 else (part * self._shares).sum(dim=0, keepdim=True)
            for band, plane in zip(group, planes, strict=True):
                joined[band] = plane
        return joined

    def _add(self, tile: Tensor | None, excess: NDArray[Any]) -> Tensor | None:
        """Add what was clipped from a tile's input (H, W, C), enlarged."""
        if tile is None or not excess.any():
            return tile
        device = self._encoder.blending_device(tile.device)
        clipped = upload(excess, device).permute(2, 0, 1)[None]
        return tile.to(device) + bicubic_resize(clipped, self.scale)[0]
