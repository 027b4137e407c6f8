"""What a run of an ablation consists of: conditions, and the keys of its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from srcli.errors import RecipeError
from srcli.pipelines.ablate.figures import (
    Figure,
    failure_of,
    read_cost,
    read_scores,
    read_training,
)
from srcli.pipelines.ablate.results import (
    AblationResult,
    Conditions,
    SeedResult,
    VariantResult,
)
from srcli.recipes.ablation import Ablation, Variant
from srcli.recipes.fields import convert


@dataclass(frozen=True, kw_only=True)
class SeedKeys:
    """Where the figures of one training are."""

    seed: int
    training: str
    scores: Mapping[str, str] = field(default_factory=dict)
    """By set."""


@dataclass(frozen=True, kw_only=True)
class VariantKeys:
    """Where the figures of one variant are."""

    cost: str
    seeds: tuple[SeedKeys, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AblationRun:
    """One ablation under one set of conditions."""

    ablation: Ablation
    conditions: Conditions
    keys: tuple[VariantKeys, ...]
    """One for each variant."""

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> AblationRun:
        """Read what ``dataclasses.asdict`` and JSON made of a record.

        Raises:
            RecipeError: If a field does not fit.
            KeyError: If one is missing.
            TypeError: If one is unknown.
        """
        ablation = _ablation(content["ablation"])
        keys: tuple[VariantKeys, ...]
        keys = convert(content["keys"], tuple[VariantKeys, ...], "keys")
        if len(keys) != len(ablation.variants):
            raise RecipeError(f"keys: {len(keys)} of {len(ablation.variants)} variants")
        conditions: Conditions = convert(content["conditions"], Conditions, "conditions")
        return cls(ablation=ablation, conditions=conditions, keys=keys)


def _ablation(plain: Mapping[str, Any]) -> Ablation:
    # Changes hold values of any kind, which no general reader of fields knows.
    variants = tuple(Variant(**each) for each in plain["variants"])
    sizes = tuple((height, width) for height, width in plain["memory_sizes"])
    own = {**plain, "variants": variants, "sets": tuple(plain["sets"]), "memory_sizes": sizes}
    return Ablation(**own)


def result_of(record: AblationRun, get: Callable[[str], Figure]) -> AblationResult:
    """Put together what is known of a run.

    Args:
        record: The run.
        get: Gives the figure of a key; empty where there is none.
    """
    pairs = zip(record.ablation.variants, record.keys, strict=True)
    return AblationResult(
        ablation=record.ablation,
        conditions=record.conditions,
        variants=tuple(_variant(variant, keys, get) for variant, keys in pairs),
    )


def _variant(variant: Variant, keys: VariantKeys, get: Callable[[str], Figure]) -> VariantResult:
    cost = get(keys.cost)
    return VariantResult(
        variant=variant,
        cost=read_cost(cost),
        cost_failure=failure_of(cost),
        seeds=tuple(_seed(each, get) for each in keys.seeds),
    )


def _seed(keys: SeedKeys, get: Callable[[str], Figure]) -> SeedResult:
    training = read_training(get(keys.training))
    if training is None:
        return SeedResult(seed=keys.seed, failure=failure_of(get(keys.training)))
    figures = {dataset: get(key) for dataset, key in keys.scores.items()}
    failures = [f"{d}: {failure_of(f)}" for d, f in figures.items() if failure_of(f)]
    scores = {dataset: read_scores(figure) for dataset, figure in figures.items()}
    return SeedResult(
        seed=keys.seed,
        iterations=training.iterations,
        seconds=training.seconds,
        curves=training.curves,
        scores={dataset: each for dataset, each in scores.items() if each is not None},
        failure="; ".join(failures),
    )
