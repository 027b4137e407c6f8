"""Engines enlarge batches of tiles; the torch engine runs a network on tiles of photographs.

Three steps: ``start`` gives a batch to the device, ``result`` of what is in flight
waits for it, and the engine's ``blender`` joins the tiles to rows of the image.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from srcli.imaging.pixels.arrays import Array, Bools
from srcli.inference.blending import Blender
from srcli.inference.corrections import apply_corrections
from srcli.inference.device import EngineOptions
from srcli.inference.fusing.convolutions import PackedConv2d
from srcli.inference.lanes import (
    Lanes,
    NetworkCopies,
    batch_lock,
    choose_lane_count,
    open_lanes,
)
from srcli.inference.memory import bytes_per_pixel, free_gpu_bytes, within_memory
from srcli.inference.orientations import (
    ORIENTATIONS,
    enlarge_oriented,
    mean_of_passes,
    orient_positions,
)
from srcli.inference.values import PixelEncoder
from srcli.layers.global_pools import (
    Calibration,
    are_finite,
    as_parts_of_pictures,
    combine,
    record_calibration,
)
from srcli.layers.network import lay_out
from srcli.layers.transfer import HostCopy, upload, upload_stack
from srcli.ports import TileGrid

if TYPE_CHECKING:
    from srcli.inference.corrections import Correction
    from srcli.layers.network import Network

    Tiles = Sequence[Array]
    """Pixels (H, W, C) of tiles of one size."""
    Positions = Sequence[tuple[int, int, int, int]]
    """Where each tile lies, see ``TileGrid.position``."""

log = logging.getLogger(__name__)
CPU_BATCH_PIXELS = 48 * 1024
"""Input pixels of a batch on the CPU: larger batches fall out of the cache and gain
nothing."""
GPU_BATCH_PIXELS = 64 * 192 * 192
"""The same on a GPU, which is busy by then: more would only take memory."""
MOST_TILES = 64
"""Most tiles of a batch whose size nobody has asked for."""


@dataclass(frozen=True)
class BatchResult:
    """The enlarged tiles of a batch, in its order."""

    tiles: Sequence[Tensor]
    """(C, scale H, scale W) each, as ``start`` says."""
    finite: Bools
    """False for each tile of which the network gave no finite values, in fp32 neither."""


class InFlight(Protocol):
    """A batch that an engine has started."""

    def result(self) -> BatchResult:
        """Wait for the batch; ``MemoryError`` says that it had too many tiles."""


class Engine(Protocol):
    """Enlarges batches of tiles of one kind of image, photographs or rasters."""

    network: Network
    scale: int
    calibrates: bool
    """The network has to see a whole image before its tiles."""
    runs_ahead: bool
    """A batch is computed while the one before is blended and written."""

    def lanes(self, count: int, height: int, width: int) -> Lanes | None:
        """Return threads that compute batches of ``count`` tiles of a size beside each other.

        None where one batch at a time is computed, by all threads.
        """

    def batch_size(self, height: int, width: int) -> int:
        """Return the tiles of a size to try at once, fewer after a batch that did not fit."""

    def calibrate(self, windows: Tiles) -> Calibration | None:
        """Measure what the network's global pools see of a whole image, for ``start``.

        Windows are as ``start`` takes tiles; too many raise ``MemoryError``. None comes
        back where no finite values came out.
        """

    def start(
        self,
        tiles: Tiles,
        calibration: Calibration | None = None,
        positions: Positions | None = None,
    ) -> InFlight:
        """Start to enlarge tiles (H, W, C) of one size; ``MemoryError`` for too many tiles.

        Without a calibration each is taken for a whole image, and without
        ``positions``, for grids with a ``step`` of 1, as well.
        """

    def blending_stream(self) -> AbstractContextManager[object]:
        """Return a context in which a GPU waits, blends and copies beside its current batch."""

    def blender(
        self, grid: TileGrid, *, channels: int, dtype: np.dtype[Any]
    ) -> Blender:
        """Return what blends the tiles of an image cut by ``grid``."""


@dataclass(frozen=True)
class NetworkInput:
    """Tiles on the device, and what a network is told of them."""

    pixels: Tensor
    """(N, 3, H, W) in [0, 1]."""
    white_level: int | None
    """See ``Network.white_level``."""
    calibration: Calibration | None
    """None for tiles that are whole images."""
    positions: Tensor | None
    """(N, 4), see ``TileGrid.position``; None for tiles that are whole images."""

    def select(self, chosen: Tensor) -> NetworkInput:
        """Return the tiles for which a boolean tensor (N,) is true."""
        positions = self.positions
        if positions is not None:
            positions = positions[chosen]
        return replace(self, pixels=self.pixels[chosen], positions=positions)


@dataclass(frozen=True)
class NetworkBatch:
    """A batch that the network of a torch engine enlarges."""

    engine: TorchEngine
    network_input: NetworkInput
    half: torch.dtype | None
    """Type of the forward pass; None for fp32."""
    enlarged: Tensor
    """(N, 3, scale H, scale W), maybe not yet computed."""
    finite: HostCopy
    """For each tile whether its values are finite."""

    @within_memory
    def result(self) -> BatchResult:
        """Wait for the batch; compute tiles in fp32 that are not finite in half precision."""
        enlarged = self.enlarged
        finite = self.finite.wait()
        if self.half is not None and not finite.all():
            enlarged = self.engine.enlarge_again(self, finite)
            finite = _are_tiles_finite(enlarged).cpu().numpy()
        return BatchResult(enlarged.unbind(), finite)


class TorchEngine:
    """Run a network on tiles of photographs; see ``Engine`` for its methods.

    ``device`` and ``half``, the type of the forward pass or None for fp32, are used
    instead of what ``options`` say of them. ``corrections`` are applied to what the
    network gives. ``has_lanes`` allows a processor several batches at once, by copies of
    the network.
    """

    def __init__(
        self,
        network: Network,
        options: EngineOptions | None = None,
        *,
        device: torch.device,
        half: torch.dtype | None = None,
        corrections: Sequence[Correction] = (),
        has_lanes: bool = False,
    ) -> None:
        self.device = device
        self.half = half
        self.options = options or EngineOptions()
        self.corrections = corrections
        self._failures = 0
        """Batches that half precision could not compute."""
        self._fitting_pixels = sys.maxsize
        """Most input pixels of a batch: half of one that did not fit; no limit at first."""
        # Grouped fp32 convolutions on the CPU are slow in channels_last unless they are
        # packed.
        is_packed = any(isinstance(layer, PackedConv2d) for layer in network.modules())
        self._layout = torch.contiguous_format
        if half is not None or device.type == "cuda" or is_packed:
            self._layout = torch.channels_last
        if self.options.plain:
            self._layout = torch.contiguous_format
        self._pass_count = len(ORIENTATIONS) if self.options.tta else 1
        self.network = network.to(device).eval()
        lay_out(self.network, self._layout)
        self._copies = NetworkCopies(self.network)
        self._has_lanes = has_lanes and device.type == "cpu"
        self._lane_counts: dict[tuple[int, int], int] = {}
        """By threads and bytes of a batch: chosen once, as the kernel's files of free
        memory take half a millisecond to read."""
        self.scale = network.scale
        self.calibrates = network.pools_globally
        self.runs_ahead = device.type == "cuda"
        self._blending_stream: torch.cuda.Stream | None = None
        if self.runs_ahead:
            # Its few kernels go first, else each would wait for those of a pass that
            # have come before.
            self._blending_stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    def batch_size(self, height: int, width: int) -> int:
        """Return the tiles of a size to try at once."""
        pixels = height * width
        count = self.options.batch
        if count is None:
            most_pixels = CPU_BATCH_PIXELS
            if self.device.type == "cuda":
                most_pixels = self._gpu_batch_pixels
            count = min(MOST_TILES, most_pixels // pixels)
        return max(1, min(count, self._fitting_pixels // pixels))

    @cached_property
    def _gpu_batch_pixels(self) -> int:
        """Input pixels of a batch that is to fit into the memory that was free at first."""
        with batch_lock():
            _, rgb_network = self._copies.of_this_thread()
            needed = bytes_per_pixel(rgb_network)
        # two earlier batches that are still blended: RGB in fp32, 12 bytes a pixel
        needed += 2 * 12 * self.scale**2
        return min(GPU_BATCH_PIXELS, int(free_gpu_bytes(self.device) / needed))

    def lanes(self, count: int, height: int, width: int) -> Lanes | None:
        """Return threads that compute batches of such tiles beside each other, or None."""
        threads = torch.get_num_threads()
        if threads == 1 or not self._has_lanes:
            return None
        bytes_per_value = 4 if self.half is None else self.half.itemsize
        key = threads, count * height * width * bytes_per_value
        if key not in self._lane_counts:
            self._lane_counts[key] = choose_lane_count(*key)
        lane_count = self._lane_counts[key]
        if lane_count == 1:
            return None
        return open_lanes(lane_count, threads // lane_count)

    @within_memory
    def calibrate(self, windows: Tiles) -> Calibration | None:
        """Measure what the network's global pools see of a whole image."""
        with batch_lock(), torch.inference_mode():
            network_input = self._upload(windows)
            for half in (self.half, None):
                passes = []
                for number in range(self._pass_count):
                    with record_calibration(self.network) as values:
                        self._pass(number, network_input, half)
                    passes.append(values)
                calibration = combine(passes, torch.stack)
                if are_finite(calibration):
                    return calibration
        return None

    def blending_stream(self) -> AbstractContextManager[object]:
        """Let a GPU do the work of a ``with`` beside its batches; elsewhere change nothing."""
        return torch.cuda.stream(self._blending_stream)

    def start(
        self,
        tiles: Tiles,
        calibration: Calibration | None = None,
        positions: Positions | None = None,
    ) -> NetworkBatch:
        """Start to enlarge tiles of uint8, uint16, or float32 in [0, 1], to RGB.

        The result is waited for within the ``blending_stream``.
        """
        try:
            return self._start(tiles, calibration, positions)
        except MemoryError:
            height, width = tiles[0].shape[:2]
            self._fitting_pixels = len(tiles) * height * width // 2
            raise

    @within_memory
    def _start(
        self, tiles: Tiles, calibration: Calibration | None, positions: Positions | None
    ) -> NetworkBatch:
        """Give a batch to the device."""
        with batch_lock(), torch.inference_mode():
            half = self.half
            network_input = self._upload(tiles, calibration, positions)
            enlarged = self._enlarge(network_input, half)
            if self._blending_stream is not None:
                enlarged.record_stream(self._blending_stream)
            finite = HostCopy(_are_tiles_finite(enlarged))
            return NetworkBatch(self, network_input, half, enlarged, finite)

    @torch.inference_mode()
    def enlarge_again(self, batch: NetworkBatch, finite: Bools) -> Tensor:
        """Return the tiles of a batch, those that are not finite computed in fp32."""
        with batch_lock():
            chosen = upload(~finite, self.device)
            enlarged = batch.enlarged.clone()
            enlarged[chosen] = self._enlarge(batch.network_input.select(chosen), None)
            self._failures += 1
            # some cards compute fp16 badly, whatever the picture
            if self._failures == 2 and batch.half == torch.float16:
                self.half = None
                log.warning("fp16 gives values that are not finite: goes on in fp32")
        return enlarged

    @within_memory
    def blender(
        self, grid: TileGrid, *, channels: int, dtype: np.dtype[Any]
    ) -> Blender:
        """Return what blends the tiles of a photograph."""
        with self.blending_stream():
            encoder = PixelEncoder(dtype, None, self.device)
            return Blender(grid, scale=self.scale, channels=channels, encoder=encoder)

    def _upload(
        self,
        tiles: Tiles,
        calibration: Calibration | None = None,
        positions: Positions | None = None,
    ) -> NetworkInput:
        """Copy tiles to the device, as RGB in [0, 1]."""
        size = tiles[0].shape[:2]
        places = None
        if positions and any(position[2:] != size for position in positions):
            places = upload(np.array(positions), self.device)
        dtype = tiles[0].dtype
        if dtype == np.uint16:  # torch has few uint16 kernels: widen on the way
            tiles = [tile.astype(np.int32) for tile in tiles]
        pixels = upload_stack(tiles, self.device).permute(0, 3, 1, 2).float()
        white_level = None
        if dtype.kind == "u":
            white_level = int(np.iinfo(dtype).max)
            pixels /= float(white_level)
        pixels = pixels.expand(-1, 3, -1, -1)
        return NetworkInput(pixels, white_level, calibration, places)

    def _enlarge(self, network_input: NetworkInput, half: torch.dtype | None) -> Tensor:
        """Enlarge a batch, each tile by the mean of its passes, and correct it."""
        enlarged = mean_of_passes(
            lambda number: self._pass(number, network_input, half),
            tta=self.options.tta,
        )
        return apply_corrections(
            self.corrections,
            enlarged,
            network_input.pixels,
            is_clipped=network_input.white_level is not None,
        )

    def _pass(
        self, number: int, network_input: NetworkInput, half: torch.dtype | None
    ) -> Tensor:
        """Enlarge a batch once, flipped and rotated, and turn the result back."""
        turns, mirrored = ORIENTATIONS[number]
        height, width = network_input.pixels.shape[2:]
        positions = network_input.positions
        if positions is not None:
            positions = orient_positions(positions, height, width, turns, mirrored)
        if turns % 2:
            height, width = width, height
        size = (self.network.padded(height), self.network.padded(width))
        calibration = None
        if network_input.calibration is not None:
            values = network_input.calibration.items()
            calibration = {name: value[number] for name, value in values}
        network, rgb_network = self._copies.of_this_thread()
        network.white_level = network_input.white_level
        with as_parts_of_pictures(network, calibration, positions, size):
            return enlarge_oriented(
                rgb_network,
                network_input.pixels,
                number,
                half=half,
                layout=self._layout,
            )


def _are_tiles_finite(enlarged: Tensor) -> Tensor:
    """Return for each tile of a batch (N, C, H, W) whether its values are finite."""
    return torch.isfinite(enlarged.sum(dim=(1, 2, 3)))
