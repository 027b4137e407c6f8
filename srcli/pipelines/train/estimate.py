"""A training tried for a few iterations: what it would cost, and what its budget would give."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.data.pairs import make_pairs
from srcli.data.pictures import decode_all
from srcli.data.training_set import SMALLEST, find_split
from srcli.errors import DataError, UsageError
from srcli.metrics.efficiency import count_parameters
from srcli.metrics.machine import describe_machine
from srcli.metrics.memory import memory_of, peak_memory
from srcli.pipelines.train.data import data_options, make_sampler
from srcli.pipelines.train.network import first_network, load_initial_weights
from srcli.pipelines.train.numerics import choose_numerics
from srcli.ports.progress import NoProgress, Progress
from srcli.quantities import format_bytes, format_duration
from srcli.recipes.files import load_recipe
from srcli.recipes.overrides import apply_overrides
from srcli.training.budget import Budget, parse_budget
from srcli.training.checkpoint_manager import Hooks
from srcli.training.loop import Trainer
from srcli.training.parallel import find_team

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.data.held_out import Split
    from srcli.data.pairs import Pairs
    from srcli.data.pictures import PictureRef
    from srcli.pipelines.train.options import TrainOptions
    from srcli.recipes.training import Stage, TrainRecipe

SAMPLE = 16
"""So many pictures are read, spread over all."""
WARM = 2
"""Iterations that are not timed: the first ones make the optimiser's memory."""
TIMED = 10
"""Iterations that are timed, where they do not take longer than ``SECONDS``."""
SECONDS = 5.0
"""Time for each stage, at least one iteration."""


