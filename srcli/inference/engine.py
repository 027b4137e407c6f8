"""The torch engine: batches of tiles through a network, blended into rows on the device."""

from __future__ import annotations

import copy
import logging
import os
import sys
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial, reduce
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from srcli.imaging.colour import GRAY_SHARES
from srcli.inference.band import (
    PixelEncoder,
    TorchBand,
    host_copy,
    is_full_range,
    is_narrow,
)
from srcli.inference.corrections import choose_corrections
from srcli.inference.device import EngineOptions, within_memory
from srcli.inference.fusing.g_idrn import merge_layers
from srcli.layers.colour import as_rgb_network
from srcli.layers.convolution import HalfConv2d, PackedConv2d
from srcli.layers.network import upload
from srcli.layers.resize import bicubic_resize
from srcli.layers.tiles import (
    ORIENTATIONS,
    Calibration,
    are_finite,
    hold,
    orient,
    orient_positions,
    record_calibration,
    undo_orientation,
)
from srcli.models.g_idrn import GIDRN
from srcli.ports.image import TileGrid, Values
from srcli.threads import hold_setting

if TYPE_CHECKING:
    from srcli.layers.network import Network

    Position = tuple[int, int, int, int]  # see ``TileGrid.position``
    Results = Callable[[], list[Tensor | None]]

log = logging.getLogger(__name__)
CPU_BATCH_PIXELS = 48 * 1024
"""Input pixels of a batch on the CPU: larger batches fall out of the cache and gain
nothing."""
GPU_BATCH_PIXELS = 64 * 192 * 192
"""The same on a GPU, which is busy by then: more would only take memory."""
GPU_MEMORY_SHARE = 0.6
"""Of what is free on a GPU, for a batch: the rest is for workspaces of cuDNN and for
blending."""
UNKNOWN_BYTES = 32 * 1024
"""Memory for each input pixel of networks in which it cannot be counted: of the
largest, EDSR."""
if hasattr(
    os, "register_at_fork"
):  # a forked process would wait for OpenMP's threads for ever
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


def without_tf32() -> AbstractContextManager[None]:
    """Let GPUs compute fp32 convolutions in fp32: PyTorch's default has 10 bits, 8-bit steps more.

    Half precision is as fast as before: only the image path of its networks is in fp32.
    """
    if hasattr(
        torch.backends.cudnn, "conv"
    ):  # from PyTorch 2.9 on; where a program has set it,
        return hold_setting(torch.backends.cudnn.conv, "fp32_precision", "ieee")
    return hold_setting(
        torch.backends.cudnn, "allow_tf32", False
    )  # ... this would raise


