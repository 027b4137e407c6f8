"""What a run of an ablation consists of: conditions, and the keys of its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from srcli.pipelines.ablation.results import (
    AblationResult,
    Conditions,
    Cost,
    Memory,
    SeedResult,
    SetScores,
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
        return cls(
            ablation=_ablation(content["ablation"]),
            conditions=convert(content["conditions"], Conditions, "conditions"),
            keys=convert(content["keys"], tuple[VariantKeys, ...], "keys"),
        )


def _ablation(plain: Mapping[str, Any]) -> Ablation:
    # Changes hold values of any kind, which no general reader of fields knows.
    variants = tuple(Variant(**each) for each in plain["variants"])
    sizes = tuple((height, width) for height, width in plain["memory_sizes"])
    own = {**plain, "variants": variants, "sets": tuple(plain["sets"]), "memory_sizes": sizes}
    return Ablation(**own)


def result_of(record: AblationRun, get: Callable[[str], Mapping[str, Any]]) -> AblationResult:
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


def _variant(
    variant: Variant, keys: VariantKeys, get: Callable[[str], Mapping[str, Any]]
) -> VariantResult:
    cost = get(keys.cost)
    failure = cost.get("failure", "")
    return VariantResult(
        variant=variant,
        cost=_cost(cost) if cost and not failure else None,
        cost_failure=failure,
        seeds=tuple(_seed(each, get) for each in keys.seeds),
    )


def _cost(figure: Mapping[str, Any]) -> Cost:
    return Cost(
        parameters=figure["parameters"],
        macs=figure["macs"],
        memory=tuple(
            Memory(**{**each, "size": (each["size"][0], each["size"][1])})
            for each in figure["memory"]
        ),
    )


def _seed(keys: SeedKeys, get: Callable[[str], Mapping[str, Any]]) -> SeedResult:
    training = get(keys.training)
    if not training or "failure" in training:
        return SeedResult(seed=keys.seed, failure=training.get("failure", ""))
    figures = {dataset: get(key) for dataset, key in keys.scores.items()}
    failures = [f"{d}: {f['failure']}" for d, f in figures.items() if "failure" in f]
    return SeedResult(
        seed=keys.seed,
        iterations=training["iterations"],
        seconds=training["seconds"],
        curves={
            dataset: tuple((int(at), float(psnr)) for at, psnr in points)
            for dataset, points in training["curves"].items()
        },
        scores={
            dataset: SetScores(pictures=figure["pictures"], seconds=figure["seconds"])
            for dataset, figure in figures.items()
            if figure and "failure" not in figure
        },
        failure="; ".join(failures),
    )
