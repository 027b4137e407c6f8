"""Run ablations: every variant and seed is a training as of ``srx train``, scored alike."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from srcli import __version__
from srcli.data.pictures import Archives
from srcli.data.training_set import DataSelection, find_split
from srcli.errors import DataError, ModelError, RecipeError, SrxError, UsageError, one_file
from srcli.evaluation.sets import BUILT_IN, find_set
from srcli.files import read_input
from srcli.inference.device import choose_device
from srcli.metrics.machine import describe_machine, threads
from srcli.models import build_network
from srcli.pipelines.ablate.results import (
    RESULT,
    AblateOptions,
    AblationResult,
    Conditions,
    SeedResult,
    VariantResult,
    read_result,
    write_values,
)
from srcli.pipelines.ablate.work import MeasuredSet, Unit, run_unit, stored_result
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.executors import make_executor
from srcli.pipelines.executors.cluster import RayExecutor
from srcli.pipelines.train.network import initial_weights, resolve_precision
from srcli.pipelines.train.options import TrainOptions
from srcli.ports.executor import JsonDict, Place
from srcli.ports.progress import NoProgress
from srcli.recipes.ablations import Ablation, resolve
from srcli.recipes.files import first_difference, load_recipe, plain_recipe
from srcli.recipes.training import TrainRecipe
from srcli.training.budget import parse_budget, stage_budgets
from srcli.training.steps import Numerics, StepContext, make_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from srcli.ports.executor import Executor, UnitResult
    from srcli.ports.progress import Progress


def run_ablations(
    ablations: Sequence[Ablation],
    options: AblateOptions,
    *,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    executor: Executor | None = None,
) -> list[AblationResult]:
    """Train and measure all variants of ablations under the same conditions.

    Every variant gets the same budget, for each seed the same batches in the same order, and the
    same evaluation. ``options.out`` has a folder for each ablation, variant and seed, the last of
    them as ``srx train`` writes it; what is finished there is not done again. A variant that fails
    becomes a row that says so.

    Args:
        ablations: Each name once.
        options: Data, budget, seeds, sets, device and folder.
        progress: Receives the progress.
        stop: Called often; true ends the run. Running trainings keep a checkpoint, from which the
            next run goes on.
        executor: Runs the units; None for the one that the options ask for.

    Raises:
        SrxError: If the options, the data or a variant make no sense, or the folder holds trainings
            under other conditions.
    """
    own = progress or NoProgress()
    executor = executor or make_executor(
        options.device, processes=options.processes, threads=options.threads, fresh=True
    )
    runs = _plan(ablations, options, _describe(options, executor), own)
    work = [(run, unit) for run in runs for unit in run.units()]
    work.sort(key=lambda each: each[1].training.seed if each[1].training else -1)
    trainings = sum(len(run.seeds) for run in runs)
    missing = sum(unit.training is not None for _, unit in work)
    if missing < trainings:
        own.message(f"{trainings - missing} of {trainings} trainings are there already")
    task = own.task("results", total=len(work), unit="results")
    for run in runs:  # at once, so that results are found whatever happens
        run.write()
    try:
        units = [unit for _, unit in work]
        shared = (options.out, *options.data)
        for done in executor.run(run_unit, units, progress=own, stop=stop, shared=shared):
            run, unit = work[done.index]
            failure, finished = run.take(unit, done)
            if failure:
                own.warn(f"{unit.label}: {failure}")
            if failure or finished:
                task.advance(1)
    finally:
        task.close()
        for run in runs:
            run.write()
    return [run.result() for run in runs]


def _plan(
    ablations: Sequence[Ablation], options: AblateOptions, machine: JsonDict, progress: Progress
) -> list[_Run]:
    """Return the runs after checking options, data, all variants and what is in their folders."""
    for ablation in ablations:
        EvalOptions(protocol=ablation.protocol)  # refuse a wrong name
    recipes = [checked_recipes(each, options.overrides, options.budget) for each in ablations]
    own = replace(options, precision=machine["precision"])
    data: dict[str, Any] = {}
    if own.train:
        split = find_split(own, progress)
        # It warns of prefixes that exclude nothing; the trainings need not do so again.
        own = replace(own, exclude=tuple(e for e in own.exclude if e not in split.unmatched))
        with Archives() as archives:
            parts = [(part, ref) for part in (split.train, split.held_out) for ref in part]
            digest = _digest(
                (f"{len(part)}/{ref.name}", partial(archives.read, ref)) for part, ref in parts
            )
        data = {"data_digest": digest, "excluded": split.excluded}
        data |= {"pictures": len(split.train), "held_out": len(split.held_out)}
    runs = []
    for ablation, variants in zip(ablations, recipes, strict=True):
        sets, missing = _find_sets(ablation, own, progress) if own.train else ((), ())
        conditions = Conditions(
            trained=own.train,
            budget=own.budget,
            overrides=own.overrides,
            seeds=own.seeds,
            data=tuple(str(path) for path in own.data),
            sets=tuple(each.name for each in sets),
            missing=missing,
            processes=own.processes,
            **machine,
            **data,
        )
        run = _Run(
            ablation=ablation,
            recipes=dict(zip((each.name for each in ablation.variants), variants, strict=True)),
            options=own,
            conditions=conditions,
            sets=sets,
            former=read_result(own.out, ablation.name),
        )
        run.check()
        runs.append(run)
    return runs


def checked_recipes(
    ablation: Ablation, settings: Sequence[str] = (), budget: str | None = None
) -> list[TrainRecipe]:
    """Return the recipes of all variants after building what a training builds before it begins.

    Raises:
        RecipeError: If a change does not fit the recipe, a loss or the budget.
        ModelError: If a change does not fit the network.
    """
    recipes = []
    for variant in ablation.variants:
        recipe = resolve(ablation, variant, settings)
        try:
            initial_weights(recipe, ablation.scale)
            with torch.random.fork_rng(devices=[]):
                network = build_network(recipe.model, scale=ablation.scale, options=recipe.network)
                numerics = Numerics(device=torch.device("cpu"))
                training = StepContext(network=network, forward=network, numerics=numerics)
                for stage in recipe.stages:
                    make_step(stage, training)
            if budget is not None:
                stage_budgets(recipe, parse_budget(budget))
        except (ModelError, RecipeError) as error:
            raise type(error)(f"{ablation.name}, variant {variant.name!r}: {error}") from error
        recipes.append(recipe)
    return recipes


def _find_sets(
    ablation: Ablation, options: AblateOptions, progress: Progress
) -> tuple[tuple[MeasuredSet, ...], tuple[str, ...]]:
    """Return the sets to measure on, and the names of the missing ones."""
    found: dict[str, MeasuredSet] = {}
    missing: list[str] = []

    def add(source: str) -> None:
        pictures = find_set(source, ablation.scale)
        if pictures.name in found:
            raise UsageError(f"--sets {source}: given twice")
        files = [(i.name, path) for i in pictures.items for path in (i.hr, i.lr) if path]
        digest = _digest((name, partial(read_input, path)) for name, path in files)
        key = f"{ablation.protocol}-{__version__}-{digest}"
        found[pictures.name] = MeasuredSet(name=pictures.name, source=source, key=key)

    for source in options.sets or ablation.sets:
        try:
            add(source)
        except DataError:
            if options.sets:
                raise
            missing.append(source)
    if not found:
        wanted = ", ".join(missing) or "it names none"
        progress.warn(
            f"{ablation.name}: no set available ({wanted}); measured on {BUILT_IN} pictures"
        )
        add(BUILT_IN)
    elif missing:
        progress.message(f"{ablation.name}: not available: {', '.join(missing)}")
    return tuple(found.values()), tuple(missing)


def _digest(files: Iterable[tuple[str, Callable[[], bytes]]]) -> str:
    """Return a digest of names and contents; a file that cannot be read counts by its name."""
    digest = hashlib.sha256()
    for name, read in files:
        digest.update(f"{name}/".encode("utf-8", "surrogateescape"))
        with suppress(SrxError), one_file(name):  # those who use it report it
            digest.update(hashlib.sha256(read()).digest())
    return digest.hexdigest()[:16]


def _describe(options: AblateOptions, executor: Executor) -> JsonDict:
    """Return ``device``, ``machine`` and ``precision`` of the place where units are run."""
    unit = SimpleNamespace(label="", precision=options.precision)
    if not isinstance(executor, RayExecutor):  # the place is this machine
        place = Place(device=options.device, threads=options.threads)
        return _describe_place(unit, place, NoProgress(), lambda: False)
    (done,) = executor.run(_describe_place, [unit], progress=NoProgress(), stop=lambda: False)
    if done.result is None:
        raise UsageError(f"--executor {executor.kind}: {done.failure}")
    return done.result


def _describe_place(
    unit: SimpleNamespace, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    device = choose_device(place.device)
    with threads(place.threads or None):
        machine = str(describe_machine(device))
    precision = resolve_precision(unit.precision, device)
    return {"device": device.type, "machine": machine, "precision": precision}


@dataclass(kw_only=True)
class _Run:
    """One ablation while it is run: its folder, and the results so far."""

    ablation: Ablation
    recipes: dict[str, TrainRecipe]
    """By variant."""
    options: AblateOptions
    conditions: Conditions
    sets: tuple[MeasuredSet, ...]
    former: AblationResult | None
    """Result of the run before."""
    costs: dict[str, JsonDict] = field(default_factory=dict)
    """``cost`` and ``cost_failure`` of each variant that was measured."""
    seeds: dict[tuple[str, int], SeedResult] = field(default_factory=dict)
    """By variant and seed."""

    @property
    def folder(self) -> Path:
        """The folder of the ablation."""
        return self.options.out / self.ablation.name

    def check(self) -> None:
        """Refuse a folder whose trainings had other conditions or recipes."""
        former = self.former.conditions if self.former else None
        if former is None or not (former.trained and self.conditions.trained):
            return
        same = ("budget", "data_digest", "precision", "device")
        was: dict[str, Any] = {name: getattr(former, name) for name in same}
        now: dict[str, Any] = {name: getattr(self.conditions, name) for name in same}
        for variant, recipe in self.recipes.items():
            file = self._recipe(variant)
            if file.is_file():
                was[f"recipe of {variant!r}"] = plain_recipe(load_recipe(str(file)))
                now[f"recipe of {variant!r}"] = plain_recipe(recipe)
        if difference := first_difference(was, now):
            raise UsageError(
                f"--out {self.options.out}: {self.ablation.name} was trained under other "
                f"conditions ({difference}); give another --out, or remove {self.folder} to start "
                "over"
            )

    def units(self) -> list[Unit]:
        """Return what is missing: the costs, then trainings, seed after seed."""
        data = {each.name: getattr(self.options, each.name) for each in fields(DataSelection)}
        found = [
            Unit(ablation=self.ablation, variant=variant, recipe=recipe)
            for variant, recipe in self.recipes.items()
        ]
        for seed in range(self.conditions.seeds if self.conditions.trained else 0):
            for cost in found[: len(self.recipes)]:
                training = TrainOptions(
                    recipe=str(self._recipe(cost.variant)),
                    name=cost.label,
                    scale=self.ablation.scale,
                    out=self.folder / cost.variant / f"seed-{seed}",
                    seed=seed,
                    budget=self.options.budget,
                    precision=self.options.precision,
                    **data,
                )
                unit = replace(cost, training=training, sets=self.sets)
                known = self.seeds[cost.variant, seed] = stored_result(training, self.sets)
                found += [unit] * unit.lacks(known)
        return found

    def take(self, unit: Unit, done: UnitResult) -> tuple[str, bool]:
        """Take the result of a unit; return why it failed, if it did, and whether it is whole.

        Of a training whose process has died, what its folder holds counts.
        """
        if unit.training is None:
            cost = done.result or {"cost_failure": done.failure}
            self.costs[unit.variant] = cost
            return str(cost["cost_failure"]), True
        found: SeedResult
        if done.result:
            found = done.result["seed"]
        else:
            found = replace(stored_result(unit.training, unit.sets), failure=done.failure)
        self.seeds[unit.variant, found.seed] = found
        return found.failure, not unit.lacks(found)

    def result(self) -> AblationResult:
        """Return everything that is there by now."""
        variants = tuple(
            VariantResult(
                variant=each,
                seeds=tuple(own for (name, _), own in self.seeds.items() if name == each.name),
                **self.costs.get(each.name, {}),
            )
            for each in self.ablation.variants
        )
        return AblationResult(ablation=self.ablation, conditions=self.conditions, variants=variants)

    def write(self) -> None:
        """Write the result, and the recipes to train by; costs alone replace no trainings."""
        trained = self.conditions.trained
        if trained or self.former is None or not self.former.conditions.trained:
            write_values(self.folder / RESULT, asdict(self.result()))
        for variant, recipe in self.recipes.items() if trained else ():
            write_values(self._recipe(variant), plain_recipe(recipe))

    def _recipe(self, variant: str) -> Path:
        return self.folder / variant / "recipe.json"
