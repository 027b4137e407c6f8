"""The data of a training: pictures to train on and to validate on, batches, and validation.

LR is degraded as the recipe says, but that of sets that are named to validate on.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import closing
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset

from srcli.data.degrading import VALIDATION_SEED, degrade_pairs
from srcli.data.patches import PatchSampler
from srcli.data.pictures import PictureRef, find_pictures
from srcli.data.training_set import Pairs, load_training_set
from srcli.errors import DataError, UsageError, one_file
from srcli.evaluation.sets import CHAINS, find_set, read_pair, resolve_set_name
from srcli.imaging.resize import KERNELS
from srcli.layers.colour import as_rgb_network
from srcli.metrics.fidelity import PROTOCOLS, psnr
from srcli.metrics.machine import free_memory, processors
from srcli.ports.progress import Progress
from srcli.threads import interrupts_blocked
from srcli.training.parallel import ALONE, Team

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from srcli.data.patches import Patches
    from srcli.data.training_set import DataSelection, TrainingSet
    from srcli.layers.network import Network
    from srcli.recipes.degradation import Degradation
    from srcli.recipes.training import Stage, TrainRecipe
    from srcli.training.steps import Numerics


HELD_OUT = "held-out"
"""Name of the pictures that were kept back from the training data."""


def find_pairs(selection: DataSelection, scale: int) -> list[PictureRef]:
    """Find the pictures of a training; in folders of HR/LR pairs, HR pictures with their LR.

    Such folders are those of ``srx eval --data``, see ``find_set``: DIV2K's, RealSR's and others.
    The LR pictures may lie in a folder of their own, ``selection.lr``.

    Raises:
        DataError: If HR pictures have no partner; the first is named.
    """
    refs: list[PictureRef] = []
    lr = selection.lr
    for path in selection.data:
        found = None
        if path.is_dir() or lr is not None:
            try:
                found = find_set(str(path), scale, lr_folder=lr)
            except DataError:
                if lr is not None:
                    raise
        if found is None or found.lr_folder is None:
            refs += find_pictures([path])
            continue
        if found.missing:
            more = f"; {len(found.missing) - 1} more have none" if len(found.missing) > 1 else ""
            raise DataError(f"--data {next(iter(found.missing.values()))}{more}")
        refs += [PictureRef(path=each.hr, lr=each.lr) for each in found.items if each.hr]
    return refs


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
        refs=find_pairs(selection, scale),
    )
    if data.paired and not degradation.is_clean:
        raise UsageError(
            f"--degradation {degradation.name}: the pictures come with LR of their own; leave it "
            "out, or give the HR pictures alone"
        )
    held = len(data.held_out.hr) if data.held_out else 0
    progress.message(f"{len(data.train.hr)} pictures to train on, {held} to validate on")
    progress.message(data.split.reason)
    if data.paired:
        progress.message("LR pictures are read from files")
    if not degradation.is_clean:
        progress.message(
            f"LR by degradation {degradation.name}: for training drawn anew for every patch, for "
            f"validation once (seed {VALIDATION_SEED})"
        )
        if data.held_out:
            data.held_out = degrade_pairs(data.held_out, degradation)
    return data


class PrefetchSampler:
    """A sampler whose batches other processes make while a GPU computes this iteration.

    A batch depends on its step and stage only, so that the batches are those of ``sampler``.
    After a skipped step or in another stage, the first batch is made when it is needed. Without
    workers, each batch is made in its own iteration.
    """

    def __init__(self, sampler: PatchSampler, device: torch.device, *, workers: int) -> None:
        self.sampler = sampler
        self._device = device
        self._workers = workers
        self._patches: Iterator[Patches] = iter(())
        self._next: tuple[int, Stage] | None = None

    def batch(self, step: int, stage: Stage) -> tuple[Tensor, Tensor]:
        """Return the result of ``PatchSampler.batch``, on the device."""
        if self._next != (step, stage):
            loader = DataLoader(
                _Steps(self.sampler, stage),
                batch_size=None,
                sampler=count(step),
                num_workers=self._workers,
                collate_fn=_as_it_is,  # through pipes: containers have little /dev/shm
                multiprocessing_context="fork" if self._workers else None,
                generator=torch.Generator(),  # leaves PyTorch's own alone
            )
            with interrupts_blocked():
                self._patches = iter(loader)
        self._next = (step + 1, stage)
        return self.sampler.varied(next(self._patches), self._device)


class _Steps(Dataset[Any]):
    def __init__(self, sampler: PatchSampler, stage: Stage) -> None:
        self._sampler, self._stage = sampler, stage

    def __getitem__(self, step: int) -> Patches:
        return self._sampler.cut(step, self._stage)


def _as_it_is(patches: Any) -> Any:  # noqa: ANN401
    return patches


def make_sampler(
    pairs: Pairs,
    recipe: TrainRecipe,
    *,
    device: torch.device,
    seed: int,
    colour: str,
    progress: Progress,
    team: Team = ALONE,
) -> PrefetchSampler:
    """Return the source of batches, which the processor makes.

    For a GPU it makes them ahead of time, where processes can be forked safely. A training on the
    processor makes each batch in its own iteration (a few percent of it).
    """
    degradation = None if recipe.degradation.is_clean else recipe.degradation
    sampler = PatchSampler(pairs, seed=seed, colour=colour, degradation=degradation)
    sampler.share = (team.rank, team.size)
    total = len(sampler.shapes)
    for patch in sorted({stage.edge(sampler.scale) for stage in recipe.stages}):
        if (usable := len(sampler.usable(patch))) < total:
            progress.warn(
                f"{total - usable} of {total} pictures are smaller than a patch of "
                f"{patch}x{patch} LR pixels and not used"
            )
    ahead = device.type != "cpu" and sys.platform == "linux"
    # One processor is the training's own.
    workers = max(processors() // team.local_size - 1, 1) if ahead else 0
    return PrefetchSampler(sampler, device, workers=workers)


def validation_sets(
    held_out: Pairs | None, names: Sequence[str], scale: int, progress: Progress
) -> dict[str, Pairs]:
    """Return all sets to validate on: the held-out pictures first, then those that are named.

    Named sets are read as ``srx eval`` reads them: LR of the set if it has any, else MATLAB bicubic
    of HR, independent of the training's degradation.
    """
    sets = {} if held_out is None else {HELD_OUT: held_out}
    places: dict[object, str] = {}
    for given in names:
        name, pairs = _named_set(given, scale, progress)
        place = resolve_set_name(given)
        if place in places:
            raise UsageError(f"--validate {given}: given twice, also as {places[place]}")
        places[place] = given
        sets[given if name in sets else name] = pairs  # two folders HR in different places
    return sets


def validator(
    sets: Mapping[str, Pairs],
    numerics: Numerics,
    progress: Progress | None = None,
    team: Team = ALONE,
) -> Callable[[Network], dict[str, list[float]]] | None:
    """Return a function that gives the PSNR-Y of a network on each picture of each set, in dB."""

    def validate(network: Network) -> dict[str, list[float]]:
        measure = partial(_measure, as_rgb_network(network), numerics, progress or Progress())
        found: dict[str, list[float]] = {}
        for name, pairs in sets.items():
            shares = team.gather(partial(measure, pairs, team))
            found[name] = [0.0] * len(pairs.hr)
            for rank, psnrs in enumerate(shares):
                found[name][rank :: team.size] = psnrs
        return found

    return validate if sets else None


@torch.inference_mode()
def _measure(
    network: nn.Module, numerics: Numerics, progress: Progress, pairs: Pairs, team: Team
) -> list[float]:
    """Upscale the LR pictures of a rank whole and compare them with HR by protocol ``y``."""
    protocol, scale = PROTOCOLS["y"], pairs.scale
    own = range(team.rank, len(pairs.hr), team.size)
    values: list[float] = []
    with closing(progress.task("validation", total=len(own), unit="pictures")) as task:
        for number in own:
            pixels = torch.from_numpy(pairs.lr[number].copy()).to(numerics.device)
            x = pixels.permute(2, 0, 1)[None].float().div(255.0)
            with numerics.autocasting():
                out: Tensor = network(x.contiguous(memory_format=numerics.layout))
            levels = out[0].float().clamp(0, 1).mul(255.0).round().byte()
            sr_image = levels.permute(1, 2, 0).cpu().numpy()
            a, b = (protocol.planes(each, scale) for each in (sr_image, pairs.hr[number]))
            values.append(psnr(a, b))
            task.advance()
    return values


def deciding_set(sets: Mapping[str, Pairs]) -> str | None:
    """Name the set that decides which weights are the best; None if it is part of the data."""
    name = next(iter(sets), HELD_OUT)
    return None if name == HELD_OUT else f"{name} ({sets[name].digest[:8]})"


def _named_set(given: str, scale: int, progress: Progress) -> tuple[str, Pairs]:
    try:
        found = find_set(given, scale)
    except DataError as error:
        raise DataError(f"--validate {error}") from error
    for note in found.notes:
        progress.warn(f"--validate {note}")
    for reason in found.missing.values():
        progress.warn(f"--validate {given}: left out: {reason}")
    read = []
    for item in found.items:
        with one_file(item.where):
            read.append(
                read_pair(item, scale=scale, kernel=KERNELS["bicubic"], chain=CHAINS["rgb8"])
            )
    if not read:
        raise DataError(f"--validate {given}: no picture has a partner in LR")
    digest = hashlib.sha256("/".join(pair.digest for pair in read).encode()).hexdigest()
    pairs = Pairs(
        scale=scale, hr=[pair.hr for pair in read], lr=[pair.lr for pair in read], digest=digest
    )
    progress.message(f"{len(read)} pictures of {found.name} to validate on")
    return found.name, pairs
