"""Run ablations: every variant and seed is a training as of ``srx train``, scored alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from srcli import __version__
from srcli.data.training_set import choose_split
from srcli.errors import (
    CheckpointError,
    DataError,
    InferenceError,
    ModelError,
    RecipeError,
    SrxError,
    UsageError,
    one_file,
)
from srcli.evaluation.sets import BUILT_IN, find_set
from srcli.inference.device import Precision, choose_device
from srcli.metrics.efficiency import (
    CHALLENGE_SIZE,
    count_macs,
    count_parameters,
    forward_memory,
)
from srcli.metrics.machine import describe_machine, threads
from srcli.models import build_network
from srcli.pipelines.ablate.results import (
    RESULT,
    AblationResult,
    SeedResult,
    VariantResult,
    read_result,
)
from srcli.pipelines.evaluate.run import EvalOptions, evaluate
from srcli.pipelines.executors.cluster import RayExecutor
from srcli.pipelines.executors.processes import (
    Done,
    JsonDict,
    Place,
    ProcessExecutor,
    UnitProgress,
)
from srcli.pipelines.train.data import find_pairs
from srcli.pipelines.train.network import (
    build_training,
    initial_weights,
    resolve_precision,
)
from srcli.pipelines.train.run import TrainOptions, train
from srcli.ports.progress import Progress
from srcli.recipes.ablations import METRICS, Ablation, resolve
from srcli.recipes.files import first_difference, plain_recipe, read_recipe, write_json
from srcli.recipes.training import TrainRecipe
from srcli.training.budget import stage_budgets
from srcli.training.folder import RunFolder, read_position
from srcli.training.steps import Numerics

RECIPE = "recipe.json"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class AblateOptions(TrainOptions):
    """Options of all trainings of a run, whose recipe, scale, name and seed are the variants'.

    Data may be left out if none is trained; quality is measured in fp32, whatever the
    precision.
    """

    recipe: str = ""
    scale: int = 0
    out: Path = Path("ablations")
    """Folder of all ablations, each in a folder of its name."""
    seeds: int = 1
    """Trainings of every variant, with the seeds 0, 1, ..."""
    train: bool = True
    """False measures parameters, work and memory only."""
    sets: tuple[str, ...] | None = None
    """Sets to measure on; None for those of each ablation that are available."""

    def __post_init__(self) -> None:
        if self.train and not self.data:
            raise UsageError("--data: give pictures to train on, or --no-train")


@dataclass(frozen=True)
class Unit:
    """The training of a variant with one seed, and its scores; without a training, its cost."""

    ablation: Ablation
    recipe: TrainRecipe
    found: VariantResult | SeedResult
    """Part of the result that it fills in; what former runs found and still holds."""
    label: str
    """Name for messages."""
    training: TrainOptions | None = None
    """All but device and threads, which the place decides."""
    sets: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Sets to measure on: by name the source as given, and a digest of pictures and
    protocol."""


