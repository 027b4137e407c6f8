"""Do a unit of work of an ablation: train a variant and score it, or measure its cost."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

import torch

from srcli.errors import CheckpointError, DataError, DefectError, InferenceError, SrxError, one_file
from srcli.inference.device import Precision, choose_device
from srcli.inference.engines import EngineOptions
from srcli.metrics.efficiency import CHALLENGE_SIZE, count_macs, count_parameters, forward_memory
from srcli.metrics.machine import address_space, describe_machine, free_memory, threads
from srcli.models import build_network
from srcli.pipelines.ablate.results import Cost, SeedResult, SetScores, read_values, write_values
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.train.numerics import resolve_precision
from srcli.pipelines.train.options import TrainOptions
from srcli.pipelines.train.run import train
from srcli.ports.progress import show_traceback
from srcli.recipes.ablations import METRICS
from srcli.recipes.training import TrainRecipe
from srcli.training.folder import RunFolder, file_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from srcli.ports.executor import JsonDict, Place
    from srcli.ports.progress import Progress

SCORES = "scores.json"
SPARE = 256 << 20
"""Bytes of the free memory that are left to others."""
OUT_OF_MEMORY = "out of memory"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class MachineUnit:
    """The description of the machine that runs the units."""

    precision: Precision
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class CostUnit:
    """The parameters, work and memory of one variant."""

    label: str
    variant: str
    recipe: TrainRecipe
    scale: int
    sizes: tuple[tuple[int, int], ...]
    """LR (height, width) at which memory is measured."""
    gradients: bool
    """Measure it with gradients recorded."""


@dataclass(frozen=True, kw_only=True)
class MeasuredSet:
    """A set that a trained variant is measured on."""

    name: str
    """As tables call it."""
    source: str
    """As given: a name or a folder."""
    protocol: str
    key: str
    """Digest of its pictures and the protocol."""


@dataclass(frozen=True, kw_only=True)
class SeedUnit:
    """The training of one variant with one seed, and its scores."""

    label: str
    variant: str
    training: TrainOptions
    """All but device and threads, which the place decides."""
    sets: tuple[MeasuredSet, ...]

    def stored(self) -> SeedResult:
        """Return what its folder holds: no scores of other weights or pictures, no failures."""
        folder = RunFolder(self.training.out)
        found: SeedResult | None = None
        with suppress(DataError):  # damaged: measured again
            found = read_values(folder.path / SCORES, SeedResult)
        if found is None or not folder.last.is_file() or found.weights != file_digest(folder.last):
            return SeedResult(seed=self.training.seed)
        keys = {each.name: each.key for each in self.sets}
        scores = {n: own for n, own in found.scores.items() if own.key and own.key == keys.get(n)}
        return replace(found, scores=scores, failure="")

    def lacks(self, found: SeedResult) -> bool:
        """Return whether training or scores are missing."""
        return found.iterations is None or any(each.name not in found.scores for each in self.sets)


Unit = CostUnit | SeedUnit


def describe_place(
    unit: MachineUnit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Describe the machine of a worker.

    Returns:
        ``device``: its type; ``machine``: in words; ``precision``: resolved.
    """
    device = choose_device(place.device)
    with threads(place.threads or None):
        machine = str(describe_machine(device))
    precision = resolve_precision(unit.precision, device)
    return {"device": device.type, "machine": machine, "precision": precision}


def run_unit(unit: Unit, place: Place, progress: Progress, stop: Callable[[], bool]) -> JsonDict:
    """Do a unit; failures (a diverged training, too little memory, a defect) are its result.

    Returns:
        ``cost`` and ``cost_failure``, or ``seed`` and whether it was ``stopped``. A training that
        is stopped goes on from its checkpoint the next time.
    """
    with threads(place.threads or None):
        if isinstance(unit, CostUnit):
            cost, failure = _attempt(partial(measure_cost, unit, place.device), progress)
            return {"cost": cost, "cost_failure": failure}
        found, failure = _attempt(partial(_train, unit, place, progress, stop), progress)
        if found is None:
            failed = SeedResult(seed=unit.training.seed, failure=failure)
            return {"seed": failed, "stopped": not failure}
        failures: list[str] = []
        for each in unit.sets:
            if each.name in found.scores or stop():
                continue
            scores, failure = _attempt(partial(_score, unit, each, place, progress), progress)
            if scores is None:
                failures.append(f"{each.name}: {failure}")
                continue
            found = replace(found, scores={**found.scores, each.name: scores})
            _, failure = _attempt(
                partial(write_values, unit.training.out / SCORES, found), progress
            )
            failures += [failure] * bool(failure)
        found = replace(found, failure="; ".join(failures))
        return {"seed": found, "stopped": not failures and unit.lacks(found)}


