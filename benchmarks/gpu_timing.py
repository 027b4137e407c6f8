"""Timings of ``gpu.py``: networks, engine, copies and training on a device."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from skimage import data

from srcli.data.training_set import Pairs
from srcli.imaging.pixels.resize import downscale
from srcli.inference.device import EngineOptions
from srcli.inference.engines import make_engine
from srcli.inference.fusing.convolutions import keep_half_weights
from srcli.inference.stream import array_job, run_one
from srcli.inference.tiling import choose_tiling
from srcli.layers.colour import as_rgb_network
from srcli.models import MODELS, build_network
from srcli.models.loading import load_model
from srcli.models.weights import shipped_scales
from srcli.pipelines.train.data import make_sampler
from srcli.pipelines.train.network import first_network
from srcli.pipelines.train.numerics import choose_numerics
from srcli.ports import Progress
from srcli.recipes.files import RECIPES
from srcli.training.loop import Trainer
from srcli.training.optimizers import Muon
from srcli.training.steps import StepContext

if TYPE_CHECKING:
    from srcli.inference.engine import TorchEngine
    from srcli.inference.tiling import Tiling

SCALE = 4
HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}
Rows = Iterator[list[str]]


def load(name: str) -> torch.nn.Module:
    """Return a network with its weights, or with random ones where none are shipped."""
    torch.manual_seed(0)
    has = name in MODELS and SCALE in shipped_scales(name)
    network = load_model(name, SCALE) if has else build_network(name, scale=SCALE)
    return network.deploy()


def photo(height: int, width: int) -> np.ndarray:
    whole = data.astronaut()
    repeats = (-(-height // whole.shape[0]), -(-width // whole.shape[1]), 1)
    return np.ascontiguousarray(np.tile(whole, repeats)[:height, :width])


def enlarge(engine: TorchEngine, picture: np.ndarray, tiling: Tiling) -> np.ndarray:
    grid = tiling.padded_grid(*picture.shape[:2])
    job, enlarged = array_job(picture, grid, name="picture", scale=SCALE)
    run_one(engine, job)
    return enlarged


def seconds_of(
    call: Callable[[], object], device: torch.device, rounds: int
) -> list[float]:
    """Time a call after two that warm up."""
    spent = []
    for _ in range(rounds + 2):
        wait(device)
        start = time.perf_counter()
        call()
        wait(device)
        spent.append(time.perf_counter() - start)
    return spent[2:]


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def milliseconds(spent: list[float]) -> str:
    return (
        f"{median(spent) * 1000:.2f} ({min(spent) * 1000:.2f}–{max(spent) * 1000:.2f})"
    )


def graphed(
    network: torch.nn.Module, x: torch.Tensor, half: torch.dtype
) -> Callable[[], object]:
    """Return a forward pass as a CUDA graph for one shape."""

    def forward() -> torch.Tensor:
        with torch.autocast("cuda", dtype=half, cache_enabled=False):
            return network(x)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            forward()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward()
    return graph.replay


def ways_to_run(
    network: torch.nn.Module, x: torch.Tensor
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield forward passes of the same batch, each made when the one before has been timed."""
    device = x.device.type
    cuda = device == "cuda"

    def forward(
        half: torch.dtype | None = None, net: Any = network
    ) -> Callable[[], object]:
        def call() -> object:
            with torch.autocast(device, dtype=half, enabled=half is not None):
                return net(x)

        return call

    torch.backends.cudnn.allow_tf32 = False
    yield "eager fp32", forward()
    torch.backends.cudnn.allow_tf32 = True
    yield "fp32, TF32", forward()
    network.to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)
    yield "fp32, TF32, channels_last", forward()
    for name, half in HALVES.items():
        yield f"{name}, channels_last", forward(half)
    torch.backends.cudnn.benchmark = True
    yield "fp16, channels_last, cudnn.benchmark", forward(torch.float16)
    if cuda:
        yield (
            "fp16, channels_last, cudnn.benchmark, CUDA graph",
            graphed(network, x, torch.float16),
        )
        # as the engine does, before it is moved
        keep_half_weights(network.cpu(), torch.float16)
        network.to(device, memory_format=torch.channels_last)
        yield "fp16 as srx upscale runs it", forward(torch.float16)
    torch.backends.cudnn.benchmark = False


