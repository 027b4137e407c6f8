"""Build the engine that upscaling, evaluation and benchmarks run on; torch is imported for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.imaging.pixels.arrays import Array
from srcli.inference.device import EngineOptions, choose_device, network_half
from srcli.inference.stream import array_job, run_one
from srcli.inference.tiling import Tiling
from srcli.ports import TileGrid

if TYPE_CHECKING:
    from srcli.inference.engine import Engine, TorchEngine
    from srcli.layers.network import Network


def make_engine(
    network: Network,
    options: EngineOptions,
    *,
    bits: int = 8,
    whole_pictures: bool = False,
    hold_colours: bool = False,
) -> TorchEngine:
    """Put a network on a device; ``auto`` precision keeps fp32 for pictures of more than 8 bits.

    With ``whole_pictures``, few tiles and no mirrored edges, it is not fused.
    ``hold_colours`` is for networks that shift colours.
    """
    import torch

    from srcli.inference.engine import TorchEngine
    from srcli.inference.fusing.convolutions import fuse
    from srcli.machine import keep_freed_memory

    device = choose_device(options.device)
    half = network_half(network, device, options.precision, bits=bits)
    if not (options.plain or whole_pictures):
        with torch.random.fork_rng(devices=()):  # fused layers begin as random ones
            network = fuse(network, device, half)
    if device.type == "cpu":
        keep_freed_memory(whole_pictures=whole_pictures)
    return TorchEngine(
        network,
        options,
        device=device,
        half=None if options.plain else half,
        hold_colours=hold_colours,
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