class TorchEngine:
    """Run a network on tiles of photographs.

    ``device`` and ``half``, the type of the forward pass, None for fp32, stand for what
    ``options`` say of them. ``hold_colours`` is for networks that shift colours.
    """

    def __init__(
        self,
        network: Network,
        options: EngineOptions | None = None,
        *,
        device: torch.device,
        half: torch.dtype | None = None,
        hold_colours: bool = False,
    ) -> None:
        self.device, self.half = device, half
        self.options = options = options or EngineOptions()
        self.corrections = choose_corrections(options, hold_colours=hold_colours)
        self._failures = 0
        self._fitting = sys.maxsize
        """Input pixels of a batch that fits into memory, as far as is known."""
        # Grouped fp32 convolutions on the CPU are slow in channels_last unless they are
        # packed.
        packed = any(isinstance(each, PackedConv2d) for each in network.modules())
        last = not options.plain and (
            half is not None or device.type == "cuda" or packed
        )
        self._layout = torch.channels_last if last else torch.contiguous_format
        self._passes = range(len(ORIENTATIONS) if options.tta else 1)
        self.network = network.to(device).eval()
        self.network.to(memory_format=self._layout)  # type: ignore[call-overload]
        self._rgb_network = as_rgb_network(self.network)
        self.scale = network.scale
        self.calibrates = network.pools_globally
        self.overlaps = device.type == "cuda"
        """A batch is computed while the one before is blended and written."""
        # Its few kernels go first, else each would wait for those of a pass that have
        # come before.
        self._beside = torch.cuda.Stream(device, priority=-1) if self.overlaps else None  # type: ignore[no-untyped-call]
        # What the network's modules hold is of one batch: threads that share an engine
        # take turns.
        self._lock = Lock()

    def batch_size(self, height: int, width: int) -> int:
        """Tiles of this size to try at once, fewer after a batch that did not fit into memory."""
        pixels, wanted = height * width, self.options.batch
        if wanted is None:
            most = (
                self._gpu_batch_pixels
                if self.device.type == "cuda"
                else CPU_BATCH_PIXELS
            )
            wanted = min(64, most // pixels)
        return max(1, min(wanted, self._fitting // pixels))

    @cached_property
    def _gpu_batch_pixels(self) -> int:
        """Input pixels of a batch that is to fit into the memory that was free at first."""
        with self._lock:
            each = bytes_per_pixel(self._rgb_network)
        each += (
            2 * 12 * self.scale**2
        )  # the batches before, in fp32, that are still blended
        free = torch.cuda.mem_get_info(self.device)[0]
        free += torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(
            self.device
        )
        return min(GPU_BATCH_PIXELS, int(GPU_MEMORY_SHARE * free / each))

    @within_memory
    def calibrate(self, windows: Sequence[NDArray[Any]]) -> Calibration | None:
        """Measure what the network's global pools see of a whole image, for ``start``.

        Windows are as ``start`` takes tiles; too many raise ``MemoryError``. None comes
        back where no finite values came out.
        """
        with self._lock, torch.inference_mode():
            x = self._upload(windows)
            for half in (self.half, None):
                passes = []
                for number in self._passes:
                    with record_calibration(self.network) as values:
                        self._pass(number, x, None, None, half)
                    passes.append(values)
                found = {
                    name: torch.stack([one[name] for one in passes])
                    for name in passes[0]
                }
                if are_finite(found):
                    return found
        return None

    def beside(self) -> AbstractContextManager[object]:
        """Let a GPU do what is within beside the batch that it works on; elsewhere do nothing."""
        return torch.cuda.stream(self._beside)

    def start(
        self,
        tiles: Sequence[NDArray[Any]],
        calibration: Calibration | None = None,
        positions: Sequence[Position] | None = None,
    ) -> Results:
        """Start to enlarge tiles (H, W, C) of one size: uint8, uint16, or float32 in [0, 1].

        Called ``beside``, what is returned waits for them: (3, scale H, scale W) each,
        None where the network gave no finite values. Both raise ``MemoryError`` for too
        many tiles. Without a calibration each is taken for a whole image, and without
        ``positions``, for grids with a ``step`` of 1, as well.
        """
        try:
            return partial(self._finish, self._start(tiles, calibration, positions))
        except MemoryError:
            self._fitting = len(tiles) * tiles[0].shape[0] * tiles[0].shape[1] // 2
            raise

    @within_memory
    def _start(
        self,
        tiles: Sequence[NDArray[Any]],
        calibration: Calibration | None,
        positions: Sequence[Position] | None,
    ) -> tuple[Any, ...]:
        """Give a batch to the device; returned is what ``_finish`` takes."""
        with self._lock, torch.inference_mode():
            x, half, where = self._upload(tiles), self.half, None
            if positions is not None and any(
                each[2:] != tiles[0].shape[:2] for each in positions
            ):
                where = upload(np.array(positions), self.device)
            out = self._enlarge(x, calibration, where, half)
            if self._beside is not None:
                out.record_stream(self._beside)
            finite = host_copy(torch.isfinite(out.sum(dim=(1, 2, 3))))
            return x, self.network.white_level, calibration, where, half, out, finite

    @within_memory
    def _finish(self, begun: tuple[Any, ...]) -> list[Tensor | None]:
        """Wait for a batch, and compute in fp32 again what is not finite in half precision."""
        x, white_level, calibration, where, half, out, finite = begun
        good = finite()
        if half is not None and not good.all():
            with self._lock, torch.inference_mode():
                self.network.white_level = white_level
                out, again = out.clone(), upload(~good, self.device)
                where = None if where is None else where[again]
                out[again] = self._enlarge(x[again], calibration, where, None)
                good = torch.isfinite(out.sum(dim=(1, 2, 3))).cpu().numpy()
                self._failures += 1
                if (
                    self._failures == 2 and half == torch.float16
                ):  # some cards do it badly
                    self.half = None
                    log.warning(
                        "fp16 gives values that are not finite: goes on in fp32"
                    )
        return [tile if ok else None for tile, ok in zip(out, good, strict=True)]

    @within_memory
    def band(self, grid: TileGrid, *, channels: int, dtype: np.dtype[Any]) -> TorchBand:
        """Return a new band for an image cut by ``grid``."""
        with self.beside():
            encoder = PixelEncoder(dtype, None, self.device)
            return TorchBand(grid, scale=self.scale, channels=channels, encoder=encoder)

    def _upload(self, tiles: Sequence[NDArray[Any]]) -> Tensor:
        """Return (N, 3, H, W) in [0, 1]."""
        kind = tiles[0].dtype
        levels = int(np.iinfo(kind).max) if kind.kind == "u" else None
        if kind == np.uint16:  # torch has few uint16 kernels: widen on the way
            tiles = [tile.astype(np.int32) for tile in tiles]
        x = upload(list(tiles), self.device).permute(0, 3, 1, 2).float()
        self.network.white_level = levels
        return (x if levels is None else x / float(levels)).expand(-1, 3, -1, -1)

    def _enlarge(self, x: Tensor, *given: Any) -> Tensor:
        """Enlarge a batch, of one picture for each of the tiles where they have no positions."""
        out = reduce(
            torch.add, (self._pass(number, x, *given) for number in self._passes)
        )
        if self.options.tta:
            out = out / len(self._passes)
        for correction in self.corrections:
            out = correction.apply(out, x)
        return out

    def _pass(
        self,
        number: int,
        x: Tensor,
        calibration: Calibration | None,
        positions: Tensor | None,
        half: torch.dtype | None,
    ) -> Tensor:
        """Enlarge a batch once, flipped and rotated, and turn the result back."""
        turns, mirrored = ORIENTATIONS[number]
        if positions is not None:
            positions = orient_positions(
                positions, x.shape[2], x.shape[3], turns, mirrored
            )
        values = calibration and {
            name: value[number] for name, value in calibration.items()
        }
        x = orient(x, turns, mirrored)
        height, width = x.shape[2:]
        size = (self.network.padded(height), self.network.padded(width))
        x = F.pad(x, (0, size[1] - width, 0, size[0] - height), mode="replicate")
        with (
            hold(self.network, values, positions, size),
            without_tf32(),
            torch.autocast(self.device.type, dtype=half, enabled=half is not None),
        ):
            out: Tensor = self._rgb_network(x.contiguous(memory_format=self._layout))
        out = out[:, :, : height * self.scale, : width * self.scale].float()
        return undo_orientation(out, turns, mirrored)


def keep_half_weights(network: Network, half: torch.dtype) -> None:
    """Let a network for inference keep rounded weights, its convolutions by ``HalfConv2d``."""
    for module in network.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = HalfConv2d
            for name in ("weight", "bias"):
                value = getattr(module, name)
                rounded = None if value is None else value.detach().to(half)
                module.register_buffer(f"half_{name}", rounded, persistent=False)
    if isinstance(network, GIDRN):
        merge_layers(network, half)


def bytes_per_pixel(network: Network, side: int = 96) -> float:
    """Return the memory that a network's largest fp32 tensors take at once, by input pixel.

    Nothing is computed. Half precision takes 0.3 to 0.8 of it.
    """
    try:
        twin = copy.deepcopy(network).to("meta")
        side = twin.padded(side)
        with torch.no_grad(), _Allocations() as seen:
            twin(torch.empty(1, 3, side, side, device="meta"))
    except Exception:  # noqa: BLE001 - a library's network may raise anything
        return UNKNOWN_BYTES
    return max(float(seen.peak / side**2), 1.0)


class _Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows how many bytes of tensors are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(
        self,
        call: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        found = call(*args, **(kwargs or {}))
        for tensor in (each for each in tree_leaves(found) if isinstance(each, Tensor)):
            memory = tensor.untyped_storage()
            if memory._cdata not in self.alive:
                self.alive[memory._cdata] = memory.nbytes()
                weakref.finalize(memory, self.alive.pop, memory._cdata)
        self.peak = max(self.peak, sum(self.alive.values()))
        return found


class RasterEngine:
    """Run a network on tiles of rasters, by the engine for photographs; see there for methods.

    Each band is in one of the ``groups``. Three go through the network as RGB, a single
    one as gray, of which luma comes out; ``gray`` says that red, green and blue are
    equal, and gives luma to all three. Values outside the network's range are clipped
    for it; what was clipped is enlarged by bicubic interpolation and added again, so
    that nothing is lost. Groups whose bands are ``interpolated`` are enlarged by it
    alone, in 64-bit floats where values have more than 16 bits.
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
        self.engine, self.network = engine, engine.network
        self.scale = engine.scale
        self.calibrates = engine.calibrates
        self.overlaps, self.beside = engine.overlaps, engine.beside
        self.groups = tuple(
            group for group in groups if not {*group} <= {*interpolated}
        )
        self._interpolated, self.gray = sorted(interpolated), gray
        # A view where they lie side by side: a list copies, pixel by pixel.
        self._bands: list[Any] = [
            slice(group[0], group[-1] + 1)
            if group == tuple(range(group[0], group[-1] + 1))
            else list(group)
            for group in self.groups
        ]
        self.values = values
        self.channels = sum(map(len, groups))
        self._plain = is_full_range(values) and not interpolated
        self._encoder = PixelEncoder(values.dtype, values, engine.device)
        self._shares = torch.tensor(GRAY_SHARES, device=engine.device).view(3, 1, 1)

    def batch_size(self, height: int, width: int) -> int:
        """Tiles to try at once; fewer of many bands, all of which stay on the device meanwhile."""
        most = 4 if self.overlaps else 8  # bands of two batches
        return max(
            1, self.engine.batch_size(height, width) * most // max(most, self.channels)
        )

    def calibrate(self, windows: Sequence[NDArray[Any]]) -> Calibration | None:
        """Measure a whole raster, one row for each group of bands; see ``start`` for windows."""
        if not self.groups:
            return None
        units = windows if self._plain else normalise(np.stack(windows), self.values)[0]
        found = (
            self.engine.calibrate([each[:, :, own] for each in units])
            for own in self._bands
        )
        rows = [each for each in found if each is not None]
        if len(rows) < len(self.groups):
            return None
        return {
            name: torch.cat([each[name] for each in rows], dim=1) for name in rows[0]
        }

    @within_memory
    def start(
        self,
        tiles: Sequence[NDArray[Any]],
        calibration: Calibration | None = None,
        positions: Sequence[Position] | None = None,
    ) -> Results:
        """Start to enlarge tiles (H, W, C) of the raster's dtype, all of its bands.

        They come (C, scale H, scale W), in units of the range, not clipped.
        """
        given: tuple[Any, NDArray[Any] | None] = (tiles, None)
        if not self._plain:
            given = normalise(np.stack(tiles), self.values, self._interpolated)
        units, excess = given

        def begun() -> Iterator[Results]:
            for row, bands in enumerate(self._bands):
                own = calibration and {
                    k: each[:, row : row + 1] for k, each in calibration.items()
                }
                yield self.engine.start(
                    [tile[:, :, bands] for tile in units], own, positions
                )

        # A processor has nothing to do beside, and takes less memory for one group at a
        # time.
        groups = list(begun()) if self.overlaps else begun()
        return partial(self._finish, len(tiles), tiles[0].shape[:2], groups, excess)

    @within_memory
    @torch.inference_mode()
    def _finish(
        self,
        count: int,
        shape: tuple[int, int],
        groups: Iterable[Results],
        excess: NDArray[Any] | None,
    ) -> list[Tensor | None]:
        bands: list[dict[int, Tensor]] = [{} for _ in range(count)]
        for group, results in zip(self.groups, groups, strict=True):
            for found, part in zip(bands, results(), strict=True):
                if part is not None:
                    if self.gray or len(group) == 1:
                        luma = (part * self._shares).sum(dim=0, keepdim=True)
                        part = luma.expand(len(group), -1, -1)
                    found.update(zip(group, part, strict=True))
        done: list[Tensor | None] = []
        device = self._encoder.device
        for number, found in enumerate(bands):
            if len(found) + len(self._interpolated) < self.channels:
                done.append(None)
                continue
            for band in self._interpolated:
                size = shape[0] * self.scale, shape[1] * self.scale
                found[band] = torch.zeros(size, device=device)
            tile = torch.stack([found[band] for band in range(self.channels)])
            if excess is not None and excess[number].any():
                clipped = upload(excess[number], device).permute(2, 0, 1)[None]
                tile = tile.to(device) + bicubic_resize(clipped, self.scale)[0]
            done.append(tile)
        return done

    @within_memory
    def band(self, grid: TileGrid, *, channels: int, dtype: np.dtype[Any]) -> TorchBand:
        """Return a new band; it gives rows of the raster's dtype and range."""
        assert (channels, dtype) == (self.channels, self.values.dtype)
        with self.beside():
            return TorchBand(
                grid, scale=self.scale, channels=channels, encoder=self._encoder
            )


Engine = TorchEngine | RasterEngine
"""Enlarges batches of tiles."""


def normalise(
    tiles: NDArray[Any], values: Values, interpolated: Sequence[int] = ()
) -> tuple[NDArray[np.float32], NDArray[Any] | None]:
    """Map the values of a file to [0, 1].

    The last axis are bands where these have ranges of their own; NaN becomes 0.
    Returned are the tiles clipped, and what clipping took away, in units of the range:
    float32 or float64, None where nothing lies outside. Of ``interpolated`` bands it
    takes away all.
    """
    # Differences of integers of 16 bits are exact in float32; floats may lie close
    # together, far from 0, and must not leave the range by rounding.
    ends = np.array(values.ranges, np.float64)
    whole = bool((ends == np.rint(ends)).all())
    units: NDArray[Any] = tiles.astype(
        "f4" if whole and is_narrow(tiles.dtype) else "f8"
    )
    low, high = ends.T if len(ends) > 1 else ends[0]
    units -= low
    units /= high - low
    if tiles.dtype.kind == "f":
        np.nan_to_num(units, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    clipped = units.clip(0.0, 1.0)
    if len(interpolated):
        clipped[..., list(interpolated)] = 0.0
    units -= clipped
    return clipped.astype(np.float32, copy=False), units if units.any() else None
