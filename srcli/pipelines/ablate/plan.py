"""What a run of ablations consists of: every unit of work, under the key of its result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch

from srcli.errors import ModelError, RecipeError
from srcli.metrics.efficiency import CHALLENGE_SIZE
from srcli.models import build_network, without_defaults
from srcli.pipelines.ablate.fingerprints import (
    key_of,
    network_code,
    set_digest,
    training_code,
)
from srcli.pipelines.ablate.record import AblationRun, SeedKeys, VariantKeys
from srcli.pipelines.ablate.units import CostUnit, Measuring, TrainingUnit
from srcli.pipelines.evaluate.cache import code_digest
from srcli.recipes.ablations import resolve
from srcli.recipes.files import plain_recipe
from srcli.training.budget import parse_budget, stage_budgets
from srcli.training.distillation import teachers_digest
from srcli.training.loop import make_step
from srcli.training.numerics import Numerics
from srcli.training.supervised import StepContext

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from srcli.evaluation.sets import PictureSet
    from srcli.pipelines.ablate.options import AblateOptions
    from srcli.pipelines.ablate.results import Conditions
    from srcli.pipelines.ablate.store import Store
    from srcli.recipes.ablation import Ablation, Variant
    from srcli.recipes.training import TrainRecipe


@dataclass(kw_only=True)
class Plan:
    """All units of a run by key, so that what two ablations share is done once."""

    costs: dict[str, CostUnit] = field(default_factory=dict)
    trainings: dict[str, TrainingUnit] = field(default_factory=dict)
    records: list[AblationRun] = field(default_factory=list)
    """One for each ablation."""

    def missing(self, store: Store) -> list[CostUnit | TrainingUnit]:
        """Return what is not in the store: costs first, then trainings, seed after seed."""
        costs = [unit for unit in self.costs.values() if unit.missing(store.get)]
        trainings = []
        for unit in self.trainings.values():
            if missing := unit.missing(store.get):
                measure = tuple(each for each in unit.measure if each.key in missing)
                trainings.append(replace(unit, measure=measure))
        trainings.sort(key=lambda unit: unit.seed)  # stable: one whole comparison, then the next
        return [*costs, *trainings]


class Planner:
    """Work out the units of ablations.

    Args:
        options: Of the run, with a precision that is settled.
        store: Where recipes are put.
        device: ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(self, options: AblateOptions, store: Store, device: str) -> None:
        self.plan = Plan()
        self._options = options
        self._store = store
        self._device = device
        self._code = code_digest()

    def add(
        self,
        ablation: Ablation,
        recipes: Sequence[TrainRecipe],
        conditions: Conditions,
        sets: Mapping[str, tuple[str, PictureSet]],
    ) -> None:
        """Add an ablation.

        Args:
            ablation: What is compared.
            recipes: Of its variants, from :func:`checked_recipes`.
            conditions: Of this run.
            sets: What to measure on, by label: the name as given, and the pictures.
        """
        digests = {label: set_digest(pictures) for label, (_, pictures) in sets.items()}
        names = {label: given for label, (given, _) in sets.items()}
        keys = []
        for variant, recipe in zip(ablation.variants, recipes, strict=True):
            cost = self._cost(ablation, variant, recipe)
            seeds = []
            for seed in range(conditions.seeds if conditions.trained else 0):
                unit = self._training(ablation, variant, recipe, seed, conditions)
                scores = {
                    label: self._score_key(unit.key, ablation.protocol, digests[label])
                    for label in sets
                }
                measure = tuple(
                    Measuring(key=key, dataset=names[label], protocol=ablation.protocol)
                    for label, key in scores.items()
                )
                self._merge(unit, measure, tuple(each.dataset for each in measure[:1]))
                seeds.append(SeedKeys(seed=seed, training=unit.key, scores=scores))
            keys.append(VariantKeys(cost=cost.key, seeds=tuple(seeds)))
        record = AblationRun(ablation=ablation, conditions=conditions, keys=tuple(keys))
        self.plan.records.append(record)

    def _merge(
        self, unit: TrainingUnit, measure: tuple[Measuring, ...], validate: tuple[str, ...]
    ) -> None:
        """Add a training, or what is new of one that another ablation has, too."""
        known = self.plan.trainings.setdefault(unit.key, replace(unit, validate=validate))
        new = tuple(each for each in measure if each not in known.measure)
        self.plan.trainings[unit.key] = replace(known, measure=(*known.measure, *new))

    def _recipe_file(self, recipe: TrainRecipe) -> str:
        # Where its settings come from decides nothing, but would tell two trainings apart.
        return str(self._store.put_recipe(replace(recipe, paper="")))

    def _cost(self, ablation: Ablation, variant: Variant, recipe: TrainRecipe) -> CostUnit:
        options = self._options
        sizes = ablation.memory_sizes or (CHALLENGE_SIZE,)
        key = key_of(
            what="cost",
            model=recipe.model,
            network=plain_recipe(recipe)["network"],
            scale=ablation.scale,
            sizes=sizes,
            gradients=ablation.memory_gradients,
            device=self._device,
            threads=options.threads,
            network_code=network_code(recipe.model),
            code=self._code,
        )
        unit = CostUnit(
            label=f"{ablation.name}, {variant.name}",
            key=key,
            store=str(options.store),
            recipe=self._recipe_file(recipe),
            scale=ablation.scale,
            sizes=sizes,
            gradients=ablation.memory_gradients,
            device=options.device,
            threads=options.threads,
        )
        return self.plan.costs.setdefault(key, unit)

    def _training(
        self,
        ablation: Ablation,
        variant: Variant,
        recipe: TrainRecipe,
        seed: int,
        conditions: Conditions,
    ) -> TrainingUnit:
        options = self._options
        key = key_of(
            what="training",
            recipe=_deciding(recipe),
            scale=ablation.scale,
            seed=seed,
            budget=options.budget,
            data=conditions.data_digest,
            precision=options.precision,
            device=self._device,
            code=training_code(recipe),
            teacher=teachers_digest(recipe, ablation.scale),
        )
        return TrainingUnit(
            label=f"{ablation.name}, {variant.name}, seed {seed}",
            key=key,
            store=str(options.store),
            recipe=self._recipe_file(recipe),
            scale=ablation.scale,
            seed=seed,
            budget=options.budget,
            data=tuple(str(path) for path in options.data),
            hold_out=options.hold_out,
            hold_out_listed=options.hold_out_listed,
            exclude=options.exclude,
            validate=(),
            measure=(),
            device=options.device,
            precision=options.precision,
            threads=options.threads,
        )

    def _score_key(self, training: str, protocol: str, pictures: str) -> str:
        return key_of(
            what="scores", training=training, protocol=protocol, pictures=pictures, code=self._code
        )


