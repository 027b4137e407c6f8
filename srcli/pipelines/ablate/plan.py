"""Plan runs of ablations: check the recipes, key all results, and list the units of work.

The key of a result is a digest of everything that decides it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from srcli.data.pictures import Archives
from srcli.errors import ModelError, RecipeError, SrxError, one_file
from srcli.evaluation import evaluation_version
from srcli.files import read_input
from srcli.metrics.efficiency import CHALLENGE_SIZE
from srcli.models import build_network, network_options
from srcli.pipelines.ablate.results import SeedKeys, VariantKeys, bicubic_key
from srcli.pipelines.ablate.store import AblationRun
from srcli.pipelines.ablate.units import BicubicUnit, CostUnit, Measurement, TrainingUnit
from srcli.pipelines.train.network import initial_weights
from srcli.recipes.ablations import is_file, load_ablations, resolve
from srcli.recipes.files import plain_recipe
from srcli.training import TRAINING_VERSION
from srcli.training.budget import parse_budget, stage_budgets
from srcli.training.folder import file_digest
from srcli.training.loop import make_step
from srcli.training.numerics import Numerics
from srcli.training.supervised import StepContext, teachers_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from srcli.data.held_out import Split
    from srcli.data.pictures import PictureRef
    from srcli.evaluation.sets import PictureSet
    from srcli.pipelines.ablate.results import Conditions
    from srcli.pipelines.ablate.store import Store
    from srcli.pipelines.ablate.units import AblateOptions, Unit
    from srcli.recipes.ablation import Ablation
    from srcli.recipes.training import TrainRecipe


@dataclass(kw_only=True)
class AblationPlan:
    """All units of a run by key, so that what two ablations share is done once."""

    bicubic: dict[str, BicubicUnit] = field(default_factory=dict)
    costs: dict[str, CostUnit] = field(default_factory=dict)
    trainings: dict[str, TrainingUnit] = field(default_factory=dict)
    runs: list[AblationRun] = field(default_factory=list)
    """One for each ablation."""

    @property
    def units(self) -> list[Unit]:
        """All units: bicubic and costs first, then trainings, seed after seed."""
        trainings = sorted(self.trainings.values(), key=lambda unit: unit.seed)
        return [*self.bicubic.values(), *self.costs.values(), *trainings]

    def missing(self, store: Store) -> list[Unit]:
        """Return the units that the store lacks, in their order."""
        found = (unit.remaining(store.read(unit.key)) for unit in self.units)
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
        scale, protocol, device = ablation.scale, ablation.protocol, conditions.device
        sizes, gradients = ablation.memory_sizes or (CHALLENGE_SIZE,), ablation.memory_gradients
        digests = {label: set_digest(pictures) for label, (_, pictures) in sets.items()}

        def measures(key: str) -> dict[str, Measurement]:
            """Return the measurements of the weights of a key, by set."""
            return {
                label: Measurement(
                    key=score_key(key, label, protocol, digests[label]),
                    dataset=given,
                    protocol=protocol,
                )
                for label, (given, _) in sets.items()
            }

        bicubic = measures(bicubic_key(scale))
        self._add_bicubic(scale, options, tuple(bicubic.values()))
        keys = []
        for variant, recipe in zip(ablation.variants, recipes, strict=True):
            name = f"{ablation.name}, {variant.name}"
            common: dict[str, Any] = {"options": options, "recipe": recipe, "scale": scale}
            memory: dict[str, Any] = {"sizes": sizes, "gradients": gradients}
            cost = cost_key(recipe, scale, **memory, device=device, threads=options.threads)
            self.costs.setdefault(cost, CostUnit(label=name, key=cost, **common, **memory))
            seeds = []
            for seed in range(conditions.seeds if conditions.trained else 0):
                decides = {"budget": options.budget, "precision": options.precision}
                data = conditions.data_digest
                key = training_key(recipe, scale, seed, **decides, data=data, device=device)
                measure = measures(key)
                # Another ablation may have the same training: then this adds what is new of it.
                known = self.trainings.get(key) or TrainingUnit(
                    label=f"{name}, seed {seed}",
                    key=key,
                    **common,
                    seed=seed,
                    validate=tuple(each.dataset for each in measure.values())[:1],
                )
                both = dict.fromkeys((*known.measure, *measure.values()))
                self.trainings[key] = replace(known, measure=tuple(both))
                seeds.append(SeedKeys(seed=seed, training=key, scores=_keys(measure)))
            keys.append(VariantKeys(cost=cost, seeds=tuple(seeds)))
        self.runs.append(
            AblationRun(
                ablation=ablation,
                conditions=conditions,
                keys=tuple(keys),
                bicubic=_keys(bicubic),
            )
        )

    def _add_bicubic(
        self, scale: int, options: AblateOptions, measure: tuple[Measurement, ...]
    ) -> None:
        key = bicubic_key(scale)
        known = self.bicubic.get(key)
        both = tuple(dict.fromkeys((*(known.measure if known else ()), *measure)))
        if both:
            self.bicubic[key] = BicubicUnit(
                label=f"bicubic x{scale}", key=key, options=options, scale=scale, measure=both
            )


def _keys(measure: Mapping[str, Measurement]) -> dict[str, str]:
    return {label: each.key for label, each in measure.items()}


def key_of(**parts: object) -> str:
    """Return a digest of named values, 32 hexadecimal digits; their order does not matter."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cost_key(recipe: TrainRecipe, scale: int, **conditions: object) -> str:
    """Return the key of the cost of a recipe's network under conditions such as the device."""
    network = deciding_fields(recipe)["network"]
    digest = key_of(
        model=recipe.model, network=network, scale=scale, version=evaluation_version(), **conditions
    )
    return f"{recipe.model}-x{scale}-cost-{digest}"


