"""The torch engine: batches of tiles through a network, blended into rows on the device."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srcli.inference.band import TorchBand
from srcli.inference.levels import PixelEncoder
from srcli.layers.colour import as_rgb_network
from srcli.layers.placement import (
    ORIENTATIONS,
    orient,
    orient_positions,
    undo_orientation,
    use_positions,
)
from srcli.layers.pooling import Calibration, record_calibration, use_calibration
from srcli.layers.resize import bicubic_resize
from srcli.layers.upload import upload
from srcli.ports.image import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from srcli.layers.network import Network
    from srcli.ports.image import TileGrid, TilePosition

CPU_BATCH_PIXELS = 48 * 1024
"""Input pixels of a batch on the CPU: larger batches fall out of the cache and gain nothing."""
GPU_BATCH_PIXELS = 4 * 1024 * 1024
BACK_PROJECTIONS = 2
"""Rounds of correction."""


@contextmanager
def raising_out_of_memory() -> Iterator[None]:
    """Raise ``OutOfMemory``, which callers of an engine know, for torch's own error."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise OutOfMemory from error


@contextmanager
def without_tf32() -> Iterator[None]:
    """Let GPUs compute fp32 convolutions in fp32: PyTorch's default has 10 bits, 8-bit steps more.

    Half precision is as fast as before: only the image path of its networks is in fp32.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class TorchEngine:
    """Run a network on tiles; implements ``srcli.ports.image.Engine``.

    Args:
        network: From ``load_model``.
        device: Where it runs.
        half: Half precision of the forward pass; None for fp32.
        batch: Tiles at once; None chooses.
        tta: Average over the 8 flips and rotations.
        back_project: Correct outputs until, downscaled, they are the inputs.
        plain: fp32 in PyTorch's default layout, for comparisons.
    """

    name = "torch"
    """Of the software that runs the network, as options have it."""

    def __init__(
        self,
        network: Network,
        *,
        device: torch.device,
        half: torch.dtype | None = None,
        batch: int | None = None,
        tta: bool = False,
        back_project: bool = False,
        plain: bool = False,
    ) -> None:
        self.device = device
        self.half = half
        self.tta = tta
        self.back_project = back_project
        self._batch = batch
        # Grouped fp32 convolutions on the CPU are slow in channels_last; half precision needs it.
        last = not plain and (half is not None or device.type == "cuda")
        self._layout = torch.channels_last if last else torch.contiguous_format
        self._passes = range(len(ORIENTATIONS) if tta else 1)
        self.network = network.to(device).eval()
        self.network.to(memory_format=self._layout)  # type: ignore[call-overload]
        self._rgb_network = as_rgb_network(self.network)
        self.scale = network.scale
        self.calibrates = network.pools_globally
        self.seeks_extremes = network.pools_maxima
        # What the network's modules hold is of one batch: threads that share an engine take turns.
        self._lock = Lock()

    def batch_size(self, height: int, width: int) -> int:
        """Tiles of this size to try at once."""
        if self._batch is not None:
            return self._batch
        pixels = GPU_BATCH_PIXELS if self.device.type == "cuda" else CPU_BATCH_PIXELS
        return max(1, min(64, pixels // (height * width)))

    def calibrate(self, windows: NDArray[Any], *, extremes: int = 0) -> Calibration | None:
        """Measure a whole image; see ``srcli.ports.image.Engine.calibrate``."""
        with self._lock, raising_out_of_memory(), torch.inference_mode():
            batch = self._upload(windows)
            for exact in (False, True):
                passes = []
                for number in self._passes:
                    with record_calibration(self.network, extremes) as values:
                        self._pass(batch, number, exact=exact)
                    passes.append(values)
                found = Calibration(tuple(passes))
                if found.finite:
                    return found
        return None

    def run(
        self,
        tiles: NDArray[Any],
        calibration: object | None = None,
        positions: Sequence[TilePosition] | None = None,
    ) -> list[Tensor | None]:
        """Enlarge tiles (N, H, W, C); see ``srcli.ports.image.Engine.run``.

        A calibration is of one image, or holds a row for each tile.
        """
        assert calibration is None or isinstance(calibration, Calibration)
        with self._lock, raising_out_of_memory(), torch.inference_mode():
            batch = self._upload(tiles, calibration, positions)
            out = self._enlarge(batch)
            finite = torch.isfinite(out.sum(dim=(1, 2, 3)))
            good: list[bool] = finite.tolist()
            if self.half is not None and not all(good):
                out = out.clone()
                out[~finite] = self._enlarge(batch.rows(~finite), exact=True)
                good = torch.isfinite(out.sum(dim=(1, 2, 3))).tolist()
        return [tile if ok else None for tile, ok in zip(out, good, strict=True)]

    def band(self, grid: TileGrid, *, channels: int, dtype: np.dtype[Any]) -> TorchBand:
        """Return a new band; see ``srcli.ports.image.Engine.band``."""
        encoder = PixelEncoder(dtype)
        return TorchBand(
            grid, scale=self.scale, channels=channels, encoder=encoder, device=self.device
        )

    def _upload(
        self,
        tiles: NDArray[Any],
        calibration: Calibration | None = None,
        positions: Sequence[TilePosition] | None = None,
    ) -> _TileBatch:
        kind = tiles.dtype
        levels = np.iinfo(kind).max if kind.kind == "u" else None
        if kind == np.uint16:  # torch has few uint16 kernels: widen on the way
            tiles = tiles.astype(np.int32)
        x = upload(np.ascontiguousarray(tiles), self.device).permute(0, 3, 1, 2).float()
        if kind in (np.uint8, np.uint16):
            x = x / float(np.iinfo(kind).max)
        where = None
        if positions is not None and any(each[2:] != tiles.shape[1:3] for each in positions):
            where = upload(np.array(positions), self.device)
        pixels = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        return _TileBatch(pixels=pixels, levels=levels, calibration=calibration, positions=where)

    def _enlarge(self, batch: _TileBatch, *, exact: bool = False) -> Tensor:
        """Enlarge, on average over flips and rotations where that is asked for."""
        out = self._pass(batch, 0, exact=exact)
        for number in self._passes[1:]:
            out = out + self._pass(batch, number, exact=exact)
        if self.tta:
            out = out / len(self._passes)
        return back_projected(out, batch.pixels) if self.back_project else out

    def _pass(self, batch: _TileBatch, number: int, *, exact: bool) -> Tensor:
        """Enlarge a batch once, flipped and rotated, and turn the result back."""
        turns, mirrored = ORIENTATIONS[number]
        height, width = batch.pixels.shape[2:]
        positions = batch.positions
        if positions is not None:
            positions = orient_positions(positions, height, width, turns, mirrored)
        values = None if batch.calibration is None else batch.calibration.passes[number]
        x = orient(batch.pixels, turns, mirrored)
        height, width = x.shape[2:]
        size = (self.network.padded(height), self.network.padded(width))
        x = F.pad(x, (0, size[1] - width, 0, size[0] - height), mode="replicate")
        keywords = {"levels": batch.levels} if self.network.takes_levels else {}
        with use_calibration(self.network, values), use_positions(self.network, positions, size):
            out = self._forward(x, None if exact else self.half, **keywords)
        out = out[:, :, : height * self.scale, : width * self.scale].float()
        return undo_orientation(out, turns, mirrored)

    def _forward(self, x: Tensor, half: torch.dtype | None, **keywords: int | None) -> Tensor:
        """Run the network on (N, 3, H, W) of a size that it takes."""
        with without_tf32(), torch.autocast(self.device.type, dtype=half, enabled=half is not None):
            out: Tensor = self._rgb_network(x.contiguous(memory_format=self._layout), **keywords)
        return out


@dataclass(frozen=True, kw_only=True)
class _TileBatch:
    """Tiles on the device, with calibration and positions in their pictures."""

    pixels: Tensor
    """(N, 3, H, W) in [0, 1]."""
    levels: int | None
    """Largest value of the integers that the pixels were read from; None for floats."""
    calibration: Calibration | None
    positions: Tensor | None
    """(N, 4), see ``srcli.layers.placement``; None where every tile is a whole picture."""

    def rows(self, chosen: Tensor) -> _TileBatch:
        """Return some of the tiles: a boolean (N,)."""
        return _TileBatch(
            pixels=self.pixels[chosen],
            levels=self.levels,
            calibration=self.calibration and self.calibration.rows(chosen.nonzero()[:, 0].tolist()),
            positions=None if self.positions is None else self.positions[chosen],
        )


def back_projected(sr_image: Tensor, lr_image: Tensor) -> Tensor:
    """Correct an SR picture until, downscaled, it is nearer to its LR picture.

    Iterative back-projection (Irani and Peleg 1991) with MATLAB's bicubic kernel both ways, the one
    that LR pictures of training and benchmarks are made by.

    Args:
        sr_image: (N, C, sH, sW), fp32.
        lr_image: (N, C, H, W) in the same range of values.
    """
    scale = sr_image.shape[2] // lr_image.shape[2]
    for _ in range(BACK_PROJECTIONS):
        error = lr_image - bicubic_resize(sr_image, Fraction(1, scale))
        sr_image = sr_image + bicubic_resize(error, scale)
    return sr_image