def checked_recipes(
    ablation: Ablation, settings: Sequence[str] = (), budget: str | None = None
) -> list[TrainRecipe]:
    """Return the recipes of all variants, each with network, losses and optimiser that can be made.

    Args:
        ablation: What is compared.
        settings: ``path=value`` for all variants, as :func:`resolve` takes them.
        budget: Iterations or time for each; None for the recipes' own.

    Raises:
        RecipeError: If a change does not fit the recipe, a loss or the budget, or two variants are
            the same because what one says is what the network does anyway.
        ModelError: If one does not fit the network.
    """
    recipes = []
    for variant in ablation.variants:
        recipe = resolve(ablation, variant, settings)
        try:
            _require_trainable(recipe, ablation.scale, budget)
        except (ModelError, RecipeError) as error:
            raise type(error)(f"{ablation.name}, variant {variant.name!r}: {error}") from error
        # What is spelled out and what is left to the network are the same training.
        options = without_defaults(recipe.model, recipe.network)
        recipes.append(replace(recipe, network=options))
    for (i, first), (j, second) in combinations(enumerate(recipes), 2):
        if _deciding(first) == _deciding(second):
            a, b = ablation.variants[i].name, ablation.variants[j].name
            raise RecipeError(
                f"{ablation.name}: variants {a!r} and {b!r} are the same: one says what "
                "is the default anyway"
            )
    return recipes


def _require_trainable(recipe: TrainRecipe, scale: int, budget: str | None) -> None:
    """Make what a training makes before its first iteration."""
    with torch.random.fork_rng(devices=[]):
        network = build_network(recipe.model, scale=scale, options=recipe.network)
        numerics = Numerics(device=torch.device("cpu"))
        training = StepContext(network=network, forward=network, numerics=numerics)
        for stage in recipe.stages:
            make_step(stage, training)
    if budget is not None:
        stage_budgets(recipe, parse_budget(budget))


def _deciding(recipe: TrainRecipe) -> dict[str, Any]:
    """Return a recipe without what changes no weight."""
    plain = plain_recipe(recipe)
    del plain["paper"]
    return plain
