"""Try a training on some of its pictures, to see whether recipe, network and data fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from srcli.data.pairs import make_pairs
from srcli.data.pictures import decode_all
from srcli.data.training_set import SMALLEST, find_split
from srcli.errors import DataError, SrxError, UsageError
from srcli.metrics.efficiency import count_parameters
from srcli.metrics.machine import describe_machine
from srcli.pipelines.train.data import loading_limits, make_sampler
from srcli.pipelines.train.network import first_network, initial_weights, load_initial_weights
from srcli.pipelines.train.numerics import choose_numerics
from srcli.ports.progress import NoProgress, Progress, show_traceback
from srcli.quantities import format_bytes, format_duration
from srcli.recipes.files import apply_overrides, load_recipe
from srcli.training.budget import parse_budget
from srcli.training.checkpoint import Hooks
from srcli.training.loop import Trainer
from srcli.training.parallel import find_team

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.data.held_out import Split
    from srcli.data.pairs import Pairs
    from srcli.data.pictures import PictureRef
    from srcli.pipelines.train.options import TrainOptions
    from srcli.recipes.training import TrainRecipe

SAMPLE = 16
"""Largest number of pictures that are read, spread over all."""


def try_training(options: TrainOptions, progress: Progress | None = None) -> list[str]:
    """Try one iteration of every stage of a training; write nothing."""
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
    lines = [
        f"{recipe.model} x{options.scale}: {count_parameters(network):,} parameters",
        f"machine: {describe_machine(numerics.device)}, {numerics.precision}",
        _describe_pictures(split, pairs),
    ]
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
    trainer.network.train()
    for number, (stage, length) in enumerate(zip(recipe.stages, trainer.budgets, strict=True)):
        trainer.position.stage = number
        float(trainer.train_on_batch(stage, 0.5)["loss"])  # waits for the device
        trainer.position.total += 1
        patch = stage.edge(options.scale)
        amount = f"{length.steps:,} iterations" if length.steps else ""
        lines.append(
            f"stage {number + 1}: {amount or format_duration(length.total)}, batch {stage.batch} "
            f"of {patch}x{patch} LR pixels; one iteration was tried"
        )
    return lines


def _describe_pictures(split: Split, pairs: Pairs) -> str:
    read = len(pairs.hr)
    size = sum(each.nbytes for each in (*pairs.hr, *pairs.lr)) * len(split.train) // read
    limit, _ = loading_limits()
    where = " of memory"
    if limit is not None and size > limit:
        where = f", {format_bytes(limit)} of them in memory and the others in files meanwhile"
    excluded = f", {split.excluded} excluded" if split.excluded else ""
    return (
        f"pictures: {len(split.train)} to train on, {len(split.held_out)} to validate on "
        f"({split.reason}){excluded}; {read} of them read, all take about "
        f"{format_bytes(size)}{where}"
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
