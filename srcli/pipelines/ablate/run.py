"""Run ablations: every variant and seed is a training as of ``srx train``, scored alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields, replace
from filecmp import cmp
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import torch

from srcli import __version__
from srcli.data.training_set import Split, choose_split
from srcli.errors import (
    CheckpointError,
    DataError,
    InferenceError,
    ModelError,
    RecipeError,
    SrxError,
    UsageError,
    as_failure_of,
)
from srcli.evaluation.sets import BUILT_IN, find_set
from srcli.files import file_state, write_json
from srcli.inference.device import Precision, choose_device
from srcli.layers.user_network import can_start_from_bicubic
from srcli.machine import describe_machine, torch_threads
from srcli.metrics.efficiency import (
    CHALLENGE_SIZE,
    count_macs,
    count_parameters,
    forward_memory,
)
from srcli.models import build_network, network_class
from srcli.pipelines.ablate.results import (
    RESULT,
    AblationResult,
    Conditions,
    PictureScores,
    SeedResult,
    SetScores,
    VariantCost,
    VariantResult,
    read_result,
)
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.executors.cluster import RayExecutor
from srcli.pipelines.executors.processes import (
    JsonDict,
    Outcome,
    ProcessExecutor,
    Slot,
    UnitProgress,
)
from srcli.pipelines.train.data import find_pairs
from srcli.pipelines.train.network import build_training, initial_weights
from srcli.pipelines.train.numerics import resolve_precision
from srcli.pipelines.train.run import TrainOptions, TrainSettings, train
from srcli.ports import Progress, Stop
from srcli.recipes.ablations import (
    PRINTED_METRICS,
    Ablation,
    Variant,
    further_settings,
    variant_recipe,
)
from srcli.recipes.files import first_difference, plain_recipe, read_recipe
from srcli.recipes.plugins import codes_in
from srcli.recipes.training import TrainRecipe
from srcli.training.budget import stage_budgets
from srcli.training.folder import RunFolder, read_position
from srcli.training.steps import Numerics

RECIPE = "recipe.json"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class AblateOptions(TrainSettings):
    """Options that all trainings of a run have in common.

    Data may be left out if none is trained; quality is measured in fp32, whatever the
    precision.
    """

    overrides: tuple[str, ...] = ()
    """Changed fields of all recipes, ``path=value``."""
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
    """A training of a variant with its scores or, without a training, the variant's cost."""

    ablation: Ablation
    recipe: TrainRecipe
    target: VariantResult | SeedResult
    """Part of the result that it fills in; what former runs found and still holds."""
    label: str
    """Name for messages."""
    training: TrainOptions | None = None
    """All but device and threads, which the slot decides."""
    sets: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Sets to measure on: by name the source as given, and a digest of pictures and
    protocol."""


def run_ablations(
    ablations: Sequence[Ablation],
    options: AblateOptions,
    *,
    progress: Progress | None = None,
    stop: Stop = lambda: False,
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
    progress = progress or Progress()
    out = options.out
    here = Slot(device=options.device, threads=options.threads)
    machine = _find_machine(options, here, executor)
    options = replace(options, precision=machine["precision"])
    conditions = Conditions(
        **machine,
        processes=executor.slot_count if executor else 1,
        trained=options.train,
        budget=options.budget,
        seeds=options.seeds,
        overrides=options.overrides,
        data=tuple(map(str, options.data)),
    )
    results = {}
    units = []
    trainings = 0
    for ablation in ablations:
        result, new_units = _plan(ablation, options, conditions, progress)
        results[ablation.name] = result
        units += new_units
        for variant in result.variants:
            trainings += sum(not seed.failure for seed in variant.seeds)
    # costs first, then all variants with the first seed: they can be compared early
    units.sort(key=lambda unit: unit.training.seed if unit.training else -1)
    finished_trainings = trainings
    for unit in units:
        if unit.training:
            finished_trainings -= 1
            write_json(Path(unit.training.recipe), plain_recipe(unit.recipe))
    if finished_trainings:
        progress.message(
            f"{finished_trainings} of {trainings} trainings are there already"
        )
    for result in results.values():
        _write(result, out)
    if executor:
        finished = executor.run(
            run_unit,
            units,
            progress=progress,
            stop=stop,
            shared=(out, *options.data),
            label_of=attrgetter("label"),
        )
    else:
        finished = _run_here(units, here, progress, stop)
    with closing(progress.task("results", total=len(units), unit="results")) as task:
        for unit, outcome, failure in finished:
            reason = "failure" if unit.training else "cost_failure"
            changes = outcome or {reason: str(failure)}
            for name, value in changes.items():
                setattr(unit.target, name, value)
            if changes[reason]:
                progress.warn(f"{unit.label}: {changes[reason]}")
            # now, so that it stays whatever happens
            _write(results[unit.ablation.name], out)
            task.advance(1)
    return list(results.values())


def _find_machine(
    options: AblateOptions, here: Slot, executor: ProcessExecutor | None
) -> JsonDict:
    """Describe the machine that runs the units: this one, or one of a cluster."""
    # costs are measured in fp32
    precision = options.precision if options.train else "auto"
    if not isinstance(executor, RayExecutor):
        return _describe_slot(precision, here)
    (outcome,) = executor.run(_describe_slot, [precision], progress=Progress())
    if outcome.result is None:
        raise UsageError(f"--executor: {outcome.failure}")
    return outcome.result


def _run_here(
    units: Sequence[Unit], slot: Slot, progress: Progress, stop: Stop
) -> Generator[Outcome[Unit], None, None]:
    """Run units one after another in this process, as an executor does in others."""
    warned: set[str] = set()
    for unit in units:
        if stop():
            return
        unit_progress = UnitProgress(unit.label, progress, warned)
        yield Outcome(unit, run_unit(unit, slot, unit_progress, stop), "")


def _write(result: AblationResult, out: Path) -> None:
    """Write a result; costs alone replace no trainings."""
    name = result.ablation.name
    if not result.conditions.trained:
        former = read_result(out, name)
        if former and former.conditions.trained:
            return
    write_json(out / name / RESULT, asdict(result))


def _plan(
    ablation: Ablation,
    options: AblateOptions,
    conditions: Conditions,
    progress: Progress,
) -> tuple[AblationResult, list[Unit]]:
    """Return what is known of an ablation, and the units that fill it in."""
    EvalOptions(protocol=ablation.protocol)  # refuse a wrong name
    settings_of_all = further_settings(ablation, options.overrides)
    conditions = replace(conditions, overrides=settings_of_all)
    recipes: dict[str, TrainRecipe] = {}
    failures: dict[str, ModelError | RecipeError] = {}
    for planned in ablation.variants:
        variant_recipe(ablation, planned, settings_of_all)  # a slip of the pen ends all
        try:
            recipes[planned.name] = checked_recipe(
                ablation, planned, settings_of_all, options.budget
            )
        except (ModelError, RecipeError) as error:
            failures[planned.name] = error
    if ablation.base in failures:  # nothing could be compared
        raise next(iter(failures.values()))
    sets: dict[str, tuple[str, str]] = {}
    if options.train:
        split = choose_split(find_pairs(options, ablation.scale), options)
        sets, missing = _find_sets(ablation, options, progress)
        conditions = replace(
            conditions,
            pictures=len(split.train),
            held_out=len(split.held_out),
            data_digest=_data_digest(split),
            sets=tuple(sets),
            missing=tuple(missing),
        )
    variants = tuple(
        VariantResult(variant=variant, seeds=()) for variant in ablation.variants
    )
    result = AblationResult(ablation=ablation, conditions=conditions, variants=variants)
    former = _former_trainings(result, recipes, options)
    settings = {
        entry.name: getattr(options, entry.name) for entry in fields(TrainSettings)
    }
    units = []
    for variant in variants:
        name = variant.variant.name
        folder = options.out / ablation.name / variant.variant.folder
        label = f"{ablation.name}, {name}"
        if name in failures:
            reason = str(failures[name]).partition(": ")[2]
            progress.warn(f"{label} cannot be built, the others go on: {reason}")
            variant.cost_failure = reason
            for seed in range(options.seeds if options.train else 0):
                variant.seeds += (SeedResult(seed=seed, failure=reason),)
            continue
        recipe = recipes[name]
        units.append(Unit(ablation, recipe, variant, label))
        for seed in range(options.seeds if options.train else 0):
            training = TrainOptions(
                recipe=str(folder / RECIPE),
                scale=ablation.scale,
                name=label,
                out=folder / f"seed-{seed}",
                seed=seed,
                **settings,
            )
            result_of_seed = _what_holds(former.get((name, seed)), training, sets)
            variant.seeds += (result_of_seed,)
            is_trained = result_of_seed.iterations is not None
            if is_trained and sets.keys() <= result_of_seed.scores.keys():
                continue  # on all sets it is measured, too
            label_of_seed = f"{label}, seed {seed}"
            units.append(
                Unit(ablation, recipe, result_of_seed, label_of_seed, training, sets)
            )
    return result, units


def _data_digest(split: Split) -> str:
    """Return a digest of the names and sizes of all pictures of a training."""
    parts = split.train, split.held_out
    lines = []
    for refs in parts:
        lines += [f"{len(refs)}/{ref.name} {_size(ref.path)}" for ref in refs]
    for refs in parts:
        lines += [f"{ref.lr} {_size(ref.lr)}" for ref in refs if ref.lr]
    return _digest(lines)


def _size(path: Path) -> int:
    """Return the bytes of a file; 0 for a broken link."""
    size, _ = file_state(path) or (0, 0)
    return size


def _find_sets(
    ablation: Ablation, options: AblateOptions, progress: Progress
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Return the sets to measure on, as ``Unit.sets`` has them, and those missing.

    Without any set it is built-in pictures.
    """
    sources = []
    missing = []
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
    sets = {}
    for source, pictures in sources:
        if pictures.name in sets:
            raise UsageError(f"--sets {source}: given twice")
        lines = [ablation.protocol, __version__]
        for item in pictures.items:
            for file in filter(None, (item.path, item.lr)):
                lines.append(f"{file} {file.exists() and file.stat().st_mtime_ns}")
        sets[pictures.name] = source, _digest(lines)
    return sets, missing