def run_ablations(
    ablations: Sequence[Ablation],
    options: AblateOptions,
    *,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    executor: ProcessExecutor | None = None,
) -> list[AblationResult]:
    """Train and measure all variants of ablations under the same conditions.

    For each seed they get the same batches in the same order. ``options.out`` has a
    folder for each ablation, variant and seed, the last of them as ``srx train`` writes
    it; what is finished there is not done again. A variant that fails becomes a row
    that says so. ``stop`` is called often; true ends the run, and running trainings
    keep a checkpoint, from which the next run goes on. Without an executor all is done
    in this process.

    SrxError if options, data or a variant make no sense, or the folder holds trainings
    under other conditions.
    """
    own, out = progress or Progress(), options.out
    recipes = [
        checked_recipes(each, options.overrides, options.budget) for each in ablations
    ]
    here = Place(device=options.device, threads=options.threads)
    asked = options.precision if options.train else "auto"  # costs are measured in fp32
    if isinstance(executor, RayExecutor):  # other machines do it
        (described,) = executor.run(_describe_place, [asked], progress=Progress())
        if described.result is None:
            raise UsageError(f"--executor: {described.failure}")
        machine = described.result
    else:
        machine = _describe_place(asked, here)
    options = replace(options, precision=machine["precision"])
    shared = {
        **machine,
        "processes": executor.slots if executor else 1,
        "trained": options.train,
        "budget": options.budget,
        "seeds": options.seeds,
        "overrides": [*options.overrides],
        "data": [*map(str, options.data)],
    }
    plans = [
        _plan(*each, options, shared, own)
        for each in zip(ablations, recipes, strict=True)
    ]
    results = {result.ablation.name: result for result, _ in plans}
    units = [unit for _, of_one in plans for unit in of_one]
    units.sort(key=lambda unit: unit.training.seed if unit.training else -1)
    for unit in units:
        if unit.training:
            write_json(Path(unit.training.recipe), plain_recipe(unit.recipe))
    wanted = sum(
        len(each.seeds) for result in results.values() for each in result.variants
    )
    if done := wanted - sum(unit.training is not None for unit in units):
        own.message(f"{done} of {wanted} trainings are there already")
    for result in results.values():
        _write(result, out)
    if executor:
        shared_files = (out, *options.data)
        finished = executor.run(
            run_unit, units, progress=own, stop=stop, shared=shared_files
        )
    else:
        finished = _run_here(units, here, own, stop)
    with closing(own.task("results", total=len(units), unit="results")) as task:
        for unit, found, failed in finished:
            why = "failure" if unit.training else "cost_failure"
            outcome = found or {why: failed}
            if failure := outcome[why]:
                own.warn(f"{unit.label}: {failure}")
            vars(unit.found).update(outcome)
            _write(
                results[unit.ablation.name], out
            )  # now, so that it stays whatever happens
            task.advance(1)
    return [*results.values()]


def _run_here(
    units: Sequence[Unit], place: Place, progress: Progress, stop: Callable[[], bool]
) -> Generator[Done, None, None]:
    """Run units one after another in this process, as an executor does in others."""
    warned: set[str] = set()
    for unit in units:
        if stop():
            return
        yield Done(
            unit, run_unit(unit, place, UnitProgress(unit, progress, warned), stop), ""
        )


def _write(result: AblationResult, out: Path) -> None:
    name = result.ablation.name
    former = None if result.conditions["trained"] else read_result(out, name)
    if not (
        former and former.conditions["trained"]
    ):  # costs alone replace no trainings
        write_json(out / name / RESULT, asdict(result))


def _plan(
    ablation: Ablation,
    recipes: Sequence[TrainRecipe],
    options: AblateOptions,
    shared: JsonDict,
    progress: Progress,
) -> tuple[AblationResult, list[Unit]]:
    """Return what is known of an ablation, and the units that fill it in: costs and trainings."""
    conditions = {**shared, "pictures": 0, "held_out": 0, "data_digest": ""}
    sets, missing = dict[str, tuple[str, str]](), list[str]()
    if options.train:
        split = choose_split(find_pairs(options, ablation.scale), options)
        parts = split.train, split.held_out
        lines = [
            f"{len(p)}/{ref.name} {ref.path.stat().st_size}" for p in parts for ref in p
        ]
        lines += [
            f"{ref.lr} {ref.lr.stat().st_size}" for p in parts for ref in p if ref.lr
        ]
        conditions["pictures"], conditions["held_out"] = map(len, parts)
        conditions["data_digest"] = _digest(lines)
        sets, missing = _find_sets(ablation, options, progress)
    conditions |= {"sets": [*sets], "missing": missing}
    variants = tuple(VariantResult(variant=each) for each in ablation.variants)
    result = AblationResult(ablation=ablation, conditions=conditions, variants=variants)
    known = _former_trainings(result, recipes, options)
    shared_options = {
        each.name: getattr(options, each.name) for each in fields(TrainOptions)
    }
    units = []
    for each, recipe in zip(result.variants, recipes, strict=True):
        name, folder = (
            each.variant.name,
            options.out / ablation.name / each.variant.name,
        )
        label = f"{ablation.name}, {name}"
        units.append(Unit(ablation, recipe, each, label))
        for seed in range(options.seeds if options.train else 0):
            own = {
                "recipe": str(folder / RECIPE),
                "scale": ablation.scale,
                "name": label,
            }
            own |= {"out": folder / f"seed-{seed}", "seed": seed, "overrides": ()}
            training = TrainOptions(**shared_options | own)
            found = _what_holds(known.get((name, seed)), training, sets)
            each.seeds += (found,)
            if found.iterations is None or sets.keys() - found.scores.keys():
                units.append(
                    Unit(
                        ablation, recipe, found, f"{label}, seed {seed}", training, sets
                    )
                )
    return result, units


