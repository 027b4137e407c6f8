"""Prepare models for a benchmark, and time them in turn on one picture, round by round."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from srcli.errors import ModelError
from srcli.inference.device import Precision, choose_device
from srcli.inference.engine import TorchEngine
from srcli.inference.engines import EngineOptions, make_engine, network_half, run_one
from srcli.inference.stream import ArraySink, ArraySource, make_job
from srcli.inference.tiling import Tiling
from srcli.metrics.efficiency import count_macs, peak_memory
from srcli.metrics.machine import processors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.inference.stream import ImageJob
    from srcli.layers.network import Network
    from srcli.ports.progress import Task

FEWEST_ROUNDS, MOST_ROUNDS = 3, 100
"""Bounds of the number of rounds chosen by time."""
BUSY_LOAD, BUSY_SPREAD = 0.3, 1.3
"""Load for each processor before the first round, and slowest round as a multiple of the median,
above which the machine was busy with something else."""
_NAMES: dict[torch.dtype | None, Precision] = {
    None: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}


@dataclass(frozen=True, kw_only=True)
class PreparedModel:
    """A model at one scale in one number format, ready to run."""

    label: str
    scale: int
    precision: Precision
    """Actual number format, never ``auto``."""
    plain: bool
    """fp32 in PyTorch's default layout, tile after tile."""
    engine: TorchEngine
    tiling: Tiling

    @property
    def title(self) -> str:
        """Label, scale and number format, for progress and messages."""
        how = name_format(self.precision, plain=self.plain, engine=self.engine.name)
        return f"{self.label} x{self.scale} {how}"


@dataclass(kw_only=True)
class BenchCase:
    """Timings of one model on one picture, (H, W, 3) uint8."""

    model: PreparedModel
    picture: NDArray[Any]
    peak: int | None = None
    """Peak memory in bytes; measured by ``warm_up``."""
    seconds: list[float] = field(default_factory=list)
    """Of the rounds so far."""

    def work(self) -> ImageJob:
        """Cut the picture into tiles, as ``srx upscale`` does.

        Raises:
            UsageError: If tile and overlap do not fit each other.
        """
        height, width = (length * self.model.scale for length in self.picture.shape[:2])
        return make_job(
            ArraySource(self.picture),
            ArraySink(height, width, 3, self.picture.dtype),
            name="picture",
            scale=self.model.scale,
            tiling=self.model.tiling,
        )

    def run(self) -> None:
        """Enlarge the picture."""
        run_one(self.model.engine, self.work())

    def warm_up(self) -> None:
        """Run once without timing, and measure memory."""
        peak = peak_memory(self.run, self.model.engine.device)
        self.peak = peak if self.model.engine.name == "torch" else None  # PyTorch counts its own

    def time_round(self) -> None:
        """Run once and record the seconds."""
        device = self.model.engine.device
        _synchronize(device)
        start = time.perf_counter()
        self.run()
        _synchronize(device)
        self.seconds.append(time.perf_counter() - start)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Speed of one model in one number format on one picture."""

    scale: int
    model: str
    precision: str
    """``fp32``, ``bf16`` or ``fp16``."""
    plain: bool
    """The reference run: fp32 in PyTorch's default layout, tile after tile."""
    size: tuple[int, int]
    """LR (height, width) of the picture."""
    tiles: int
    tile: tuple[int, int]
    """(height, width) of a tile, input pixels."""
    overlap: int
    batch: int
    """Tiles at once."""
    conv_macs: int | None
    """Multiply-accumulates of the convolutions for the picture in one piece; None where they cannot
    be counted."""
    seconds: tuple[float, ...]
    """Of every round, in order: one picture from memory to memory."""
    peak_memory: int | None
    """Most bytes that PyTorch held beside the weights; None if it cannot be measured."""
    engine: str = "torch"
    """``torch`` or ``openvino``."""
    times_plain: float | None = None
    """Speed as a multiple of the plain run of the same model; None without one."""

    @property
    def median(self) -> float:
        """Median seconds of one picture."""
        return median(self.seconds)

    @property
    def sr_megapixels_per_second(self) -> float:
        """Millions of SR pixels per second, by the median."""
        return self.size[0] * self.size[1] * self.scale**2 / 1e6 / self.median

    @property
    def format(self) -> str:
        """Number format and engine in short."""
        return name_format(self.precision, plain=self.plain, engine=self.engine)

    def as_json(self) -> dict[str, Any]:
        """Return all fields and figures derived from them as JSON values."""
        return {
            **asdict(self),
            "rounds": len(self.seconds),
            "median_seconds": self.median,
            "fastest_seconds": min(self.seconds),
            "slowest_seconds": max(self.seconds),
            "pictures_per_second": 1 / self.median,
            "sr_megapixels_per_second": self.sr_megapixels_per_second,
        }