def time_networks(given: Any) -> Rows:
    """Time forward passes; the last column is the speed as a multiple of eager fp32."""
    shapes = (
        ((1, 24, 32), (2, 16, 16)) if given.quick else ((1, 80, 120), (16, 192, 192))
    )
    for name in given.timed:
        for shape in shapes:
            network = as_rgb_network(load(name)).to(given.device).eval()
            x = torch.rand(shape[0], 3, *shape[1:], device=given.device)
            first = 0.0
            with torch.inference_mode(mode=False), torch.no_grad():
                for way, call in ways_to_run(network, x):
                    try:
                        spent = seconds_of(call, given.device, 2 if given.quick else 10)
                    except Exception as error:  # noqa: BLE001 - a way that fails is a result
                        yield [
                            name,
                            "x".join(map(str, shape)),
                            way,
                            f"failed: {str(error)[:80]}",
                            "",
                            "",
                        ]
                        continue
                    first = first or median(spent)
                    rate = shape[0] / median(spent)
                    ratio = first / median(spent)
                    yield [
                        name,
                        "x".join(map(str, shape)),
                        way,
                        milliseconds(spent),
                        f"{rate:.1f}",
                        f"{ratio:.2f}",
                    ]


def sweep_tiles(given: Any) -> Rows:
    """Time the whole engine, from uint8 to uint8 in memory, by tile and batch."""
    side, tiles, batches = 2048, (192, 96, 256, 384, 128), (None, 16, 1)
    if given.quick:
        side, tiles, batches = 96, (32, 48), (None, 1)
    picture = photo(side, side)
    cuda = given.device.type == "cuda"
    precision = "fp16" if cuda else "fp32"
    for tile, name in product(tiles, given.timed[:2]):
        tiling = choose_tiling(name, load(name), tile)
        for batch in batches:
            options = EngineOptions(
                device=str(given.device), precision=precision, batch=batch
            )
            engine = make_engine(load(name), options)
            call = lambda: enlarge(engine, picture, tiling)  # noqa: B023, E731 - called at once
            spent = seconds_of(call, given.device, 1 if given.quick else 2)
            rate = side * side * SCALE**2 / 1e6 / median(spent)
            chosen = (
                f"auto ({engine.batch_size(tile, tile)})"
                if batch is None
                else str(batch)
            )
            yield [
                name,
                type(engine).__name__,
                str(tile),
                chosen,
                milliseconds(spent),
                f"{rate:.0f}",
            ]


def time_convolutions(given: Any) -> Rows:
    """Time 3x3 convolutions by width: for some, cuDNN has a slow kernel in one of the types."""
    count, side = (1, 32) if given.quick else (16, 192)
    last: Any = torch.channels_last
    for width in (48, 56, 64, 72, 80, 96):
        row = [str(width)]
        for half in HALVES.values():
            kind = {"device": given.device, "dtype": half}
            x = torch.randn(count, width, side, side, **kind).contiguous(
                memory_format=last
            )
            weight = torch.randn(width, width, 3, 3, **kind).contiguous(
                memory_format=last
            )
            bias = torch.zeros(width, **kind)
            for tuned in (False, True):
                torch.backends.cudnn.benchmark = tuned
                call = lambda: F.conv2d(x, weight, bias, padding=1)  # noqa: B023, E731 - at once
                row.append(milliseconds(seconds_of(call, given.device, 10)))
        torch.backends.cudnn.benchmark = False
        yield row


def time_transfers(given: Any) -> Rows:
    """Time copies of 48 MiB, and a wait for the device."""
    if given.device.type != "cuda":
        return
    size = 48 << 20
    host, pinned = (
        torch.empty(size, dtype=torch.uint8),
        torch.empty(size, dtype=torch.uint8).pin_memory(),
    )
    there = torch.empty(size, dtype=torch.uint8, device=given.device)
    calls: dict[str, Callable[[], object]] = {
        "to the GPU, ordinary memory": lambda: there.copy_(host),
        "to the GPU, pinned": lambda: there.copy_(pinned, non_blocking=True),
        "pin_memory() of 48 MiB": host.pin_memory,
        "from the GPU, ordinary memory": lambda: there.cpu(),
        "from the GPU, pinned": lambda: pinned.copy_(there, non_blocking=True),
    }
    for name, call in calls.items():
        spent = seconds_of(call, given.device, 10)
        yield [name, milliseconds(spent), f"{size / median(spent) / 1e9:.1f}"]