def _former_trainings(
    result: AblationResult, recipes: Mapping[str, TrainRecipe], options: AblateOptions
) -> dict[tuple[str, int], SeedResult]:
    """Return what is stored by variant and seed; refuse trainings under other conditions."""
    ablation = result.ablation
    conditions = result.conditions
    folder = options.out / ablation.name
    former = read_result(options.out, ablation.name)
    if not (former and former.conditions.trained and conditions.trained):
        return {}
    was = {}
    now = {}
    for name in ("budget", "data_digest", "precision", "device"):
        was[name] = getattr(former.conditions, name)
        now[name] = getattr(conditions, name)
    for variant in ablation.variants:
        recipe = recipes.get(variant.name)
        file = folder / variant.folder / RECIPE
        if recipe and file.is_file():
            name = f"recipe of {variant.name!r}"
            was[name] = plain_recipe(read_recipe(file))
            now[name] = plain_recipe(recipe)
    if difference := first_difference(was, now):
        raise UsageError(
            f"--out {options.out}: {ablation.name} was trained under other conditions "
            f"({difference}); give another --out, or remove {folder} to start over"
        )
    trainings = {}
    for stored in former.variants:
        for seed in stored.seeds:
            trainings[stored.variant.name, seed.seed] = seed
    return trainings