def name_format(precision: str, *, plain: bool, engine: str) -> str:
    """Return ``plain``, or the number format, with the engine before it if it is not PyTorch."""
    if plain:
        return "plain"
    return precision if engine == "torch" else f"{engine} {precision}"


def prepare_models(
    network: Network,
    options: EngineOptions,
    precisions: Sequence[Precision],
    *,
    plain: bool,
    tiling: Tiling,
    label: str,
) -> Iterator[PreparedModel]:
    """Make an engine of a network for each number format, and optionally a plain one.

    The network is copied. Formats that are the same on this device run once; the plain engine is
    in fp32, PyTorch's default layout, one tile at a time.

    Raises:
        UsageError: If the device lacks a number format.
    """
    device = choose_device(options.device)
    formats = dict.fromkeys(_NAMES[network_half(network, device, each)] for each in precisions)
    kinds = [replace(options, precision=each) for each in formats]
    if plain:
        kinds.append(replace(options, precision="fp32", plain=True, batch=1))
    for kind in kinds:
        yield PreparedModel(
            label=label,
            scale=network.scale,
            precision=kind.precision,
            plain=kind.plain,
            # A copy for each: engines change the memory layout of the weights.
            engine=make_engine(copy.deepcopy(network), kind),
            tiling=tiling,
        )


def time_rounds(
    cases: Sequence[BenchCase], *, rounds: int | None, seconds: float, task: Task
) -> None:
    """Run cases in turn, round by round, every second round backwards.

    So a machine that becomes slower or faster meanwhile treats them alike.

    Args:
        cases: Of one picture size and scale.
        rounds: Number of rounds; None takes as many as fit into ``seconds``.
        seconds: For all cases together.
        task: Advanced by every run.
    """
    for case in cases:
        task.describe(case.model.title)
        case.warm_up()
        task.advance(1)
    planned = rounds or FEWEST_ROUNDS
    done = 0
    while done < planned:
        start = time.perf_counter()
        for case in cases if done % 2 == 0 else reversed(cases):
            case.time_round()
            task.advance(1)
        done += 1
        if done == 1 and rounds is None:
            planned = rounds_within(seconds, time.perf_counter() - start)
            task.grow((planned - FEWEST_ROUNDS) * len(cases))


def rounds_within(seconds: float, each: float) -> int:
    """Return the number of rounds of ``each`` seconds that fit, from 3 to 100."""
    return max(FEWEST_ROUNDS, math.floor(min(seconds / max(each, 1e-9), MOST_ROUNDS)))


def runs_planned(cases: int, rounds: int | None) -> int:
    """Return the least number of runs in ``time_rounds``, warm-up included."""
    return cases * (1 + (rounds or FEWEST_ROUNDS))


def make_speeds(cases: Sequence[BenchCase]) -> Iterator[Speed]:
    """Summarise the rounds of cases of one picture size and scale."""
    plain = {case.model.label: median(case.seconds) for case in cases if case.model.plain}
    for case in cases:
        model = case.model
        grid = case.work().grid
        size = (case.picture.shape[0], case.picture.shape[1])
        network = model.engine.network
        compared = model.label in plain and not model.plain
        yield Speed(
            scale=model.scale,
            model=model.label,
            precision=model.precision,
            plain=model.plain,
            engine=model.engine.name,
            size=size,
            tiles=grid.count,
            tile=(grid.tile_height, grid.tile_width),
            overlap=grid.overlap,
            batch=min(grid.count, model.engine.batch_size(grid.tile_height, grid.tile_width)),
            conv_macs=_macs(network, size),
            seconds=tuple(case.seconds),
            peak_memory=case.peak,
            times_plain=plain[model.label] / median(case.seconds) if compared else None,
        )


def _macs(network: Network, size: tuple[int, int]) -> int | None:
    try:
        return count_macs(network, *size).conv_macs
    except ModelError:
        return None


def busy_note(load: float | None, speeds: Sequence[Speed]) -> str | None:
    """Return a note if something else ran meanwhile, as load and spread show; else None.

    Args:
        load: Load average before the first round.
        speeds: All that was measured.
    """
    signs = []
    if load is not None and load > BUSY_LOAD * processors():
        signs.append(f"load average {load:.1f} on {processors()} processors at the start")
    spread = max((max(speed.seconds) / speed.median for speed in speeds), default=1.0)
    if spread > BUSY_SPREAD:
        signs.append(f"slowest round {spread:.1f} times the median")
    if not signs:
        return None
    return f"Busy machine: {', '.join(signs)}. Repeat on an idle one; these times are too long."


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
