"""Models made ready to run, and the rounds in which they run in turn on one picture."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from srcli.evaluation.cost import fitting_size
from srcli.inference.device import Precision, choose_device, half_type
from srcli.inference.edges import make_work
from srcli.inference.engine import TorchEngine
from srcli.inference.engines import EngineOptions, make_engine, run_one
from srcli.inference.memory import ArraySink, ArraySource
from srcli.inference.tiling import Tiling
from srcli.metrics.efficiency import count_macs
from srcli.metrics.memory import peak_memory
from srcli.pipelines.bench.results import Speed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.inference.stream import Work
    from srcli.layers.network import Network
    from srcli.ports.progress import Task

FEWEST_ROUNDS, MOST_ROUNDS = 3, 100
"""Bounds of the rounds that fit into the time."""
_NAMES: dict[torch.dtype | None, Precision] = {
    None: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}


@dataclass(frozen=True, kw_only=True)
class PreparedModel:
    """A model at one scale in one number format, ready to run."""

    model: str
    """Its label."""
    scale: int
    precision: Precision
    """As it runs, never ``auto``."""
    plain: bool
    """fp32 in PyTorch's default layout, tile after tile."""
    engine: TorchEngine
    tiling: Tiling

    @property
    def title(self) -> str:
        """What progress says of it."""
        return f"{self.model} x{self.scale} {'plain' if self.plain else self.precision}"


@dataclass(kw_only=True)
class BenchCase:
    """A contender on one picture, (H, W, 3) uint8."""

    contender: PreparedModel
    picture: NDArray[Any]
    peak: int | None = None
    """Bytes; measured by ``warm_up``."""
    seconds: list[float] = field(default_factory=list)
    """Of the rounds so far."""

    def work(self) -> Work:
        """Cut the picture into tiles, as ``srx upscale`` does.

        Raises:
            UsageError: If tile and overlap do not fit each other.
        """
        own = self.contender
        height, width = (length * own.scale for length in self.picture.shape[:2])
        return make_work(
            ArraySource(self.picture),
            ArraySink(height, width, 3, self.picture.dtype),
            name="picture",
            scale=own.scale,
            tiling=own.tiling,
        )

    def run(self) -> None:
        """Enlarge the picture."""
        run_one(self.contender.engine, self.work())

    def warm_up(self) -> None:
        """Run without a clock, and measure memory."""
        peak = peak_memory(self.run, self.contender.engine.device)
        self.peak = None if peak is None else peak.bytes

    def clock(self) -> None:
        """Run one round."""
        device = self.contender.engine.device
        _synchronize(device)
        start = time.perf_counter()
        self.run()
        _synchronize(device)
        self.seconds.append(time.perf_counter() - start)


def prepare_models(
    network: Network,
    options: EngineOptions,
    precisions: Sequence[Precision],
    *,
    plain: bool,
    tiling: Tiling,
    model: str,
) -> Iterator[PreparedModel]:
    """Make engines of one network, one a number format, and one that runs plainly.

    Args:
        network: From ``load_model``; it is copied.
        options: Device, batch, averaging.
        precisions: What is asked for; those that come to the same on this device run once.
        plain: Whether to add the plain one.
        tiling: Of the model.
        model: Its label.

    Raises:
        UsageError: If the device lacks a number format.
    """
    device = choose_device(options.device)
    formats = dict.fromkeys(_NAMES[half_type(device, each)] for each in precisions)
    kinds = [replace(options, precision=each) for each in formats]
    if plain:
        kinds.append(replace(options, precision="fp32", plain=True, batch=1))
    for kind in kinds:
        # A copy each: engines lay weights out differently and would undo each other's layout.
        yield PreparedModel(
            model=model,
            scale=network.scale,
            precision=kind.precision,
            plain=kind.plain,
            engine=make_engine(copy.deepcopy(network), kind),
            tiling=tiling,
        )


def time_rounds(
    cases: Sequence[BenchCase], *, rounds: int | None, seconds: float, task: Task
) -> None:
    """Run cases in turn, round by round, every second round backwards.

    So a machine that gets slower or faster meanwhile treats them alike.

    Args:
        cases: Of one picture size and scale.
        rounds: How many; None takes as many as fit into ``seconds``.
        seconds: For all cases together.
        task: Told of every run.
    """
    for case in cases:
        task.describe(case.contender.title)
        case.warm_up()
        task.advance(1)
    planned = rounds or FEWEST_ROUNDS
    done = 0
    while done < planned:
        start = time.perf_counter()
        for case in cases if done % 2 == 0 else reversed(cases):
            case.clock()
            task.advance(1)
        done += 1
        if done == 1 and rounds is None:
            planned = rounds_within(seconds, time.perf_counter() - start)
            task.grow((planned - FEWEST_ROUNDS) * len(cases))


def rounds_within(seconds: float, each: float) -> int:
    """Return how many rounds of ``each`` seconds fit, within ``FEWEST_`` and ``MOST_ROUNDS``."""
    return max(FEWEST_ROUNDS, math.floor(min(seconds / max(each, 1e-9), MOST_ROUNDS)))


def runs_planned(cases: int, rounds: int | None) -> int:
    """Return how many runs ``time_rounds`` makes at least, warm-up included."""
    return cases * (1 + (rounds or FEWEST_ROUNDS))


def make_speeds(cases: Sequence[BenchCase]) -> Iterator[Speed]:
    """Turn the rounds of cases of one picture size and scale into results."""
    plain = {case.contender.model: median(case.seconds) for case in cases if case.contender.plain}
    for case in cases:
        own = case.contender
        grid = case.work().grid
        size = (case.picture.shape[0], case.picture.shape[1])
        network = own.engine.network
        compared = own.model in plain and not own.plain
        yield Speed(
            scale=own.scale,
            model=own.model,
            precision=own.precision,
            plain=own.plain,
            size=size,
            tiles=grid.count,
            tile=(grid.tile_height, grid.tile_width),
            overlap=grid.overlap,
            batch=min(grid.count, own.engine.batch_size(grid.tile_height, grid.tile_width)),
            conv_macs=count_macs(network, *fitting_size(network, size)).conv_macs,
            seconds=tuple(case.seconds),
            peak_memory=case.peak,
            times_plain=plain[own.model] / median(case.seconds) if compared else None,
        )


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
