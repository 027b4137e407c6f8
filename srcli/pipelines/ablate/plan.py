"""Plan runs of ablations: check the recipes of all variants, and list all units of work."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from srcli.errors import ModelError, RecipeError, SrxError
from srcli.metrics.efficiency import CHALLENGE_SIZE
from srcli.models import build_network
from srcli.pipelines.ablate.keys import (
    cost_key,
    deciding_fields,
    score_key,
    set_digest,
    training_key,
)
from srcli.pipelines.ablate.record import AblationRun, SeedKeys, VariantKeys
from srcli.pipelines.ablate.work import CostUnit, Measurement, TrainingUnit
from srcli.recipes.ablations import is_file, load_ablations, resolve
from srcli.training.budget import parse_budget, stage_budgets
from srcli.training.loop import make_step
from srcli.training.numerics import Numerics
from srcli.training.supervised import StepContext

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from srcli.evaluation.sets import PictureSet
    from srcli.pipelines.ablate.options import AblateOptions
    from srcli.pipelines.ablate.results import Conditions
    from srcli.pipelines.ablate.store import Store
    from srcli.recipes.ablation import Ablation, Variant
    from srcli.recipes.training import TrainRecipe

    Unit = CostUnit | TrainingUnit


@dataclass(kw_only=True)
class AblationPlan:
    """All units of a run by key, so that what two ablations share is done once."""

    costs: dict[str, CostUnit] = field(default_factory=dict)
    trainings: dict[str, TrainingUnit] = field(default_factory=dict)
    runs: list[AblationRun] = field(default_factory=list)
    """One for each ablation."""

    def missing(self, store: Store) -> list[Unit]:
        """Return all units that the store lacks: costs first, then trainings, seed after seed."""
        trainings = sorted(self.trainings.values(), key=lambda unit: unit.seed)
        units: list[Unit] = [*self.costs.values(), *trainings]
        found = (unit.remaining(store.read(unit.key)) for unit in units)
        return [unit for unit in found if unit is not None]

    def add(
        self,
        ablation: Ablation,
        recipes: Sequence[TrainRecipe],
        options: AblateOptions,
        conditions: Conditions,
        sets: Mapping[str, tuple[str, PictureSet]],
    ) -> None:
        """Add the units of an ablation.

        Args:
            ablation: The ablation.
            recipes: Recipes of its variants, from :func:`checked_recipes`.
            options: Options of the run; ``precision`` must not be ``auto``.
            conditions: Conditions of the run.
            sets: Sets to measure on, by label: the name as given, and the pictures.
        """
        digests = {label: set_digest(pictures) for label, (_, pictures) in sets.items()}
        keys = []
        for variant, recipe in zip(ablation.variants, recipes, strict=True):
            cost = _cost(ablation, variant, recipe, options, conditions)
            seeds = []
            for seed in range(conditions.seeds if conditions.trained else 0):
                unit = _training(ablation, variant, recipe, options, conditions, seed)
                scores = {
                    label: score_key(unit.key, label, ablation.protocol, digest)
                    for label, digest in digests.items()
                }
                measure = [
                    Measurement(key=key, dataset=sets[label][0], protocol=ablation.protocol)
                    for label, key in scores.items()
                ]
                # Another ablation may have the same training: then this adds what is new of it.
                first = tuple(each.dataset for each in measure[:1])
                known = self.trainings.get(unit.key) or replace(unit, validate=first)
                both = dict.fromkeys((*known.measure, *measure))
                self.trainings[unit.key] = replace(known, measure=tuple(both))
                seeds.append(SeedKeys(seed=seed, training=unit.key, scores=scores))
            self.costs.setdefault(cost.key, cost)
            keys.append(VariantKeys(cost=cost.key, seeds=tuple(seeds)))
        self.runs.append(AblationRun(ablation=ablation, conditions=conditions, keys=tuple(keys)))


def _cost(
    ablation: Ablation,
    variant: Variant,
    recipe: TrainRecipe,
    options: AblateOptions,
    conditions: Conditions,
) -> CostUnit:
    sizes = ablation.memory_sizes or (CHALLENGE_SIZE,)
    key = cost_key(
        recipe,
        ablation.scale,
        sizes=sizes,
        gradients=ablation.memory_gradients,
        device=conditions.device,
        threads=options.threads,
    )
    return CostUnit(
        label=f"{ablation.name}, {variant.name}",
        key=key,
        options=options,
        recipe=recipe,
        scale=ablation.scale,
        sizes=sizes,
        gradients=ablation.memory_gradients,
    )


def _training(
    ablation: Ablation,
    variant: Variant,
    recipe: TrainRecipe,
    options: AblateOptions,
    conditions: Conditions,
    seed: int,
) -> TrainingUnit:
    key = training_key(
        recipe,
        ablation.scale,
        seed,
        budget=options.budget,
        data=conditions.data_digest,
        precision=options.precision,
        device=conditions.device,
    )
    return TrainingUnit(
        label=f"{ablation.name}, {variant.name}, seed {seed}",
        key=key,
        options=options,
        recipe=recipe,
        scale=ablation.scale,
        seed=seed,
        validate=(),
        measure=(),
    )


def check_files(names: Iterable[str]) -> None:
    """Check that all variants of the ablations in files can be trained.

    Args:
        names: As for :func:`~srcli.recipes.ablations.select_ablations`; only files are checked.

    Raises:
        SrxError: If a variant cannot be trained; it names file, ablation and variant.
    """
    for name in filter(is_file, names):
        for ablation in load_ablations(Path(name)):
            try:
                checked_recipes(ablation)
            except SrxError as error:
                raise type(error)(f"{name}: {error}") from error


def checked_recipes(
    ablation: Ablation, settings: Sequence[str] = (), budget: str | None = None
) -> list[TrainRecipe]:
    """Return the recipes of all variants after building network, losses and optimiser of each.

    Args:
        ablation: The ablation.
        settings: ``path=value`` for all variants, as :func:`resolve` takes them.
        budget: Iterations or time for each; None for the recipes' own.

    Raises:
        RecipeError: If a change does not fit the recipe, a loss or the budget, or two variants are
            the same because one states a default of the network.
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
    fields = [deciding_fields(recipe) for recipe in recipes]
    for i, j in combinations(range(len(recipes)), 2):
        if fields[i] == fields[j]:
            a, b = ablation.variants[i].name, ablation.variants[j].name
            raise RecipeError(
                f"{ablation.name}: variants {a!r} and {b!r} are the same: one says what "
                "is the default anyway"
            )
    return recipes


def _require_trainable(recipe: TrainRecipe, scale: int, budget: str | None) -> None:
    """Build everything that a training builds before its first iteration."""
    with torch.random.fork_rng(devices=[]):
        network = build_network(recipe.model, scale=scale, options=recipe.network)
        numerics = Numerics(device=torch.device("cpu"))
        training = StepContext(network=network, forward=network, numerics=numerics)
        for stage in recipe.stages:
            make_step(stage, training)
    if budget is not None:
        stage_budgets(recipe, parse_budget(budget))
