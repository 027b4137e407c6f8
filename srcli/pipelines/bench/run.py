"""Speed, memory, work and seams of models, measured side by side in one process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import UsageError
from srcli.evaluation.candidates import short_labels, unique_models
from srcli.evaluation.cost import model_cost
from srcli.inference.device import Precision, choose_device
from srcli.inference.engines import EngineOptions, choose_tiling
from srcli.metrics.machine import describe_machine, threads
from srcli.models.weights import load_model
from srcli.pipelines.bench.bench_seams import measure_seams, read_rgb
from srcli.pipelines.bench.cases import (
    BenchCase,
    make_speeds,
    prepare_models,
    runs_planned,
    time_rounds,
)
from srcli.pipelines.bench.results import Bench, Seams
from srcli.ports.progress import NoProgress, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

HOW = (
    "Time: one picture (scikit-image's astronaut, mirrored to the size) from memory to memory "
    "through the engine, tiles and blending of srx upscale; every model and number format in turn, "
    "round by round, after a warm-up that does not count; median, fastest and slowest round. MACs: "
    "of the picture in one piece. Memory: the most that PyTorch held at once beside the weights."
)
PLAIN = " Plain: the same network and tiles in fp32, PyTorch's default layout, one tile at a time."


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Everything of a benchmark that is not a model."""

    scales: tuple[int, ...] = (4,)
    sizes: tuple[tuple[int, int], ...] = ((256, 256),)
    """LR (height, width) of the pictures."""
    precisions: tuple[Precision, ...] = ("auto",)
    """``auto`` is what ``srx upscale`` takes for 8-bit pictures."""
    engine: EngineOptions = field(default_factory=EngineOptions)
    """Device, batch, averaging; its precision is not used."""
    tile: int | None = None
    """Input pixels; None takes each model's."""
    overlap: int | None = None
    rounds: int | None = None
    """None takes as many as fit into ``seconds``."""
    seconds: float = 5.0
    """For each scale and size, all models together."""
    compare_plain: bool = False
    """Run each model also in fp32, default layout, tile after tile."""
    threads: int | None = None
    """Of PyTorch while this runs; None leaves them."""
    seams_picture: Path | None = None
    """8-bit picture to measure the seam figure on; None leaves it out."""

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


def bench(
    models: Sequence[str], options: BenchOptions | None = None, *, progress: Progress | None = None
) -> Bench:
    """Measure models side by side.

    At every scale and size all models and number formats run in turn, round by round, so that
    whatever else the machine does strikes all of them alike.

    Args:
        models: Names of ``srx models`` or weights files; repeated ones run once.
        options: Scales, sizes, number formats, device, rounds.
        progress: Told of every picture, and warned of a seam figure that cannot be trusted.

    Raises:
        ModelError: If a model does not exist at a scale.
        UsageError: If there is no model, the machine lacks the device or number format, tile and
            overlap do not fit, or the picture for the seams is too small.
        DataError: If that picture cannot be used.
        InferenceError: If a picture does not fit into memory.
    """
    own, told = options or BenchOptions(), progress or NoProgress()
    if not models:
        raise UsageError("nothing to measure: give a model")
    with threads(own.threads):
        return _Run(unique_models(models), own, told).execute()


class _Run:
    def __init__(self, models: Sequence[str], options: BenchOptions, progress: Progress) -> None:
        self.options = options
        self.progress = progress
        self.device = choose_device(options.engine.device)
        called = dict(zip(models, short_labels(models), strict=True))
        self.networks = {
            (scale, called[model]): load_model(model, scale)
            for scale in dict.fromkeys(options.scales)
            for model in models
        }
        names = {label: model for model, label in called.items()}
        self.contenders = [
            contender
            for (_, label), network in self.networks.items()
            for contender in prepare_models(
                network,
                options.engine,
                options.precisions,
                plain=options.compare_plain,
                tiling=choose_tiling(names[label], network, options.tile, options.overlap),
                model=label,
            )
        ]

    def execute(self) -> Bench:
        own = self.options
        groups = list(self._groups())
        # Seams first: a picture that is too small is told before minutes of measuring.
        picture = None if own.seams_picture is None else read_rgb(own.seams_picture)
        seams = () if picture is None else tuple(self._seams(picture))
        task = self.progress.task("costs", total=len(self.networks), unit="models")
        costs = []
        for (scale, label), network in self.networks.items():
            costs.append(model_cost(network, model=label, scale=scale, device=self.device))
            task.advance(1)
        task.close()
        planned = sum(runs_planned(len(cases), own.rounds) for cases in groups)
        task = self.progress.task("timing", total=planned, unit="pictures")
        for cases in groups:
            time_rounds(cases, rounds=own.rounds, seconds=own.seconds, task=task)
        task.close()
        return Bench(
            machine=describe_machine(self.device),
            how=HOW + (PLAIN if own.compare_plain else ""),
            costs=tuple(costs),
            speeds=tuple(speed for cases in groups for speed in make_speeds(cases)),
            seams=seams,
            seams_picture=_caption(own.seams_picture, picture),
        )

    def _groups(self) -> Iterator[list[BenchCase]]:
        """Cases that run in turn: those of one scale and size."""
        for scale in dict.fromkeys(self.options.scales):
            for height, width in dict.fromkeys(self.options.sizes):
                picture = real_picture(height, width)
                cases = [
                    BenchCase(contender=each, picture=picture)
                    for each in self.contenders
                    if each.scale == scale
                ]
                for case in cases:
                    case.work()  # refuses a tile and overlap that do not fit
                yield cases

    def _seams(self, picture: Array) -> Iterator[Seams]:
        contenders = [each for each in self.contenders if not each.plain]
        task = self.progress.task("seams", total=len(contenders), unit="models")
        for each in contenders:
            task.describe(each.title)
            found = measure_seams(each, picture)
            if not found.trusted:
                self.progress.warn(
                    f"{each.title}: seam figure {found.figure:.4f}, without overlap only "
                    f"{found.without_overlap:.4f}: the measurement is broken"
                )
            task.advance(1)
            yield found
        task.close()


def real_picture(height: int, width: int) -> Array:
    """Return a photograph of any size, (H, W, 3) uint8: scikit-image's astronaut, mirrored."""
    from skimage.data import astronaut

    whole: Array = astronaut()  # type: ignore[no-untyped-call]
    below, right = max(0, height - whole.shape[0]), max(0, width - whole.shape[1])
    larger = np.pad(whole, ((0, below), (0, right), (0, 0)), mode="symmetric")
    return np.ascontiguousarray(larger[:height, :width])


def _caption(path: Path | None, picture: Array | None) -> str | None:
    if path is None or picture is None:
        return None
    return f"{path.name}, {picture.shape[1]}x{picture.shape[0]}"
