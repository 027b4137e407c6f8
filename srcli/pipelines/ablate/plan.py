"""Plan runs of ablations: check recipes and folders before anything takes long."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from srcli import __version__
from srcli.data.pictures import Archives
from srcli.data.training_set import find_split
from srcli.errors import DataError, ModelError, RecipeError, SrxError, UsageError, one_file
from srcli.evaluation.sets import BUILT_IN, find_set
from srcli.files import read_input
from srcli.metrics.efficiency import CHALLENGE_SIZE
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
from srcli.pipelines.ablate.work import CostUnit, MeasuredSet, SeedUnit
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.train.network import initial_weights
from srcli.pipelines.train.options import TrainOptions
from srcli.ports.executor import JsonDict, UnitResult
from srcli.recipes.ablations import Ablation, resolve
from srcli.recipes.files import first_difference, load_recipe, plain_recipe, write_json
from srcli.recipes.training import TrainRecipe
from srcli.training.budget import parse_budget, stage_budgets
from srcli.training.loop import make_step
from srcli.training.numerics import Numerics
from srcli.training.supervised import StepContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from srcli.data.held_out import Split
    from srcli.evaluation.sets import PictureSet
    from srcli.pipelines.ablate.work import Unit
    from srcli.ports.progress import Progress


@dataclass(kw_only=True)
class AblationRun:
    """One ablation while it is run: its folder, and the results so far."""

    ablation: Ablation
    recipes: Sequence[TrainRecipe]
    """One for each variant."""
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
        """Refuse a folder whose trainings had other conditions or recipes.

        Raises:
            UsageError: With what differs, and the way to start over.
        """
        former = self.former.conditions if self.former else None
        if former is None or not (former.trained and self.conditions.trained):
            return
        default = "the recipe's"
        words = {
            "budget": "a budget of",
            "data_digest": "pictures with the digest",
            "precision": "precision",
            "device": "device",
        }
        differences = [
            f"{words[name]} {was or default}, asked for is {now or default}"
            for name in words
            if (was := getattr(former, name)) != (now := getattr(self.conditions, name))
        ]
        for variant, recipe in zip(self.ablation.variants, self.recipes, strict=True):
            file = self._recipe(variant.name)
            stored = plain_recipe(load_recipe(str(file))) if file.is_file() else None
            if stored and (found := first_difference(stored, plain_recipe(recipe))):
                differences.append(f"another recipe of {variant.name!r} ({found})")
        if differences:
            raise UsageError(
                f"--out {self.options.out}: {self.ablation.name} was trained there with "
                f"{differences[0]}; give another --out, or remove {self.folder} to start over"
            )

    def units(self) -> list[Unit]:
        """Return what is missing, costs first, then trainings, seed after seed."""
        own, ablation = self.options, self.ablation
        costs: list[Unit] = [
            CostUnit(
                label=f"{ablation.name}, {variant.name}",
                variant=variant.name,
                recipe=recipe,
                scale=ablation.scale,
                sizes=ablation.memory_sizes or (CHALLENGE_SIZE,),
                gradients=ablation.memory_gradients,
            )
            for variant, recipe in zip(ablation.variants, self.recipes, strict=True)
        ]
        trainings: list[Unit] = []
        for seed in range(self.conditions.seeds if self.conditions.trained else 0):
            for variant in ablation.variants:
                unit = SeedUnit(
                    label=f"{ablation.name}, {variant.name}, seed {seed}",
                    variant=variant.name,
                    training=TrainOptions(
                        recipe=str(self._recipe(variant.name)),
                        name=f"{ablation.name}, {variant.name}",
                        scale=ablation.scale,
                        out=self.folder / variant.name / f"seed-{seed}",
                        seed=seed,
                        data=own.data,
                        budget=own.budget,
                        hold_out=own.hold_out,
                        hold_out_listed=own.hold_out_listed,
                        exclude=own.exclude,
                        precision=own.precision,
                    ),
                    sets=self.sets,
                )
                found = self.seeds[variant.name, seed] = unit.stored()
                trainings += [unit] * unit.lacks(found)
        return [*costs, *trainings]

    def take(self, unit: Unit, done: UnitResult) -> str:
        """Take the result of a unit; return the reason why it failed, if it did.

        Of a training whose process has died, what its folder holds counts.
        """
        if isinstance(unit, CostUnit):
            own = done.result or {"cost_failure": done.failure}
            self.costs[unit.variant] = own
            return str(own["cost_failure"])
        found: SeedResult = (
            done.result["seed"] if done.result else replace(unit.stored(), failure=done.failure)
        )
        self.seeds[unit.variant, found.seed] = found
        return found.failure

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
        """Write the result, and the recipes to train by; costs alone replace no trainings.

        Raises:
            DataError: If they cannot be written.
        """
        if not self.conditions.trained and self.former and self.former.conditions.trained:
            return
        write_values(self.folder / RESULT, self.result())
        for variant, recipe in zip(self.ablation.variants, self.recipes, strict=True):
            if self.conditions.trained:
                file = self._recipe(variant.name)
                try:
                    file.parent.mkdir(exist_ok=True)
                    write_json(file, plain_recipe(recipe))
                except OSError as error:
                    raise DataError(f"{file}: cannot be written ({error.strerror})") from error

    def _recipe(self, variant: str) -> Path:
        return self.folder / variant / "recipe.json"


def plan_runs(
    ablations: Sequence[Ablation], options: AblateOptions, machine: JsonDict, progress: Progress
) -> list[AblationRun]:
    """Check everything before anything takes long.

    Args:
        ablations: Each name once.
        options: Of the run.
        machine: ``device``, ``machine`` and ``precision`` of the place where units are run.
        progress: Shows warnings.

    Raises:
        SrxError: If options, data, a variant or what is in the folder do not fit.
    """
    for ablation in ablations:
        EvalOptions(protocol=ablation.protocol)  # refuse a wrong name
    recipes = [checked_recipes(each, options.overrides, options.budget) for each in ablations]
    own = replace(options, precision=machine["precision"])
    data: dict[str, Any] = {}
    if own.train:
        split = find_split(own, progress)
        # It warns of prefixes that exclude nothing; the trainings need not do so again.
        own = replace(own, exclude=tuple(e for e in own.exclude if e not in split.unmatched))
        data = {"data_digest": data_digest(split), "excluded": split.excluded}
        data |= {"pictures": len(split.train), "held_out": len(split.held_out)}
    runs = []
    for ablation, variants in zip(ablations, recipes, strict=True):
        sets, missing = _find_sets(ablation, own, progress)
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
        run = AblationRun(
            ablation=ablation,
            recipes=variants,
            options=own,
            conditions=conditions,
            sets=sets,
            former=read_result(own.out, ablation.name),
        )
        run.check()
        runs.append(run)
    return runs


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
        key = f"{ablation.protocol}-{__version__}-{set_digest(pictures)}"
        found[pictures.name] = MeasuredSet(
            name=pictures.name, source=source, protocol=ablation.protocol, key=key
        )

    if not options.train:
        return (), ()
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


def data_digest(split: Split) -> str:
    """Return a digest of the encoded pictures to train and to validate on, in their order."""
    with Archives() as archives:
        return _digest(
            (f"{len(part)}/{ref.name}", partial(archives.read, ref))
            for part in (split.train, split.held_out)
            for ref in part
        )


def set_digest(pictures: PictureSet) -> str:
    """Return a digest of the files of an evaluation set, LR included where the set has it."""
    return _digest(
        (item.name, partial(read_input, path))
        for item in pictures.items
        for path in (item.hr, item.lr)
        if path is not None
    )


def _digest(files: Iterable[tuple[str, Callable[[], bytes]]]) -> str:
    """Return a digest of names and contents; a file that cannot be read counts by its name."""
    digest = hashlib.sha256()
    for name, read in files:
        digest.update(f"{name}/".encode("utf-8", "surrogateescape"))
        try:
            with one_file(name):
                digest.update(hashlib.sha256(read()).digest())
        except SrxError:
            digest.update(b"unreadable")  # those who use it report it
    return digest.hexdigest()[:16]


def checked_recipes(
    ablation: Ablation, settings: Sequence[str] = (), budget: str | None = None
) -> list[TrainRecipe]:
    """Return the recipes of all variants after building network, losses and optimiser of each.

    Args:
        ablation: The ablation.
        settings: ``path=value`` for all variants, as :func:`resolve` takes them.
        budget: Iterations or time for each; None for the recipes' own.

    Raises:
        RecipeError: If a change does not fit the recipe, a loss or the budget.
        ModelError: If a change does not fit the network.
    """
    recipes = []
    for variant in ablation.variants:
        recipe = resolve(ablation, variant, settings)
        try:
            _require_trainable(recipe, ablation.scale, budget)
        except (ModelError, RecipeError) as error:
            raise type(error)(f"{ablation.name}, variant {variant.name!r}: {error}") from error
        recipes.append(recipe)
    return recipes


def _require_trainable(recipe: TrainRecipe, scale: int, budget: str | None) -> None:
    """Build everything that a training builds before its first iteration."""
    initial_weights(recipe, scale)
    with torch.random.fork_rng(devices=[]):
        network = build_network(recipe.model, scale=scale, options=recipe.network)
        numerics = Numerics(device=torch.device("cpu"))
        training = StepContext(network=network, forward=network, numerics=numerics)
        for stage in recipe.stages:
            make_step(stage, training)
    if budget is not None:
        stage_budgets(recipe, parse_budget(budget))