def _what_holds(
    former: SeedResult | None,
    training: TrainOptions,
    sets: Mapping[str, tuple[str, str]],
) -> SeedResult:
    """Return what still holds of a training's result.

    Nothing does if it went on since; scores of other pictures do not.
    """
    nothing = SeedResult(seed=training.seed)
    if former is None:
        return nothing
    try:
        position = read_position(RunFolder(training.out).state)
    except CheckpointError:  # the training will tell
        return nothing
    if position.total != former.iterations:
        return nothing
    scores = {}
    for name, measured in former.scores.items():
        if name in sets and sets[name][1] == measured.key:
            scores[name] = measured
    return replace(former, scores=scores, failure="")


def checked_recipe(
    ablation: Ablation,
    variant: Variant,
    settings: Sequence[str] = (),
    budget: str | None = None,
) -> TrainRecipe:
    """Return the recipe of a variant, after building what its training begins with.

    A network of the user's own that has no bicubic start begins as it is built.
    """
    recipe = variant_recipe(ablation, variant, settings)
    try:
        if codes_in(recipe.model) and recipe.start_from_bicubic:
            kind = network_class(recipe.model)
            recipe = replace(recipe, start_from_bicubic=can_start_from_bicubic(kind))
        initial_weights(recipe, ablation.scale)
        build_training(recipe, ablation.scale, Numerics(device=torch.device("cpu")))
        stage_budgets(recipe, budget)
    except (ModelError, RecipeError) as error:
        raise type(error)(
            f"{ablation.name}, variant {variant.name!r}: {error}"
        ) from error
    return recipe


