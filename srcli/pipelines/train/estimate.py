"""Estimate time and memory of a training by trying a few iterations of each stage."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.data.held_out import Split
from srcli.data.pairs import make_pairs
from srcli.data.pictures import decode_all
from srcli.data.training_set import SMALLEST, find_split
from srcli.errors import DataError, SrxError, UsageError
from srcli.metrics.efficiency import count_parameters
from srcli.metrics.machine import describe_machine
from srcli.metrics.memory import memory_of, peak_memory
from srcli.pipelines.train.data import loading_limits, make_sampler
from srcli.pipelines.train.network import first_network, initial_weights, load_initial_weights
from srcli.pipelines.train.numerics import choose_numerics
from srcli.ports.progress import NoProgress, Progress, show_traceback
from srcli.quantities import format_bytes, format_duration
from srcli.recipes.files import apply_overrides, load_recipe
from srcli.recipes.training import Stage
from srcli.training.budget import Budget, parse_budget
from srcli.training.checkpoint import Hooks
from srcli.training.loop import Trainer
from srcli.training.parallel import find_team

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.data.pairs import Pairs
    from srcli.data.pictures import PictureRef
    from srcli.pipelines.train.options import TrainOptions
    from srcli.recipes.training import TrainRecipe

SAMPLE = 16
"""Largest number of pictures that are read, spread over all."""
WARM_UP = 2
"""Iterations that are not timed: the first ones allocate the optimiser's memory."""
TIMED = 10
"""Largest number of iterations that are timed."""
SECONDS = 5.0
"""Time after which no further iteration of a stage is timed."""


@dataclass(frozen=True, kw_only=True)
class StageEstimate:
    """Time and memory of one stage."""

    stage: Stage
    seconds: float
    """Median time of an iteration."""
    peak_bytes: int | None
    """Most memory during an iteration beside ``held_bytes``; None if it cannot be measured."""
    held_bytes: int
    """Memory between iterations: weights, averages, optimiser, discriminator."""
    budget: Budget

    @property
    def iterations(self) -> int:
        """Number of iterations within the budget."""
        return self.budget.steps or int((self.budget.seconds or 0.0) / self.seconds)

    @property
    def hours(self) -> float:
        """Time of these iterations, without validation and checkpoints."""
        return (self.budget.seconds or self.iterations * self.seconds) / 3600


@dataclass(frozen=True, kw_only=True)
class TrainingEstimate:
    """Data, time and memory of a training."""

    model: str
    scale: int
    parameters: int
    machine: str
    precision: str
    split: Split
    """All pictures found; most of them were not read."""
    read: int
    """Number of pictures that were read."""
    pixel_bytes: int
    """Memory of all pictures, extrapolated from those that were read."""
    memory_limit: int | None = None
    """Bytes of pictures that are kept in main memory; None for all of them."""
    memory_of: str
    """``host`` or ``device``: the memory that is measured."""
    stages: tuple[StageEstimate, ...]

    def lines(self) -> list[str]:
        """Return the estimate as lines of text."""
        memory = "memory" if self.memory_of == "host" else "GPU memory"
        split, limit = self.split, self.memory_limit
        excluded = f", {split.excluded} excluded" if split.excluded else ""
        where = " of memory"
        if limit is not None and self.pixel_bytes > limit:
            where = f", {format_bytes(limit)} of them in memory and the others in files meanwhile"
        lines = [
            f"{self.model} x{self.scale}: {self.parameters:,} parameters",
            f"machine: {self.machine}, {self.precision}",
            f"pictures: {len(split.train)} to train on, {len(split.held_out)} to validate on "
            f"({split.reason}){excluded}; {self.read} of them read, all take about "
            f"{format_bytes(self.pixel_bytes)}{where}",
        ]
        for number, each in enumerate(self.stages, start=1):
            patch = each.stage.edge(self.scale)
            peak = "unknown" if each.peak_bytes is None else format_bytes(each.peak_bytes)
            lines.append(
                f"stage {number}: batch {each.stage.batch} of {patch}x{patch} LR pixels: "
                f"{format_duration(each.seconds)} an iteration; peak {memory} {peak}, beside "
                f"{format_bytes(each.held_bytes)} of weights, averages and optimiser"
            )
        count = sum(stage.iterations for stage in self.stages)
        iterations = f"{count:,} iteration{'' if count == 1 else 's'}"
        duration = format_duration(3600 * sum(stage.hours for stage in self.stages))
        lines.append(f"budget: {iterations} in {duration}, validation and checkpoints not counted")
        return lines