def training_key(recipe: TrainRecipe, scale: int, seed: int, **conditions: object) -> str:
    """Return the key of a training under conditions such as data and precision.

    The weights that the recipe names, to learn or to start from, count as well.
    """
    initial = initial_weights(recipe, scale)
    digest = key_of(
        recipe=deciding_fields(recipe),
        scale=scale,
        seed=seed,
        teacher=teachers_digest(recipe, scale),
        initial=file_digest(initial) if initial else None,
        version=TRAINING_VERSION,
        **conditions,
    )
    return f"{recipe.model}-x{scale}-seed{seed}-{digest}"


def score_key(training: str, label: str, protocol: str, pictures: str) -> str:
    """Return the key of the scores of a training on a set, by the digest of its pictures."""
    digest = key_of(
        training=training, protocol=protocol, pictures=pictures, version=evaluation_version()
    )
    return f"{label}-{protocol}-{digest}"


def deciding_fields(recipe: TrainRecipe) -> dict[str, Any]:
    """Return a recipe as plain values: options of the network in full, without its source."""
    network = network_options(recipe.model, recipe.network)
    plain = plain_recipe(replace(recipe, network=network))
    del plain["paper"], plain["inferred"]
    return plain


def data_digest(split: Split) -> str:
    """Return a digest of the encoded pictures to train and to validate on, in their order.

    A file that cannot be read counts by its name: the training will leave it out.
    """
    digest = hashlib.sha256()
    with Archives() as archives:
        for part in (split.train, split.held_out):
            digest.update(f"{len(part)}/".encode())
            for ref in part:
                digest.update(f"{ref.name}/".encode("utf-8", "surrogateescape"))
                digest.update(_content(archives, ref))
    return digest.hexdigest()[:32]


def _content(archives: Archives, ref: PictureRef) -> bytes:
    try:
        with one_file(ref):
            return hashlib.sha256(archives.read(ref)).digest()
    except SrxError:
        return b"unreadable"


def set_digest(pictures: PictureSet) -> str:
    """Return a digest of the files of an evaluation set, LR included where the set has it."""
    digest = hashlib.sha256()
    for item in pictures.items:
        digest.update(f"{item.name}/".encode("utf-8", "surrogateescape"))
        for path in (item.hr, item.lr):
            try:
                content = read_input(path) if path is not None else b""
            except OSError:
                content = b""  # the evaluation reports it
            digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]


def check_files(names: Iterable[str]) -> None:
    """Check that all variants of the ablations in files can be trained.

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
    fields = {v.name: deciding_fields(r) for v, r in zip(ablation.variants, recipes, strict=True)}
    for a, b in combinations(fields, 2):
        if fields[a] == fields[b]:
            raise RecipeError(
                f"{ablation.name}: variants {a!r} and {b!r} are the same: one says what "
                "is the default anyway"
            )
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
