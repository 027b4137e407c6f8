"""The data of a training: pictures loaded, LR degraded as the recipe says, batches drawn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import torch

from srcli.data.degrading import VALIDATION_SEED, degrade_pairs
from srcli.data.patches import PatchSampler
from srcli.data.training_set import load_training_set
from srcli.layers.network import upload
from srcli.metrics.machine import free_memory, processors
from srcli.quantities import format_bytes
from srcli.threads import ReadAhead
from srcli.training.parallel import ALONE, Team

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from srcli.data.training_set import DataSelection, Pairs, TrainingSet
    from srcli.ports.progress import Progress
    from srcli.recipes.degradation import Degradation
    from srcli.recipes.training import Stage, TrainRecipe


BATCHES_AHEAD = 4
"""Batches that are made beforehand, each in a thread of its own."""


def load_data(
    selection: DataSelection,
    scale: int,
    degradation: Degradation,
    progress: Progress,
    *,
    folder: Path | None = None,
    processes: int = 1,
) -> TrainingSet:
    """Load all pictures, degrade the LR ones of validation, and report what was found.

    Half of the free memory, divided by the ``processes`` of this machine that load the pictures
    each for itself, is for pictures; more of them lie in files of the folder.
    """
    free = free_memory()
    data = load_training_set(
        selection,
        scale,
        progress,
        folder=folder,
        memory=None if free is None else free // 2 // processes,
        workers=max(1, processors() // processes),
    )
    held = len(data.held_out.hr) if data.held_out else 0
    excluded = f", {data.split.excluded} excluded" if data.split.excluded else ""
    progress.message(f"{len(data.train.hr)} pictures to train on, {held} to validate on{excluded}")
    progress.message(data.split.reason)
    if not degradation.is_clean:
        progress.message(
            f"LR by degradation {degradation.name}: for training drawn anew for every patch, for "
            f"validation once (seed {VALIDATION_SEED})"
        )
        if data.held_out:
            data.held_out = degrade_pairs(data.held_out, degradation)
    return data


class PrefetchSampler:
    """A sampler that makes the batches of the next iterations while a GPU computes this one.

    A batch depends on its step and stage only, so that the batches are those of ``sampler``.
    After a skipped step or in another stage, the first batch is made when it is needed.
    """

    def __init__(
        self, sampler: PatchSampler, device: torch.device, *, ahead: int = BATCHES_AHEAD
    ) -> None:
        self.sampler = sampler
        self._device = device
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(ahead, thread_name_prefix="batch")
        self._batches: ReadAhead[int, tuple[Tensor, Tensor]] | None = None
        self._next: tuple[int, Stage] | None = None

    def batch(self, step: int, stage: Stage) -> tuple[Tensor, Tensor]:
        """Return the result of ``PatchSampler.batch``, on the device."""
        if self._batches is None or self._next != (step, stage):
            if self._batches is not None:
                self._batches.close()
            make = partial(self.sampler.batch, stage=stage)
            self._batches = ReadAhead(make, count(step), ahead=self._ahead + 1, pool=self._pool)
        self._next = (step + 1, stage)
        _, made = next(self._batches)
        lr, hr = made.result()
        return upload(lr, self._device), upload(hr, self._device)


def make_sampler(
    pairs: Pairs,
    recipe: TrainRecipe,
    *,
    device: torch.device,
    seed: int,
    colour: str,
    progress: Progress,
    team: Team = ALONE,
) -> PatchSampler | PrefetchSampler:
    """Return the source of batches; it takes the pictures out of ``pairs``: none is held twice.

    Bicubic LR is cut on the device that holds the pictures. Pictures that would take over half of a
    GPU's memory stay in main memory, and batches are made there ahead of time; so are degraded
    batches, which the processor makes. A training on the processor makes each batch in its own
    iteration (a few percent of it).
    """
    degradation = None if recipe.degradation.is_clean else recipe.degradation
    home = torch.device("cpu") if degradation else _home(pairs, device, progress)
    sampler = PatchSampler(pairs, device=home, seed=seed, colour=colour, degradation=degradation)
    sampler.share = (team.rank, team.size)
    for pictures in (pairs.hr, pairs.lr):
        pictures.clear()
    total = len(sampler.shapes)
    for patch in sorted({stage.edge(sampler.scale) for stage in recipe.stages}):
        if (usable := len(sampler.usable(patch))) < total:
            progress.warn(
                f"{total - usable} of {total} pictures are smaller than a patch of "
                f"{patch}x{patch} LR pixels and not used"
            )
    return sampler if home == device else PrefetchSampler(sampler, device)


def _home(pairs: Pairs, device: torch.device, progress: Progress) -> torch.device:
    """Return the device if pictures leave room for the training there, else the processor."""
    if device.type != "cuda":
        return device
    size = sum(picture.nbytes for picture in (*pairs.hr, *pairs.lr))
    free, _ = torch.cuda.mem_get_info(device)
    if size <= free // 2:
        return device
    progress.message(
        f"{format_bytes(size)} of pictures stay in main memory: over half of the GPU's free "
        f"{format_bytes(free)}"
    )
    return torch.device("cpu")