def _find_sets(
    ablation: Ablation, options: AblateOptions, progress: Progress
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Return the sets to measure on, or built-in pictures, and the names of the missing ones."""
    sources, missing = [], list[str]()
    for source in options.sets or ablation.sets:
        try:
            sources.append((source, find_set(source, ablation.scale)))
        except DataError:
            if options.sets:
                raise
            missing.append(source)
    names = ", ".join(missing) or "it names none"
    if not sources:
        sources = [(BUILT_IN, find_set(BUILT_IN, ablation.scale))]
        note = f"no set available ({names}); measured on {BUILT_IN} pictures"
        progress.warn(f"{ablation.name}: {note}")
    elif missing:
        progress.message(f"{ablation.name}: not available: {names}")
    found: dict[str, tuple[str, str]] = {}
    for source, each in sources:
        if each.name in found:
            raise UsageError(f"--sets {source}: given twice")
        files = [path for item in each.items for path in (item.path, item.lr) if path]
        lines = (
            f"{file} {file.exists() and file.stat().st_mtime_ns}" for file in files
        )
        found[each.name] = source, _digest((ablation.protocol, __version__, *lines))
    return found, missing


def _former_trainings(
    result: AblationResult, recipes: Sequence[TrainRecipe], options: AblateOptions
) -> dict[tuple[str, int], SeedResult]:
    """Return what is stored by variant and seed; refuse trainings under other conditions."""
    ablation, now = result.ablation, result.conditions
    folder, former = (
        options.out / ablation.name,
        read_result(options.out, ablation.name),
    )
    if not (former and former.conditions["trained"] and now["trained"]):
        return {}
    same = ("budget", "data_digest", "precision", "device")
    was, new = (
        {name: each[name] for name in same} for each in (former.conditions, now)
    )
    for variant, recipe in zip(ablation.variants, recipes, strict=True):
        if (file := folder / variant.name / RECIPE).is_file():
            name = f"recipe of {variant.name!r}"
            was[name], new[name] = plain_recipe(read_recipe(file)), plain_recipe(recipe)
    if difference := first_difference(was, new):
        raise UsageError(
            f"--out {options.out}: {ablation.name} was trained under other conditions "
            f"({difference}); give another --out, or remove {folder} to start over"
        )
    return {
        (v.variant.name, each.seed): each for v in former.variants for each in v.seeds
    }


def _what_holds(
    former: SeedResult | None,
    training: TrainOptions,
    sets: Mapping[str, tuple[str, str]],
) -> SeedResult:
    """Drop what was found of a training that went on since, and scores of other pictures."""
    with suppress(CheckpointError):  # the training will tell
        if (
            former
            and read_position(RunFolder(training.out).state).total == former.iterations
        ):
            wanted = {(name, key) for name, (_, key) in sets.items()}
            scores = former.scores.items()
            kept = {name: own for name, own in scores if (name, own["key"]) in wanted}
            return replace(former, scores=kept, failure="")
    return SeedResult(seed=training.seed)


def checked_recipes(
    ablation: Ablation, settings: Sequence[str] = (), budget: str | None = None
) -> list[TrainRecipe]:
    """Return the recipes of all variants after building what a training builds before it begins."""
    recipes = []
    EvalOptions(protocol=ablation.protocol)  # refuse a wrong name
    for variant in ablation.variants:
        recipe = resolve(ablation, variant, settings)
        try:
            initial_weights(recipe, ablation.scale)
            build_training(recipe, ablation.scale, Numerics(device=torch.device("cpu")))
            stage_budgets(recipe, budget)
        except (ModelError, RecipeError) as error:
            raise type(error)(
                f"{ablation.name}, variant {variant.name!r}: {error}"
            ) from error
        recipes.append(recipe)
    return recipes


def _digest(lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _describe_place(asked: Precision, place: Place, *_: object) -> JsonDict:
    """Return ``device``, ``machine`` and ``precision`` of a place where units are run."""
    device = choose_device(place.device)
    with threads(place.threads or None):
        machine = describe_machine(device)
    precision = resolve_precision(asked, device)
    return {"device": device.type, "machine": machine, "precision": precision}


def run_unit(
    unit: Unit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Do a unit, and return what changes in the part of the result that it fills in.

    Failures are a diverged training, too little memory, a defect. A training that is
    stopped goes on from its checkpoint the next time.
    """
    with threads(place.threads or None):
        if unit.training is None or isinstance(unit.found, VariantResult):
            cost, failure = _attempt(
                partial(measure_cost, unit, place.device), progress
            )
            return {"cost": cost, "cost_failure": failure}
        own = replace(
            unit.training, device=place.device, threads=place.threads, resume=True
        )
        iterations, scores, failures = unit.found.iterations, {**unit.found.scores}, []
        if iterations is None:
            iterations, failure = _attempt(
                partial(_train, own, progress, stop), progress
            )
            failures.append(failure)
        for name in [each for each in unit.sets if each not in scores]:
            if iterations is None or stop():
                break
            score, failure = _attempt(
                partial(_score, unit, own, name, progress), progress
            )
            scores |= {name: score} if score else {}
            failures.append(failure and f"{name}: {failure}")
        failure = "; ".join(filter(None, failures))
        return {"iterations": iterations, "scores": scores, "failure": failure}


def _attempt(call: Callable[[], T], progress: Progress) -> tuple[T | None, str]:
    """Return the value of a call, or None and the reason why it failed."""
    try:
        with one_file("failed"):
            return call(), ""
    except InferenceError as error:
        # without its advice, which is about the options of a single training
        reason = str(error).partition("; ")[0]
    except SrxError as error:
        reason = str(error)
        cause = error.__cause__  # PyTorch has no type for full memory on processors
        full = isinstance(cause, MemoryError | torch.OutOfMemoryError)
        if full or "DefaultCPUAllocator" in str(cause):
            reason = "out of memory"
        else:
            progress.detail(*error.details)
    finally:
        if torch.cuda.is_available():  # other workers may share the device
            torch.cuda.empty_cache()
    return None, reason


def _train(
    options: TrainOptions, progress: Progress, stop: Callable[[], bool]
) -> int | None:
    """Train to the end and return the iterations; None if it was stopped before."""
    try:
        result = train(options, progress, stop)
    except CheckpointError as error:
        reason = str(error).rpartition("; ")[0]
        raise DataError(f"{reason}; remove {options.out} to start over") from error
    return result.position.total if result.finished else None


def _score(
    unit: Unit, training: TrainOptions, dataset: str, progress: Progress
) -> JsonDict:
    """Measure the last weights: the best by validation may be older than the last stage."""
    options = EvalOptions(
        protocol=unit.ablation.protocol,
        metrics=METRICS,
        costs=False,
        device=training.device,
    )
    source, key = unit.sets[dataset]
    weights, scales = str(RunFolder(training.out).last), (training.scale,)
    evaluation = evaluate(
        [weights], [source], scales=scales, options=options, progress=progress
    )
    for failure in evaluation.failures:
        raise DataError(f"every picture must be measured: {failure.reason}")
    pictures = {score.picture: score.values for score in evaluation.scores}
    return {
        "pictures": pictures,
        "bicubic": evaluation.means()[0]["bicubic"],
        "key": key,
    }


def measure_cost(unit: Unit, device: str) -> JsonDict:
    """Measure a network in the form that is deployed."""
    target, own = choose_device(device), unit.ablation
    with torch.random.fork_rng(devices=[]):
        network = build_network(
            unit.recipe.model, scale=own.scale, options=unit.recipe.network
        )
    network = network.deploy()
    memory = {}
    for size in own.memory_sizes or (CHALLENGE_SIZE,):
        peak = forward_memory(network, size, target, gradients=own.memory_gradients)
        memory["{}x{}".format(*size)] = peak
    macs, _ = count_macs(network, *CHALLENGE_SIZE)
    return {"parameters": count_parameters(network), "macs": macs, "memory": memory}
