"""Engines of models: built on a network and its tiles, and kept for a run.

Upscaling and benchmarks run on them; torch is imported for them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING

from srcli.imaging.pixels.arrays import Array
from srcli.inference.device import EngineOptions, choose_device, half_type, network_half
from srcli.inference.stream import array_job, run_one
from srcli.inference.tiling import Tiling, choose_tiling
from srcli.models import entry_of
from srcli.models.loading import load_model, make_crisper, mixed
from srcli.models.weights import (
    PHOTO_MODEL,
    file_of_model,
    is_mixed,
)
from srcli.ports import TileGrid

if TYPE_CHECKING:
    from srcli.inference.engine import Engine, TorchEngine
    from srcli.layers.network import Network
    from srcli.models import NetworkEntry


def make_engine(
    network: Network,
    options: EngineOptions,
    *,
    bits: int = 8,
    entry: NetworkEntry | None = None,
) -> TorchEngine:
    """Put a network on a device; ``auto`` precision keeps fp32 for pictures of more than 8 bits.

    ``entry`` is the network's in the table of models, by which its faults are corrected.
    """
    import torch

    from srcli.inference.corrections import choose_corrections
    from srcli.inference.engine import TorchEngine
    from srcli.inference.fusing.convolutions import fuse
    from srcli.machine import keep_freed_memory

    device = choose_device(options.device)
    half = network_half(network, device, options.precision, bits=bits)
    if not options.plain:
        with torch.random.fork_rng(devices=()):  # fused layers begin as random ones
            network = fuse(network, device, half)
    if device.type == "cpu":
        keep_freed_memory()
    return TorchEngine(
        network,
        options,
        device=device,
        half=None if options.plain else half,
        corrections=choose_corrections(options, entry),
        # code of others may not be copied, nor run by several threads at once
        has_lanes=not (network.origin or options.plain),
    )


def enlarge_array(
    engine: Engine,
    pixels: Array,
    grid: TileGrid | None = None,
    *,
    name: str = "picture",
) -> Array:
    """Enlarge an array (H, W, 1 or 3) as it is, by tiles, or whole where ``grid`` is None.

    Errors name it by ``name``.
    """
    if grid is None:
        height, width = pixels.shape[:2]
        grid = Tiling(tile=max(height, width), overlap=0).grid(height, width)
    job, enlarged = array_job(pixels, grid, name=name, scale=engine.scale)
    run_one(engine, job)
    return enlarged


class EnginePool:
    """Engines of one model, one for each precision that its pictures need; built on first use."""

    def __init__(self, model: str, scale: int, options: EngineOptions) -> None:
        self.model = model
        self.scale = scale
        self.options = options
        self._engines: dict[object, TorchEngine] = {}
        self._device = choose_device(options.device)
        # refuse wrong options now
        half_type(self._device, options.precision)

    @property
    def details(self) -> tuple[str, ...]:
        """Lines for --verbose: what is slower on this device than it might be."""
        import torch

        from srcli.inference.fusing import onednn

        is_unpacked = self._device.type != "cpu" or self.options.plain
        if is_unpacked or not onednn.find_fault(torch.float32):
            return ()
        return (f"convolutions: {onednn.describe_convolutions()}",)

    @cached_property
    def network(self) -> Network:
        """The network in evaluation mode; ModelError as of ``load_model``."""
        network = load_model(
            self.model, self.scale, value_range=self.options.value_range
        )
        strength = self.options.strength
        if strength and self.model == PHOTO_MODEL:
            make_crisper(network, strength)
        elif strength is not None and is_mixed(self.model):
            network = mixed(network, strength)
        return network

    def engine(self, bits: int) -> TorchEngine:
        """Engine for pictures of this depth."""
        half = half_type(self._device, self.options.precision, bits=bits)
        if half not in self._engines:
            network = self.network
            # Each engine changes the layout of its network; all but plain ones work on a
            # copy already (``fuse``).
            if self.options.plain:
                network = copy.deepcopy(network)
            self._engines[half] = make_engine(
                network,
                self.options,
                bits=bits,
                entry=entry_of(self.model, self.network),
            )
        return self._engines[half]

    def tiling(self, tile: int | None = None, overlap: int | None = None) -> Tiling:
        """Return the tiling of the network, or what the user asked for."""
        return choose_tiling(self.model, self.network, tile, overlap)


def pools_of_run(options: EngineOptions) -> Callable[[str, int], EnginePool]:
    """Return what gives the engines of a model at a scale, the same ones for a whole run.

    Those of an earlier run where nothing has changed: the last eight stay loaded. A
    weights file that is replaced or removed during the run changes nothing in it.
    """

    @cache
    def pool(model: str, scale: int) -> EnginePool:
        _, changed = file_of_model(model, scale)
        return _kept_pool(options, model, scale, changed)

    return pool


@lru_cache(maxsize=8)
def _kept_pool(
    options: EngineOptions, model: str, scale: int, _changed: int
) -> EnginePool:
    return EnginePool(model, scale, options)