def _attempt(call: Callable[[], T], progress: Progress) -> tuple[T | None, str]:
    """Return the value of a call, or None and the reason why it failed."""
    try:
        with one_file("failed"):
            return call(), ""
    except InferenceError as error:
        reason = error.reason  # its advice is about the options of a single training
    except DefectError as error:
        reason = str(error)
        if isinstance(error.__cause__, Exception) and out_of_memory(error.__cause__):
            reason = OUT_OF_MEMORY
        else:
            show_traceback(error, progress)
    except SrxError as error:
        reason = str(error)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None, reason


def _train(
    unit: SeedUnit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> SeedResult | None:
    """Return the training with the scores that are there; None if it was stopped."""
    known = unit.stored()
    if known.iterations is not None:
        return known
    options = replace(unit.training, device=place.device, threads=place.threads, resume=True)
    try:
        result = train(options, progress, stop)
    except CheckpointError as error:
        raise DataError(error.reason, advice=f"remove {options.out} to start over") from error
    if not result.finished:
        return None
    folder = RunFolder(options.out)
    found = SeedResult(
        seed=options.seed,
        weights=file_digest(folder.last),  # the best by validation may be older than the last stage
        iterations=result.iterations,
    )
    write_values(folder.path / SCORES, found)
    return found


def _score(unit: SeedUnit, measured: MeasuredSet, place: Place, progress: Progress) -> SetScores:
    options = EvalOptions(
        protocol=measured.protocol,
        metrics=METRICS,
        resamples=0,
        costs=False,
        engine=EngineOptions(device=place.device, precision="fp32"),
    )
    own, weights = unit.training, str(RunFolder(unit.training.out).last)
    found = evaluate(
        [weights], [measured.source], scales=(own.scale,), options=options, progress=progress
    )
    for failure in found.failures:
        progress.warn(f"left out: {failure.dataset}/{failure.picture}: {failure.reason}")
    (mean,) = found.means()
    return SetScores(
        pictures={score.picture: score.values for score in found.scores},
        bicubic=fmean(score.bicubic for score in found.scores if score.bicubic is not None),
        of=mean.of,
        left_out=tuple(failure.picture for failure in found.failures),
        key=measured.key,
    )


def measure_cost(unit: CostUnit, device: str) -> Cost:
    """Measure a network in the form that is deployed.

    Raises:
        SrxError: If an option of the network or the device does not fit.
    """
    target, recipe = choose_device(device), unit.recipe
    with torch.random.fork_rng(devices=[]):
        network = build_network(recipe.model, scale=unit.scale, options=recipe.network).deploy()
    memory: dict[str, int | None] = {}
    for height, width in unit.sizes:
        peak = None
        try:
            with _limited(target):
                size = height, width
                peak = forward_memory(network, size, target, gradients=unit.gradients)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        memory[f"{height}x{width}"] = peak
    macs = count_macs(network, *CHALLENGE_SIZE).conv_macs
    return Cost(parameters=count_parameters(network), macs=macs, memory=memory)


def out_of_memory(error: Exception) -> bool:
    """Return whether an error is a lack of memory; PyTorch has no type for that on processors."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (type(error) is RuntimeError and "DefaultCPUAllocator" in str(error))


@contextmanager
def _limited(device: torch.device) -> Iterator[None]:
    """Limit this process to the memory that is free now.

    Linux grants more memory than there is and kills a process later; under a limit the allocation
    itself fails, which can be reported. Other systems, and GPUs, need no limit.
    """
    free, held = free_memory(), address_space()
    if device.type != "cpu" or free is None or held is None:
        yield
        return
    import resource  # not on Windows, where there is no /proc either

    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = held + max(free - SPARE, 0)
    tightest = min(x for x in (wanted, before, hard) if x != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (tightest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))
