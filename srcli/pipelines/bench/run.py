"""Benchmark models: speed, memory and work, side by side in one process."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from srcli.errors import UsageError
from srcli.evaluation.candidates import short_labels, unique_models
from srcli.inference.device import Precision, choose_device
from srcli.inference.engines import EngineName, EngineOptions, choose_tiling
from srcli.metrics.efficiency import ModelCost, model_cost
from srcli.metrics.machine import Machine, describe_machine, load_average, threads
from srcli.models import MODELS, build_network, find_entry
from srcli.models.weights import load_model, weights_path
from srcli.pipelines.bench.timing import (
    BenchCase,
    Speed,
    busy_note,
    make_speeds,
    prepare_models,
    runs_planned,
    time_rounds,
)
from srcli.ports.progress import NoProgress, Progress
from srcli.recipes.published import PublishedRow, published_costs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from srcli.layers.network import Network
    from srcli.pipelines.bench.timing import PreparedModel

    Array = NDArray[Any]

METHOD = (
    "Time: one picture (scikit-image's astronaut, mirrored to the size) from memory to memory "
    "through the engine, tiles and blending of srx upscale; every model and number format in turn, "
    "round by round, after a warm-up that does not count; median, fastest and slowest round. MACs: "
    "of the picture in one piece. Memory: the most that PyTorch held at once beside the weights."
)
PLAIN = " Plain: the same network and tiles in fp32, PyTorch's default layout, one tile at a time."


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Options of a benchmark."""

    scales: tuple[int, ...] = (4,)
    sizes: tuple[tuple[int, int], ...] = ((256, 256),)
    """LR (height, width) of the pictures."""
    precisions: tuple[Precision, ...] = ("auto",)
    """``auto`` is the choice of ``srx upscale`` for 8-bit pictures."""
    engines: tuple[EngineName, ...] = ("auto",)
    """Likewise."""
    engine: EngineOptions = field(default_factory=EngineOptions)
    """Device, batch, averaging; its precision and engine are not used."""
    tile: int | None = None
    """Input pixels; None takes each model's default."""
    overlap: int | None = None
    rounds: int | None = None
    """None takes as many as fit into ``seconds``."""
    seconds: float = 5.0
    """For each scale and size, all models together."""
    compare_plain: bool = False
    """Run each model also in fp32, default layout, tile after tile."""
    threads: int | None = None
    """PyTorch's threads; None keeps their number."""
    published: Literal["models", "all"] | None = None
    """Costs printed in papers to show: those of the models, or all."""

    def __post_init__(self) -> None:
        """Refuse impossible numbers.

        Raises:
            UsageError: With the bound.
        """
        shortest = min((length for size in self.sizes for length in size), default=1)
        for option, value, least in (
            ("--size", shortest, 1),
            ("--rounds", self.rounds, 1),
            ("--seconds", self.seconds, 0),
            ("--threads", self.threads, 1),
        ):
            if value is not None and not value >= least:
                raise UsageError(f"{option} must be at least {least}, got {value}")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """All figures of a benchmark."""

    machine: Machine
    how: str
    """Description of the method of measuring."""
    costs: tuple[ModelCost, ...]
    """Of every model at every scale."""
    speeds: tuple[Speed, ...]
    published: tuple[PublishedRow, ...] = ()
    """Costs printed in papers, to show beside these."""
    busy: str | None = None
    """Note that something else ran meanwhile; None where nothing shows it."""

    def as_json(self) -> dict[str, Any]:
        """Return all figures as JSON values, with those derived from others."""
        speeds = [speed.as_json() for speed in self.speeds]
        return {**asdict(self), "speeds": speeds}