def time_training(given: Any) -> Rows:
    """Time iterations of the trainer on pictures in the device's memory."""
    rows = (
        ("muon", "bf16", 32, 48, True),
        ("muon", "bf16", 32, 48, False),
        ("muon", "fp32", 32, 48, True),
        ("adam", "bf16", 32, 48, True),
        ("adam", "bf16", 32, 48, False),
        ("muon", "bf16", 8, 48, True),
        ("muon", "bf16", 128, 48, True),
        ("muon", "bf16", 128, 48, False),
    )
    if given.quick:
        rows = (("muon", "bf16", 2, 16, False), ("adam", "fp32", 2, 16, False))
    for kind, precision, batch, patch, graphs in rows:
        count = 1 if given.quick else 10
        spent = time_steps(given, kind, precision, batch, patch, graphs, count)
        yield [
            kind,
            precision,
            str(batch),
            str(patch),
            "yes" if graphs else "no",
            f"{count / median(spent):.2f}",
        ]
    network = load("g-idrn").to(given.device)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer = Muon(network, lr=1e-4)
    spent = seconds_of(optimizer.step, given.device, 2 if given.quick else 10)
    yield ["a step of Muon alone", "fp32", "", "", "", f"{1 / median(spent):.2f}"]


def time_steps(
    given: Any,
    kind: str,
    precision: str,
    batch: int,
    patch: int,
    graphs: bool,
    count: int,
) -> list[float]:
    """Time ``count`` iterations, three times."""
    crops = [photo(256, 320)[:, i : i + 192].copy() for i in range(0, 128, 8)]
    stage = RECIPES["g-idrn"].stages[0]
    optimizer = replace(stage.optimizer, kind=kind)
    stage = replace(stage, batch=batch, patch=patch, optimizer=optimizer)
    recipe = replace(RECIPES["g-idrn"], stages=(stage,))
    numerics = replace(choose_numerics(str(given.device), precision), graphs=graphs)
    pairs = Pairs(
        scale=SCALE, hr=list(crops), lr=[downscale(c, SCALE) for c in crops], digest=""
    )
    network = numerics.placed(first_network(recipe, scale=SCALE, seed=0))
    context = StepContext(network=network, numerics=numerics)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            context=context,
            recipe=recipe,
            batch=make_sampler(pairs, recipe, context, Progress()).batch,
            folder=Path(folder),
        )
        network.train()

        def several() -> None:
            for _ in range(count):
                trainer.train_on_batch(stage, 0.5)
                trainer.position.total += (
                    1  # else its patches would not be those made ahead
                )

        return seconds_of(several, given.device, 2 if given.quick else 3)


def time_compiled(given: Any) -> Rows:
    """Time g-idrn compiled by torch.compile beside itself; half a minute is spent on compiling."""
    size = (1, 3, 24, 32) if given.quick else (64, 3, 192, 192)
    x = torch.rand(size, device=given.device).contiguous(
        memory_format=torch.channels_last
    )
    half = torch.float16 if given.device.type == "cuda" else torch.bfloat16
    network = load("g-idrn")
    keep_half_weights(network, half)
    network = (
        as_rgb_network(network)
        .to(given.device)
        .eval()
        .to(memory_format=torch.channels_last)
    )
    with torch.no_grad(), torch.autocast(given.device.type, half):
        for name, net in (
            ("eager", network),
            ("compiled", torch.compile(network, dynamic=False)),
        ):
            start = time.perf_counter()
            net(x)
            wait(given.device)
            first = time.perf_counter() - start
            spent = seconds_of(
                lambda net=net: net(x), given.device, 2 if given.quick else 10
            )
            yield [name, "x".join(map(str, size)), f"{first:.1f}", milliseconds(spent)]