@dataclass(frozen=True, kw_only=True)
class StageTrial:
    """One stage, tried."""

    batch: int
    patch: int
    """Edge of a patch, LR pixels."""
    seconds: float
    """Of one iteration: the median."""
    peak_bytes: int | None
    """The most that an iteration holds at once beside what stays; None where nobody counts it."""
    held_bytes: int
    """What stays between iterations: weights, averages, optimiser, discriminator."""
    budget: Budget

    @property
    def iterations(self) -> int:
        """How many the budget gives."""
        return self.budget.steps or int((self.budget.seconds or 0.0) / self.seconds)

    @property
    def hours(self) -> float:
        """How long they take, validation and checkpoints left out."""
        return (self.budget.seconds or self.iterations * self.seconds) / 3600


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a training would be."""

    model: str
    scale: int
    parameters: int
    machine: str
    precision: str
    pictures: int
    """To train on, as found; most of them were not read."""
    held_out: int
    reason: str
    """How the held-out ones were chosen."""
    excluded: int = 0
    """Pictures that are left out by name."""
    read: int
    """Pictures that were tried."""
    pixel_bytes: int
    """Memory that all pictures would take, as far as those that were read tell."""
    room: int | None = None
    """Bytes of pictures that stay in main memory; None for all of them."""
    memory_of: str
    """``host`` or ``device``: whose memory is counted."""
    stages: tuple[StageTrial, ...]

    def lines(self) -> list[str]:
        """Everything in words."""
        memory = "memory" if self.memory_of == "host" else "GPU memory"
        excluded = f", {self.excluded} excluded" if self.excluded else ""
        found = [
            f"{self.model} x{self.scale}: {self.parameters:,} parameters",
            f"machine: {self.machine}, {self.precision}",
            f"pictures: {self.pictures} to train on, {self.held_out} to validate on "
            f"({self.reason}){excluded}; {self.read} of them read, all take about "
            f"{format_bytes(self.pixel_bytes)}{self._place_of_pictures()}",
        ]
        for number, stage in enumerate(self.stages, start=1):
            peak = "unknown" if stage.peak_bytes is None else format_bytes(stage.peak_bytes)
            found.append(
                f"stage {number}: batch {stage.batch} of {stage.patch}x{stage.patch} LR pixels: "
                f"{format_duration(stage.seconds)} an iteration; peak {memory} {peak}, beside "
                f"{format_bytes(stage.held_bytes)} of weights, averages and optimiser"
            )
        iterations = sum(stage.iterations for stage in self.stages)
        hours = sum(stage.hours for stage in self.stages)
        given = f"{iterations:,} iteration{'' if iterations == 1 else 's'}"
        duration = format_duration(3600 * hours)
        return [*found, f"budget: {given} in {duration}, validation and checkpoints not counted"]

    def _place_of_pictures(self) -> str:
        if self.room is None or self.pixel_bytes <= self.room:
            return " of memory"
        return f", {format_bytes(self.room)} of them in memory and the others in files meanwhile"


def dry_run(options: TrainOptions, progress: Progress | None = None) -> DryRun:
    """Try every stage of a training for a few iterations on some of its pictures; write nothing.

    Args:
        options: As for ``train``; the folder and what is validated on besides are not looked at.
        progress: Told of what does not fit.

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
    if options.init is not None:
        load_initial_weights(network, options.init, progress)
    network = numerics.placed(network)
    what = data_options(options)
    split = find_split(what, progress)
    pairs = _some_pairs(split, recipe, options.scale, progress)
    read = len(pairs.hr)
    pixels = sum(each.nbytes for each in (*pairs.hr, *pairs.lr))
    sampler = make_sampler(
        pairs,
        recipe,
        device=numerics.device,
        seed=options.seed,
        colour=network.colour,
        progress=NoProgress(),  # which pictures are too small is told of all or of none
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
    half = numerics.autocast
    return DryRun(
        model=recipe.model,
        scale=options.scale,
        parameters=count_parameters(network),
        machine=str(describe_machine(numerics.device)),
        precision="fp32" if half is None else str(half).removeprefix("torch."),
        pictures=len(split.train),
        held_out=len(split.held_out),
        reason=split.reason,
        excluded=split.excluded,
        read=read,
        pixel_bytes=pixels * len(split.train) // read,
        room=what.memory,
        memory_of=memory_of(numerics.device),
        stages=tuple(_try_stage(trainer, number) for number in range(len(recipe.stages))),
    )


def _some_pairs(split: Split, recipe: TrainRecipe, scale: int, progress: Progress) -> Pairs:
    """Read pictures spread over the training's; all of them, if no patch fits into those."""
    largest = max(stage.patch for stage in recipe.stages)
    pairs = _pairs(_spread(split.train), scale, progress)
    if not any(min(image.shape[:2]) >= largest for image in pairs.lr):
        pairs = _pairs(split.train, scale, progress)
    return pairs


def _spread(refs: Sequence[PictureRef]) -> Sequence[PictureRef]:
    return refs[:: -(-len(refs) // SAMPLE)]


def _pairs(refs: Sequence[PictureRef], scale: int, progress: Progress) -> Pairs:
    problems: list[DataError] = []
    images = decode_all(refs, smallest=SMALLEST * scale, on_error=problems.append)
    if not images:
        raise DataError(f"none of {len(refs)} pictures can be used; the first: {problems[0]}")
    for problem in problems:
        progress.warn(f"would be left out: {problem}")
    return make_pairs(images, scale)


def _try_stage(trainer: Trainer, number: int) -> StageTrial:
    stage = trainer.recipe.stages[number]
    trainer.position.stage = number
    trainer.network.train()
    for _ in range(WARM):
        _iterate(trainer, stage)
    spent: list[float] = []
    while not spent or (len(spent) < TIMED and sum(spent) < SECONDS):
        start = time.perf_counter()
        _iterate(trainer, stage)
        spent.append(time.perf_counter() - start)
    # Asked for first, and so alive all the while: the profiler warns of what was there before it
    # and goes under its eyes.
    held = (
        *trainer.network.state_dict().values(),
        *trainer.ema.averages.values(),
        *trainer.step.state().values(),
    )
    peak = peak_memory(partial(_iterate, trainer, stage), trainer.numerics.device)
    return StageTrial(
        batch=stage.batch,
        patch=stage.patch,
        seconds=statistics.median(spent),
        peak_bytes=None if peak is None else peak.bytes,
        held_bytes=sum(tensor.numel() * tensor.element_size() for tensor in held),
        budget=trainer.budgets[number],
    )


def _iterate(trainer: Trainer, stage: Stage) -> None:
    values = trainer.train_on_batch(stage, 0.5)
    float(values["loss"])  # waits for the device
    trainer.position.total += 1