def _digest(lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _describe_slot(precision: Precision, slot: Slot, *_: object) -> JsonDict:
    """Return ``device``, ``machine`` and ``precision`` of a slot in which units are run."""
    device = choose_device(slot.device)
    with torch_threads(slot.threads or None):
        machine = describe_machine(device)
    precision = resolve_precision(precision, device)
    return {"device": device.type, "machine": machine, "precision": precision}


def run_unit(unit: Unit, slot: Slot, progress: Progress, stop: Stop) -> JsonDict:
    """Do a unit, and return the changed fields of the part of the result that it fills in.

    Failures are a diverged training, too little memory, a defect. A training that is
    stopped goes on from its checkpoint the next time.
    """
    with torch_threads(slot.threads or None):
        if unit.training is None or isinstance(unit.target, VariantResult):
            cost, failure = _attempt(progress, measure_cost, unit, slot.device)
            return {"cost": cost, "cost_failure": failure}
        options = replace(
            unit.training, device=slot.device, threads=slot.threads, resume=True
        )
        iterations = unit.target.iterations
        scores = dict(unit.target.scores)
        failures = []
        if iterations is None:
            iterations, failure = _attempt(progress, _train, options, progress, stop)
            failures.append(failure)
        for name in unit.sets:
            if iterations is None or name in scores or stop():
                continue
            score, failure = _attempt(progress, _score, unit, options, name, progress)
            if score:
                scores[name] = score
            else:
                failures.append(f"{name}: {failure}")
        failure = "; ".join(filter(None, failures))
        return {"iterations": iterations, "scores": scores, "failure": failure}


def _attempt(
    progress: Progress, function: Callable[..., T], *arguments: object
) -> tuple[T | None, str]:
    """Return the value of a function, or None and the reason why it failed."""
    try:
        with as_failure_of("failed"):
            return function(*arguments), ""
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
        torch.cuda.empty_cache()  # other workers may share the device
    return None, reason


def _train(options: TrainOptions, progress: Progress, stop: Stop) -> int | None:
    """Train to the end and return the iterations; None if it was stopped before."""
    try:
        result = train(options, progress, stop)
    except CheckpointError as error:
        reason = str(error).rpartition("; ")[0]
        raise DataError(f"{reason}; remove {options.out} to start over") from error
    return result.position.total if result.finished else None


def _score(
    unit: Unit, training: TrainOptions, dataset: str, progress: Progress
) -> SetScores:
    """Measure the last weights: the best by validation may be older than the last stage.

    Of the best, where they are others, the mean PSNR stands beside.
    """
    options = EvalOptions(
        protocol=unit.ablation.protocol,
        metrics=PRINTED_METRICS,
        costs=False,
        device=training.device,
    )
    source, key = unit.sets[dataset]
    folder = RunFolder(training.out)
    files = [folder.last]
    if folder.best.is_file() and not cmp(folder.last, folder.best, shallow=False):
        files.append(folder.best)
    evaluation = evaluate(
        [str(file) for file in files],
        [source],
        scales=(training.scale,),
        options=options,
        progress=progress,
    )
    for failure in evaluation.failures:
        raise DataError(f"every picture must be measured: {failure.reason}")
    pictures = {}
    for score in evaluation.scores:
        if score.model == evaluation.models[0]:
            pictures[score.picture] = PictureScores(**score.values)
    means = evaluation.means()
    return SetScores(
        pictures=pictures,
        bicubic=means[0]["bicubic"],
        best=means[-1]["values"]["psnr"],
        key=key,
    )


def measure_cost(unit: Unit, device: str) -> VariantCost:
    """Measure a network in the form that is deployed."""
    ablation = unit.ablation
    with torch.random.fork_rng(devices=[]):
        network = build_network(
            unit.recipe.model, scale=ablation.scale, options=unit.recipe.network
        )
    network = network.deploy()
    memory = {}
    for size in ablation.memory_sizes or (CHALLENGE_SIZE,):
        memory["{}x{}".format(*size)] = forward_memory(
            network, size, choose_device(device), gradients=ablation.memory_gradients
        )
    work = count_macs(network, *CHALLENGE_SIZE)
    return VariantCost(
        parameters=count_parameters(network),
        macs=work.convolutions,
        products=work.products,
        memory=memory,
    )
