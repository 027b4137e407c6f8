"""One band of rows of an enlarged image: tiles are blended in, finished rows come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from srcli.imaging.colour import GRAY_SHARES
from srcli.inference.blending import axis_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from srcli.ports.grid import Grid


class TorchBand:
    """Blend the enlarged tiles of one image; memory is one row of tiles, whatever the height.

    Args:
        grid: How the image was cut.
        scale: Output pixels per input pixel.
        channels: 1 or 3 channels come out.
        dtype: uint8, uint16 (rounded and clipped) or float32 (as the network gives it).
        device: Where blending happens.
    """

    def __init__(
        self, grid: Grid, *, scale: int, channels: int, dtype: np.dtype[Any], device: torch.device
    ) -> None:
        self.grid = grid
        self.scale = scale
        self.channels = channels
        self.dtype = dtype
        self.device = device
        self._rows: Tensor | None = None
        self._row = 0
        self._left = len(grid.lefts)
        self._done: list[tuple[int, NDArray[Any]]] = []
        self._across = [
            self._weights(grid.lefts, column, grid.tile_width) for column in range(len(grid.lefts))
        ]
        self._down = self._weights(grid.tops, 0, grid.tile_height)
        self._shares = torch.tensor(GRAY_SHARES, device=device).view(3, 1, 1)

    def add(self, tile: object, *, row: int, column: int) -> None:
        """Blend in one enlarged tile (3, sH, sW); rows of tiles must come in order."""
        assert isinstance(tile, torch.Tensor)
        if row != self._row:
            raise ValueError(f"expected a tile of row {self._row}, got row {row}")
        grid = self.grid
        if self.channels == 1:
            tile = (tile * self._shares).sum(dim=0, keepdim=True)
        if self._rows is None:
            self._rows = torch.zeros(
                (self.channels, grid.tile_height * self.scale, grid.width * self.scale),
                device=self.device,
            )
        left = grid.lefts[column] * self.scale
        target = self._rows[:, :, left : left + grid.tile_width * self.scale]
        if len(grid.lefts) == 1 and len(grid.tops) == 1:
            target += tile
        else:
            target += tile * (self._down[:, None] * self._across[column][None, :])
        self._left -= 1
        if self._left == 0:
            self._advance()

    def finished(self) -> list[tuple[int, NDArray[Any]]]:
        """Hand over the rows that are complete."""
        done, self._done = self._done, []
        return done

    def _advance(self) -> None:
        grid, row = self.grid, self._row
        assert self._rows is not None
        top = grid.tops[row]
        final = row + 1 == len(grid.tops)
        count = grid.tile_height if final else grid.tops[row + 1] - top
        cut = count * self.scale
        if cut:
            self._done.append((top * self.scale, self._convert(self._rows[:, :cut])))
        if not final:
            self._down = self._weights(grid.tops, row + 1, grid.tile_height)
            rest = self._rows[:, cut:].clone()
            self._rows.zero_()
            self._rows[:, : rest.shape[1]] = rest
        else:
            self._rows = None
        self._row += 1
        self._left = len(grid.lefts)

    def _convert(self, rows: Tensor) -> NDArray[Any]:
        pixels = rows.permute(1, 2, 0)
        if self.dtype == np.uint8:
            return pixels.clamp(0, 1).mul(255).round_().to(torch.uint8).cpu().numpy()
        if self.dtype == np.uint16:
            # round in float64: fp32 has 24 bits, and 65535 * x must not lose the last one
            whole = pixels.double().clamp(0, 1).mul(65535).round_().to(torch.int32)
            return whole.cpu().numpy().astype(np.uint16)
        return pixels.contiguous().cpu().numpy().copy()

    def _weights(self, starts: tuple[int, ...], index: int, tile: int) -> Tensor:
        weights = axis_weights(
            starts, index, tile=tile, overlap=self.grid.overlap, scale=self.scale
        )
        return torch.from_numpy(weights).to(self.device)
