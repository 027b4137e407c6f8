"""The data of a training: pictures to train on and to validate on, batches, and validation.

LR is degraded as the recipe says, but that of sets that are named to validate on.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from srcli.data.degrading import VALIDATION_SEED, degrade_pairs
from srcli.data.patches import PatchSampler
from srcli.data.pictures import (
    PictureRef,
    decode,
    digest,
    find_pictures,
    read_pictures,
    refuse_lr_folders,
)
from srcli.data.training_set import (
    DataSelection,
    Pairs,
    PictureStore,
    choose_split,
    pair_up,
    split_by_rule,
)
from srcli.errors import (
    DataError,
    InferenceError,
    SrxError,
    UsageError,
    as_failure_of,
)
from srcli.evaluation.enlarging import enlarge_whole
from srcli.evaluation.pairs import read_pair
from srcli.evaluation.sets import find_set
from srcli.inference.corrections import choose_corrections
from srcli.inference.device import EngineOptions
from srcli.layers.colour import as_rgb_network
from srcli.machine import free_memory, processor_count
from srcli.metrics.fidelity import PROTOCOLS
from srcli.models import entry_of
from srcli.ports import Progress
from srcli.quantities import format_bytes
from srcli.report.table import plural
from srcli.training.parallel import ALONE, Team

if TYPE_CHECKING:
    from srcli.data.cache import PictureCache
    from srcli.data.pictures import RgbPixels
    from srcli.layers.network import Network
    from srcli.recipes.degradation import Degradation
    from srcli.recipes.training import TrainRecipe
    from srcli.training.steps import Numerics, StepContext


HELD_OUT_SET = "held-out"
"""Name of the pictures that were kept back from the training data."""
SMALLEST = 8
"""LR pixels that the shorter side of a picture must have to be of any use."""
WARNINGS = 5
"""Number of broken pictures that are named; the others are only counted."""


class TrainingSet(NamedTuple):
    """Pairs to train on and pairs to validate on."""

    train: Pairs
    held_out: Pairs | None
    digest: str
    """Digest of the HR pixels of both parts, and of the LR pixels that were read."""


def find_pairs(selection: DataSelection, scale: int) -> list[PictureRef]:
    """Find the pictures of a training; in folders of HR/LR pairs, HR pictures with their LR.

    Such folders are those of ``srx eval --data``, see ``find_set``: DIV2K's, RealSR's
    and others. The LR pictures may lie in a folder of their own, ``selection.lr``. None
    is read.

    Raises:
        DataError: If HR pictures have no partner, the first of which is named; or if LR
            pictures lie among them.
    """
    refs = []
    lr = selection.lr
    for path in selection.data:
        pictures = None
        if path.is_dir() or lr is not None:
            with suppress(DataError) if lr is None else nullcontext():
                pictures = find_set(str(path), scale, lr_folder=lr)
        if pictures is None or pictures.lr_folder is None:
            refs += find_pictures([path])
            continue
        if pictures.missing:
            reasons = list(pictures.missing.values())
            message = f"--data {reasons[0]}"
            if len(reasons) > 1:
                message += f"; {len(reasons) - 1} more have none"
            raise DataError(message)
        # by their files' names: Canon_001_HR and Canon_002_HR are not crops of one
        # photograph
        refs += [replace(ref, label="") for ref in pictures.items]
    refuse_lr_folders(selection.data, refs)
    return refs


def load_data(
    selection: DataSelection,
    scale: int,
    degradation: Degradation,
    progress: Progress,
    *,
    folder: Path | None = None,
    processes: int = 1,
    cache: PictureCache | None = None,
) -> TrainingSet:
    """Find, split, decode and pair all pictures, and degrade the LR of validation.

    Broken and tiny pictures are left out with a warning. If none of the pictures held
    out by rule can be used, the next ones are held out. Half of the free memory,
    divided by the ``processes`` of this machine that load the pictures each for itself,
    is for pictures; more of them lie in files of the folder. Those of the ``cache`` are
    not decoded again, and those that are decoded go there.
    """
    split = choose_split(find_pairs(selection, scale), selection)
    paired = any(ref.lr for ref in split.train)
    if paired and not degradation.is_clean:
        raise UsageError(
            f"--degradation {degradation.name}: the pictures come with LR of their own; leave it "
            "out, or give the HR pictures alone"
        )
    free = free_memory()
    if free is not None:
        free = free // 2 // processes
    store = PictureStore(free, folder)
    problems: list[SrxError] = []
    read = partial(
        _read_pairs,
        scale=scale,
        store=store,
        workers=max(1, processor_count() // processes),
        progress=progress,
        problems=problems,
        cache=cache,
    )
    held_out = read(split.held_out)
    while not held_out.hr and split.by_rule:
        split = split_by_rule(split.train, fewest=2)
        held_out = read(split.held_out)
    train = read(split.train)
    if not train.hr:
        raise DataError(
            f"none of the training pictures can be used; the first problem: {problems[0]}"
        )
    if len(problems) > WARNINGS:
        progress.warn(f"{len(problems)} pictures were left out in all")
    if cache is not None and cache.hits:
        progress.message(
            f"{cache.hits} decoded pictures are those of an earlier start, in {cache.folder}"
        )
    if store.in_files:
        all_bytes = format_bytes(store.in_files + store.in_memory)
        progress.message(
            f"{format_bytes(store.in_files)} of {all_bytes} of pictures lie in files in "
            f"{folder} until the end, to leave memory free"
        )
    progress.message(
        f"{plural(len(train.hr), 'picture')} to train on, {len(held_out.hr)} to validate on"
    )
    progress.message(split.reason)
    if paired:
        progress.message("LR pictures are read from files")
    if not degradation.is_clean:
        progress.message(
            f"LR by degradation {degradation.name}: for training drawn anew for every patch, for "
            f"validation once (seed {VALIDATION_SEED})"
        )
        held_out = degrade_pairs(held_out, degradation)
    parts = f"{train.digest}/"
    validation = None
    if held_out.hr:
        validation = held_out
        parts += held_out.digest
    data_digest = hashlib.sha256(parts.encode()).hexdigest()[:32]
    return TrainingSet(train, validation, data_digest)


def _read_pairs(
    refs: Sequence[PictureRef],
    scale: int,
    store: PictureStore,
    workers: int,
    progress: Progress,
    problems: list[SrxError],
    cache: PictureCache | None,
) -> Pairs:
    """Read pictures into a store; what cannot be used is added to the problems."""
    hr = []
    lr = []
    make = partial(pair_up, scale=scale)
    if cache is not None:
        make = partial(make, shrink=cache.shrunk, read=partial(_read_lr, cache=cache))
    pairs = read_pictures(
        refs, make, workers=workers, smallest=SMALLEST * scale, cache=cache
    )
    with closing(progress.task("reading", total=len(refs), unit="pictures")) as task:
        for pair in pairs:
            task.advance()
            if not isinstance(pair, SrxError):
                hr.append(store.keep(pair[0]))
                lr.append(store.keep(pair[1]))
                continue
            problems.append(pair)
            if len(problems) <= WARNINGS:
                progress.warn(f"left out: {pair}")
                progress.detail(*pair.details)
    pictures = list(hr)
    if any(ref.lr for ref in refs):
        pictures += lr
    return Pairs(scale=scale, hr=hr, lr=lr, digest=digest(pictures))


def _read_lr(path: Path, cache: PictureCache) -> RgbPixels:
    return decode(PictureRef(path=path), cache=cache)


def make_sampler(
    pairs: Pairs, recipe: TrainRecipe, context: StepContext, progress: Progress
) -> PatchSampler:
    """Return the source of batches, which the processor makes.

    For a GPU it makes them ahead of time, where processes can be forked safely. A
    training on the processor makes each batch in its own iteration (a few percent of
    it).
    """
    team = context.team
    device = context.numerics.device
    workers = 0
    if device.type != "cpu" and sys.platform == "linux":
        # One processor is the training's own.
        workers = max(processor_count() // team.local_size - 1, 1)
    sampler = PatchSampler(
        pairs,
        seed=context.seed,
        colour=context.network.colour,
        degradation=None if recipe.degradation.is_clean else recipe.degradation,
        share=(team.rank, team.size),
        device=device,
        workers=workers,
    )
    total = len(sampler.shapes)
    edges = [stage.patch_edge(pairs.scale) for stage in recipe.stages]
    for patch in sorted(set(edges)):
        usable = len(sampler.usable(patch, edges.index(patch)))
        if usable < total:
            progress.warn(
                f"{total - usable} of {total} pictures are smaller than a patch of "
                f"{patch}x{patch} LR pixels and not used"
            )
    return sampler


def validation_sets(
    held_out: Pairs | None, names: Sequence[str], scale: int, progress: Progress
) -> dict[str, Pairs]:
    """Return all sets to validate on: the held-out pictures, then those that are named.

    Named sets are read as ``srx eval`` reads them: LR of the set if it has any, else
    MATLAB bicubic of HR, independent of the training's degradation.
    """
    sets = {} if held_out is None else {HELD_OUT_SET: held_out}
    for name in names:
        try:
            pictures = find_set(name, scale)
        except DataError as error:
            raise DataError(f"--validate {error}") from error
        for note in pictures.notes:
            progress.warn(f"--validate {note}")
        for reason in pictures.missing.values():
            progress.warn(f"--validate {name}: left out: {reason}")
        pairs = []
        for item in pictures.items:
            with as_failure_of(item):
                pairs.append(read_pair(item, scale))
        if not pairs:
            raise DataError(f"--validate {name}: no picture has a partner in LR")
        count = plural(len(pairs), "picture")
        progress.message(f"{count} of {pictures.name} to validate on")
        digests = "/".join(pair.digest for pair in pairs)
        # Two folders HR in different places keep apart.
        sets[name if pictures.name in sets else pictures.name] = Pairs(
            scale=scale,
            hr=[pair.hr for pair in pairs],
            lr=[pair.lr for pair in pairs],
            digest=hashlib.sha256(digests.encode()).hexdigest(),
        )
    return sets


def deciding_set(sets: Mapping[str, Pairs]) -> str | None:
    """Return the set that decides which weights are the best; None for one of the data."""
    name = next(iter(sets), HELD_OUT_SET)
    if name == HELD_OUT_SET:
        return None
    return f"{name} ({sets[name].digest[:8]})"


def validator(
    sets: Mapping[str, Pairs],
    numerics: Numerics,
    progress: Progress | None = None,
    team: Team = ALONE,
) -> Callable[[Network], dict[str, list[float]]] | None:
    """Return a function that measures a network: PSNR-Y in dB by set and picture.

    Without sets it is None.
    """
    if not sets:
        return None
    reporter = progress or Progress()

    def measure(network: Network, pairs: Pairs) -> list[float]:
        """Upscale the LR pictures of a rank whole and compare them with HR."""
        numbers = range(team.rank, len(pairs.hr), team.size)
        values = []
        with closing(
            reporter.task("validation", total=len(numbers), unit="pictures")
        ) as task:
            for number in numbers:
                hr = pairs.hr[number]
                sr = enlarge(network, pairs.lr[number], numerics)
                values.append(PROTOCOLS["y"].psnr(sr, hr, pairs.scale))
                task.advance()
        return values

    def validate(network: Network) -> dict[str, list[float]]:
        scores = {}
        for name, pairs in sets.items():
            scores[name] = [0.0] * len(pairs.hr)
            shares = team.gather(partial(measure, as_rgb_network(network), pairs))
            for rank, psnrs in enumerate(shares):
                scores[name][rank :: team.size] = psnrs
        return scores

    return validate


def enlarge(network: Network, lr: RgbPixels, numerics: Numerics) -> RgbPixels:
    """Enlarge a picture whole while a network is trained; black where it has diverged."""
    try:
        return enlarge_whole(
            network,
            lr,
            device=numerics.device,
            half=numerics.autocast,
            layout=numerics.layout,
            # as the evaluation, and those who use the weights
            corrections=choose_corrections(EngineOptions(), entry_of("", network)),
        )
    except InferenceError:  # the loop tells of it by loss and weights
        height, width = (network.scale * side for side in lr.shape[:2])
        return np.zeros((height, width, 3), lr.dtype)
