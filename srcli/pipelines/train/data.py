"""What a training learns from: pictures loaded, LR degraded as the recipe says, batches drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from srcli.data.degraded_patches import DegradedSampler
from srcli.data.degrading import VALIDATION_SEED, degrade_pairs
from srcli.data.patches import PatchSampler
from srcli.data.read_ahead import ReadAhead
from srcli.data.store import in_words
from srcli.data.training_set import DataOptions, load_training_set
from srcli.metrics.free_memory import free_memory
from srcli.metrics.machine import processors

if TYPE_CHECKING:
    from pathlib import Path

    from srcli.data.pairs import Pairs
    from srcli.data.training_set import TrainingSet
    from srcli.pipelines.ablate.options import AblateOptions
    from srcli.pipelines.train.options import TrainOptions
    from srcli.ports.progress import Progress
    from srcli.recipes.degradation import Degradation
    from srcli.recipes.training import TrainRecipe
    from srcli.training.parallel import Team


def data_options(
    asked: TrainOptions | AblateOptions, cache: Path | None = None, *, processes: int = 1
) -> DataOptions:
    """Return what is asked for; pictures are decoded by all processors into half the free memory.

    Args:
        asked: What to train on.
        cache: Folder of LR pictures made before, and of pictures that do not fit into memory.
        processes: That load them, each for itself.
    """
    free = free_memory()
    return DataOptions(
        paths=asked.data,
        hold_out=asked.hold_out,
        hold_out_listed=asked.hold_out_listed,
        exclude=asked.exclude,
        cache=cache,
        memory=None if free is None else free // 2 // processes,
        workers=max(1, processors() // processes),
    )


def load_data(
    options: DataOptions, scale: int, degradation: Degradation, progress: Progress
) -> TrainingSet:
    """Load all pictures, and degrade the LR ones that are validated on; say what there is.

    Args:
        options: What to train on.
        scale: The super-resolution factor.
        degradation: What training and validation are about.
        progress: Told of everything.

    Raises:
        DataError: If a path does not exist, a picture to hold out does not, or nothing is left to
            train on.
    """
    data = load_training_set(options, scale, progress)
    held = len(data.held_out.hr) if data.held_out else 0
    excluded = f", {data.excluded} excluded" if data.excluded else ""
    progress.message(f"{len(data.train.hr)} pictures to train on, {held} to validate on{excluded}")
    progress.message(data.reason)
    if not degradation.is_clean:
        progress.message(
            f"LR by degradation {degradation.name}: for training drawn anew for every patch, for "
            f"validation once (seed {VALIDATION_SEED})"
        )
        if data.held_out:
            data.held_out = degrade_pairs(data.held_out, degradation)
    return data


def make_sampler(
    pairs: Pairs,
    recipe: TrainRecipe,
    *,
    device: torch.device,
    seed: int,
    colour: str,
    progress: Progress,
) -> PatchSampler | ReadAhead:
    """Return the source of batches; it takes the pictures out of ``pairs``.

    Bicubic LR is cut on the device, where the pictures lie. If they would take over half of a GPU's
    memory they stay in the main memory, and batches are made there ahead of time. So they are where
    LR is degraded, which the processor does; for training on the processor in the iteration itself
    (a few percent of it).

    Args:
        pairs: Pictures to train on.
        recipe: Its stages and degradation.
        device: Where the batches are wanted.
        seed: Seed of the training.
        colour: ``rgb``, or ``y`` for one channel.
        progress: Told of pictures that are too small for a patch, or too many for the GPU.

    Raises:
        DataError: If no picture is as large as a patch.
    """
    sampler: PatchSampler
    if not recipe.degradation.is_clean:
        home = torch.device("cpu")
        sampler = DegradedSampler(pairs, recipe.degradation, seed=seed, release=True, colour=colour)
    else:
        home = _home(pairs, device, progress)
        sampler = PatchSampler(pairs, device=home, seed=seed, release=True, colour=colour)
    _check_patches(sampler, recipe, progress)
    return sampler if home == device else ReadAhead(sampler, device)


def share_out(sampler: PatchSampler | ReadAhead, team: Team) -> None:
    """Let a sampler make only the share of this process of every batch."""
    source = sampler.sampler if isinstance(sampler, ReadAhead) else sampler
    source.share = (team.rank, team.size)


def _home(pairs: Pairs, device: torch.device, progress: Progress) -> torch.device:
    """Where the pictures are to lie: on the device, if they leave room for the training."""
    if device.type != "cuda":
        return device
    size = sum(picture.nbytes for picture in (*pairs.hr, *pairs.lr))
    free, _ = torch.cuda.mem_get_info(device)
    if size <= free // 2:
        return device
    progress.message(
        f"{in_words(size)} of pictures stay in main memory: over half of the GPU's free "
        f"{in_words(free)}"
    )
    return torch.device("cpu")


def _check_patches(sampler: PatchSampler, recipe: TrainRecipe, progress: Progress) -> None:
    total = len(sampler.shapes)
    for patch in sorted({stage.patch for stage in recipe.stages}):
        usable = sampler.usable(patch)
        if usable < total:
            progress.warn(
                f"{total - usable} of {total} pictures are smaller than a patch of "
                f"{patch}x{patch} LR pixels and not used"
            )
