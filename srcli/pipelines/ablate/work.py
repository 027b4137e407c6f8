"""Do a unit of work of an ablation: train a variant and score it, or measure its cost."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

import torch

from srcli.errors import CheckpointError, DataError, DefectError, InferenceError, SrxError, one_file
from srcli.inference.device import choose_device
from srcli.inference.engines import EngineOptions
from srcli.metrics.efficiency import CHALLENGE_SIZE, count_macs, count_parameters, forward_memory
from srcli.metrics.machine import threads
from srcli.models import build_network
from srcli.pipelines.ablate.results import Cost, SeedResult, SetScores, read_values, write_values
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.train.options import TrainOptions
from srcli.pipelines.train.run import train
from srcli.ports.progress import show_traceback
from srcli.recipes.ablations import METRICS, Ablation
from srcli.recipes.training import TrainRecipe
from srcli.training.folder import RunFolder, file_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from srcli.ports.executor import JsonDict, Place
    from srcli.ports.progress import Progress

SCORES = "scores.json"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class MeasuredSet:
    """A set that a trained variant is measured on."""

    name: str
    """As tables call it."""
    source: str
    """As given: a name or a folder."""
    key: str
    """Digest of its pictures and the protocol."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """The training of a variant with one seed, and its scores; without a training, its cost."""

    ablation: Ablation
    variant: str
    recipe: TrainRecipe
    training: TrainOptions | None = None
    """All but device and threads, which the place decides."""
    sets: tuple[MeasuredSet, ...] = ()

    @property
    def label(self) -> str:
        """Name for messages."""
        seed = f", seed {self.training.seed}" if self.training else ""
        return f"{self.ablation.name}, {self.variant}{seed}"

    def lacks(self, found: SeedResult) -> bool:
        """Return whether training or scores are missing."""
        return found.iterations is None or any(each.name not in found.scores for each in self.sets)


def stored_result(training: TrainOptions, sets: Sequence[MeasuredSet]) -> SeedResult:
    """Return what a folder holds: no scores of other weights or pictures, no failures."""
    folder = RunFolder(training.out)
    found: SeedResult | None = None
    with suppress(DataError):  # damaged: measured again
        found = read_values(folder.path / SCORES, SeedResult)
    if found is None or not folder.last.is_file() or found.weights != file_digest(folder.last):
        return SeedResult(seed=training.seed)
    keys = {each.name: each.key for each in sets}
    scores = {n: own for n, own in found.scores.items() if own.key and own.key == keys.get(n)}
    return replace(found, scores=scores, failure="")


def run_unit(unit: Unit, place: Place, progress: Progress, stop: Callable[[], bool]) -> JsonDict:
    """Do a unit; failures (a diverged training, too little memory, a defect) are its result.

    Returns:
        ``cost`` and ``cost_failure``, or ``seed``. A training that is stopped goes on from its
        checkpoint the next time.
    """
    with threads(place.threads or None):
        if unit.training is None:
            cost, failure = _attempt(partial(measure_cost, unit, place.device), progress)
            return {"cost": cost, "cost_failure": failure}
        own = replace(unit.training, device=place.device, threads=place.threads, resume=True)
        found, failure = _attempt(partial(_train, own, unit.sets, progress, stop), progress)
        found = found or SeedResult(seed=own.seed)
        failures = [failure] * bool(failure)
        for each in unit.sets if found.iterations is not None else ():
            if each.name in found.scores or stop():
                continue
            score = partial(_score, own, found, each, unit.ablation.protocol, progress)
            scored, failure = _attempt(score, progress)
            found = scored or found
            failures += [f"{each.name}: {failure}"] * (scored is None)
        return {"seed": replace(found, failure="; ".join(failures))}


def _attempt(call: Callable[[], T], progress: Progress) -> tuple[T | None, str]:
    """Return the value of a call, or None and the reason why it failed."""
    try:
        with one_file("failed"):
            return call(), ""
    except InferenceError as error:
        reason = error.reason  # its advice is about the options of a single training
    except SrxError as error:
        reason = str(error)
        cause = error.__cause__  # PyTorch has no type for full memory on processors
        full = isinstance(cause, MemoryError | torch.OutOfMemoryError)
        if full or "DefaultCPUAllocator" in str(cause):
            reason = "out of memory"
        elif isinstance(error, DefectError):
            show_traceback(error, progress)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None, reason


def _train(
    options: TrainOptions,
    sets: Sequence[MeasuredSet],
    progress: Progress,
    stop: Callable[[], bool],
) -> SeedResult:
    """Return the training with the scores that are there, without iterations if it was stopped."""
    known = stored_result(options, sets)
    if known.iterations is not None:
        return known
    try:
        result = train(options, progress, stop)
    except CheckpointError as error:
        raise DataError(error.reason, advice=f"remove {options.out} to start over") from error
    if not result.finished:
        return known
    # Not the best by validation, which may be older than the last stage.
    weights = file_digest(RunFolder(options.out).last)
    found = SeedResult(seed=options.seed, weights=weights, iterations=result.iterations)
    write_values(options.out / SCORES, asdict(found))
    return found


def _score(
    training: TrainOptions,
    found: SeedResult,
    measured: MeasuredSet,
    protocol: str,
    progress: Progress,
) -> SeedResult:
    """Return the training with its scores on one more set, and store them."""
    options = EvalOptions(
        protocol=protocol,
        metrics=METRICS,
        resamples=0,
        costs=False,
        engine=EngineOptions(device=training.device, precision="fp32"),
    )
    weights = str(RunFolder(training.out).last)
    evaluation = evaluate(
        [weights], [measured.source], scales=(training.scale,), options=options, progress=progress
    )
    for failure in evaluation.failures:
        progress.warn(f"left out: {failure.dataset}/{failure.picture}: {failure.reason}")
    (mean,) = evaluation.means()
    levels = (score.bicubic for score in evaluation.scores)
    scores = SetScores(
        pictures={score.picture: score.values for score in evaluation.scores},
        bicubic=fmean(level for level in levels if level is not None),
        of=mean.of,
        left_out=tuple(failure.picture for failure in evaluation.failures),
        key=measured.key,
    )
    found = replace(found, scores={**found.scores, measured.name: scores})
    write_values(training.out / SCORES, asdict(found))
    return found


def measure_cost(unit: Unit, device: str) -> Cost:
    """Measure a network in the form that is deployed."""
    target, own = choose_device(device), unit.ablation
    with torch.random.fork_rng(devices=[]):
        network = build_network(unit.recipe.model, scale=own.scale, options=unit.recipe.network)
    network = network.deploy()
    memory = {}
    for size in own.memory_sizes or (CHALLENGE_SIZE,):
        peak = forward_memory(network, size, target, gradients=own.memory_gradients)
        memory["{}x{}".format(*size)] = peak
    macs = count_macs(network, *CHALLENGE_SIZE).conv_macs
    return Cost(parameters=count_parameters(network), macs=macs, memory=memory)
