"""Attention maps of networks that make some, through the tiles and the blending of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from srcli.layers.colour import luma
from srcli.layers.network import Network
from srcli.layers.precision import full_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from srcli.ports.engine import Band, Engine
    from srcli.ports.grid import Grid, Place


def count_maps(network: Network) -> int:
    """Return how many attention maps a network makes of a picture; 0 for most."""
    return network.num_maps


class MapsNetwork(Network):
    """Give the attention maps of a network instead of its picture, as a network of scale 1.

    Args:
        network: Makes at least one map.
    """

    scale = 1
    colour = "rgb"

    def __init__(self, network: Network) -> None:
        super().__init__()
        if not count_maps(network):
            raise ValueError(f"expected a network with maps, got {type(network).__name__}")
        self.network = network
        self.num_maps = count_maps(network)
        self.minimum = network.minimum
        self.multiple_of = network.multiple_of
        self._takes_luma = network.colour == "y"

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps (N, num_maps, H, W) of RGB (N, 3, H, W), both in [0, 1]."""
        if self._takes_luma:
            with full_precision(x.device):
                x = luma(x.float())
        _, maps = self.network.attend(x)
        return torch.cat(maps, dim=1)


class MapsEngine:
    """An engine whose bands hold maps, in uint8; implements ``srcli.ports.engine.Engine``.

    Args:
        engine: Runs a ``MapsNetwork``.
        num_maps: How many maps that gives.
    """

    def __init__(self, engine: Engine, num_maps: int) -> None:
        self.engine = engine
        self.num_maps = num_maps

    @property
    def scale(self) -> int:
        """1: maps are as large as the picture that they are of."""
        return self.engine.scale

    @property
    def calibrates(self) -> bool:
        """As the engine that gives the maps."""
        return self.engine.calibrates

    @property
    def seeks_extremes(self) -> bool:
        """As the engine that gives the maps."""
        return self.engine.seeks_extremes

    def calibrate(
        self, windows: NDArray[Any], *, extremes: int = 0, times: float = 1.0
    ) -> object | None:
        """Measure a whole image; see ``srcli.ports.engine.Engine.calibrate``."""
        return self.engine.calibrate(windows, extremes=extremes, times=times)

    def batch_size(self, height: int, width: int) -> int:
        """Tiles of this size to try at once."""
        return self.engine.batch_size(height, width)

    def run(
        self,
        tiles: NDArray[Any],
        calibration: object | None = None,
        places: Sequence[Place] | None = None,
    ) -> Sequence[object | None]:
        """Return the maps of tiles; see ``srcli.ports.engine.Engine.run``."""
        return self.engine.run(tiles, calibration, places)

    def band(self, grid: Grid, *, channels: int, dtype: np.dtype[Any]) -> Band:
        """Return a new band of ``num_maps`` channels, whatever the picture has."""
        return self.engine.band(grid, channels=self.num_maps, dtype=np.dtype(np.uint8))