def estimate_training(options: TrainOptions, progress: Progress | None = None) -> TrainingEstimate:
    """Try every stage of a training for a few iterations on some of its pictures; write nothing.

    Args:
        options: As for ``train``; ``out`` and ``validate`` are ignored.
        progress: Shows warnings.

    Raises:
        SrxError: If something does not fit or is missing.
    """
    progress = progress or NoProgress()
    if find_team().size > 1:
        raise UsageError("--dry-run tries one process; start it without torchrun")
    recipe = apply_overrides(load_recipe(options.recipe), options.overrides)
    budget = parse_budget(options.budget) if options.budget else None
    numerics = choose_numerics(
        options.device, options.precision, compiled=options.compile, threads=options.threads
    )
    network = first_network(recipe, scale=options.scale, seed=options.seed)
    if initial := initial_weights(recipe, options.scale, options.init):
        load_initial_weights(network, initial, progress)
    network = numerics.placed(network)
    split = find_split(options, progress)
    pairs = _some_pairs(split, recipe, options.scale, progress)
    read = len(pairs.hr)
    pixels = sum(each.nbytes for each in (*pairs.hr, *pairs.lr))
    sampler = make_sampler(
        pairs,
        recipe,
        device=numerics.device,
        seed=options.seed,
        colour=network.colour,
        progress=NoProgress(),  # its warnings would count the pictures that were read only
    )
    trainer = Trainer(
        network=network,
        recipe=recipe,
        sampler=sampler,
        budget=budget,
        numerics=numerics,
        folder=Path(),
        hooks=Hooks(),
        seed=options.seed,
    )
    return TrainingEstimate(
        model=recipe.model,
        scale=options.scale,
        parameters=count_parameters(network),
        machine=str(describe_machine(numerics.device)),
        precision=numerics.precision,
        split=split,
        read=read,
        pixel_bytes=pixels * len(split.train) // read,
        memory_limit=loading_limits()[0],
        memory_of=memory_of(numerics.device),
        stages=tuple(_try_stage(trainer, number) for number in range(len(recipe.stages))),
    )


def _some_pairs(split: Split, recipe: TrainRecipe, scale: int, progress: Progress) -> Pairs:
    """Read a sample of the pictures; all of them, if none of the sample is as large as a patch."""
    largest = max(stage.edge(scale) for stage in recipe.stages)
    pairs = _pairs(split.train[:: -(-len(split.train) // SAMPLE)], scale, progress)
    if any(min(image.shape[:2]) >= largest for image in pairs.lr):
        return pairs
    return _pairs(split.train, scale, progress)


def _pairs(refs: Sequence[PictureRef], scale: int, progress: Progress) -> Pairs:
    problems: list[SrxError] = []
    images = decode_all(refs, smallest=SMALLEST * scale, on_error=problems.append)
    if not images:
        raise DataError(f"none of {len(refs)} pictures can be used; the first: {problems[0]}")
    for problem in problems:
        progress.warn(f"would be left out: {problem}")
        show_traceback(problem, progress)
    return make_pairs(images, scale)


def _try_stage(trainer: Trainer, number: int) -> StageEstimate:
    stage = trainer.recipe.stages[number]
    trainer.position.stage = number
    trainer.network.train()
    for _ in range(WARM_UP):
        _iterate(trainer, stage)
    spent: list[float] = []
    while not spent or (len(spent) < TIMED and sum(spent) < SECONDS):
        start = time.perf_counter()
        _iterate(trainer, stage)
        spent.append(time.perf_counter() - start)
    # Held during the measurement: the profiler warns of tensors that were there before it and are
    # freed meanwhile.
    held = (
        *trainer.network.state_dict().values(),
        *trainer.ema.averages.values(),
        *trainer.step.state().values(),
    )
    return StageEstimate(
        stage=stage,
        seconds=statistics.median(spent),
        peak_bytes=peak_memory(partial(_iterate, trainer, stage), trainer.numerics.device),
        held_bytes=sum(tensor.numel() * tensor.element_size() for tensor in held),
        budget=trainer.budgets[number],
    )


def _iterate(trainer: Trainer, stage: Stage) -> None:
    values = trainer.train_on_batch(stage, 0.5)
    float(values["loss"])  # waits for the device
    trainer.position.total += 1