def bench(
    models: Sequence[str], options: BenchOptions | None = None, *, progress: Progress | None = None
) -> Bench:
    """Measure models side by side.

    At every scale and size all models and number formats run in turn, round by round, so that
    other load on the machine affects all of them alike.

    Args:
        models: Names of ``srx models`` or weights files; repeated ones run once.
        options: Scales, sizes, number formats, device, rounds.
        progress: Advanced by every run.

    Raises:
        ModelError: If a model does not exist at a scale.
        UsageError: If there is no model, the machine lacks the device or number format, or tile
            and overlap do not fit.
        InferenceError: If a picture does not fit into memory.
    """
    options, progress = options or BenchOptions(), progress or NoProgress()
    if not models:
        raise UsageError("nothing to measure: give a model")
    with threads(options.threads):
        return _bench(unique_models(models), options, progress)


def _load(model: str, scale: int, value_range: int | None, progress: Progress) -> Network:
    """Load a network, with random weights where there are none: they do not change its speed."""
    named = model in MODELS and find_entry(model, scale).trained
    if not named or weights_path(model, scale).is_file():
        network = load_model(model, scale, value_range=value_range)
        for note in network.notes:
            progress.message(note)
        return network
    progress.warn(f"{model} x{scale}: there are no weights; it is timed with random ones")
    return build_network(model, scale=scale).deploy()


def _bench(models: Sequence[str], options: BenchOptions, progress: Progress) -> Bench:
    device = choose_device(options.engine.device)
    load = load_average()
    loaded = [
        (model, label, _load(model, scale, options.engine.value_range, progress))
        for scale in dict.fromkeys(options.scales)
        for model, label in zip(models, short_labels(models), strict=True)
    ]
    prepared = [
        each
        for model, label, network in loaded
        for number, engine in enumerate(dict.fromkeys(options.engines))
        for each in prepare_models(
            network,
            replace(options.engine, engine=engine),
            options.precisions,
            plain=options.compare_plain and number == 0,
            tiling=choose_tiling(model, network, options.tile, options.overlap),
            label=label,
        )
    ]
    groups = list(_group_cases(prepared, options))
    task = progress.task("costs", total=len(loaded), unit="models")
    costs = []
    for _, label, network in loaded:
        costs.append(model_cost(network, model=label, device=device))
        task.advance(1)
    task.close()
    planned = sum(runs_planned(len(cases), options.rounds) for cases in groups)
    task = progress.task("timing", total=planned, unit="pictures")
    for cases in groups:
        time_rounds(cases, rounds=options.rounds, seconds=options.seconds, task=task)
    task.close()
    speeds = tuple(speed for cases in groups for speed in make_speeds(cases))
    published = _published([cost.model for cost in costs], options)
    if options.published and not published:
        progress.warn("--published: no paper prints costs of these models at these scales")
    return Bench(
        machine=describe_machine(device),
        how=METHOD + (PLAIN if options.compare_plain else ""),
        costs=tuple(costs),
        speeds=speeds,
        published=published,
        busy=busy_note(load, speeds),
    )


def _published(models: Sequence[str], options: BenchOptions) -> tuple[PublishedRow, ...]:
    """Return the printed costs that the options ask for."""
    if options.published is None:
        return ()
    wanted = None if options.published == "all" else models
    scales = dict.fromkeys(options.scales)
    return tuple(row for scale in scales for row in published_costs(scale, wanted))


def _group_cases(
    models: Sequence[PreparedModel], options: BenchOptions
) -> Iterator[list[BenchCase]]:
    """Cases that run in turn: those of one scale and size."""
    for scale in dict.fromkeys(options.scales):
        for height, width in dict.fromkeys(options.sizes):
            picture = real_picture(height, width)
            cases = [BenchCase(model=each, picture=picture) for each in models]
            cases = [case for case in cases if case.model.scale == scale]
            for case in cases:
                case.work()  # refuses a tile and overlap that do not fit
            yield cases


def real_picture(height: int, width: int) -> Array:
    """Return a photograph of any size, (H, W, 3) uint8: scikit-image's astronaut, mirrored."""
    from skimage.data import astronaut

    whole: Array = astronaut()  # type: ignore[no-untyped-call]
    below, right = max(0, height - whole.shape[0]), max(0, width - whole.shape[1])
    larger = np.pad(whole, ((0, below), (0, right), (0, 0)), mode="symmetric")
    return np.ascontiguousarray(larger[:height, :width])
