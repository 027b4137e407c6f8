"""Records of runs, with conditions and keys of results; and the results of recorded runs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from srcli.errors import DataError, RecipeError
from srcli.pipelines.ablate.results import (
    AblationResult,
    Conditions,
    SeedResult,
    VariantResult,
)
from srcli.pipelines.ablate.store import COST, MISFIT, TRAINING, Store
from srcli.recipes.ablation import Ablation, Variant
from srcli.recipes.fields import convert

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

VERSION = 2
"""Version of the records; those of another one are reported and left out."""
TELLING = ("trained", "budget", "data_digest", "sets", "precision", "device")
"""Conditions that, beside overrides, make two runs of one ablation two results."""


@dataclass(frozen=True, kw_only=True)
class SeedKeys:
    """Keys of one training and its scores."""

    seed: int
    training: str
    scores: Mapping[str, str] = field(default_factory=dict)
    """By set."""


@dataclass(frozen=True, kw_only=True)
class VariantKeys:
    """Keys of the results of one variant."""

    cost: str
    seeds: tuple[SeedKeys, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AblationRun:
    """One ablation under one set of conditions, with the keys of its results."""

    ablation: Ablation
    conditions: Conditions
    keys: tuple[VariantKeys, ...]
    """One for each variant."""
    written: float = field(default=0.0, compare=False)
    """Time of the record, in seconds since 1970."""

    def __post_init__(self) -> None:
        """Refuse keys of other variants."""
        if len(self.keys) != len(self.ablation.variants):
            raise RecipeError(f"keys: {len(self.keys)} of {len(self.ablation.variants)} variants")

    def result(self, store: Store) -> AblationResult:
        """Return all results that are in the store by now."""
        pairs = zip(self.ablation.variants, self.keys, strict=True)
        return AblationResult(
            ablation=self.ablation,
            conditions=self.conditions,
            variants=tuple(_variant(store, variant, keys) for variant, keys in pairs),
        )


def put_run(store: Store, run: AblationRun) -> None:
    """Write the record of a run.

    It replaces the former one under the same conditions, unless that one compares the same
    variants and has more results, or as many and more seeds.

    Raises:
        DataError: If it cannot be written.
    """
    name, own = run.ablation.name, run.conditions
    decides = (name, *(getattr(own, each) for each in TELLING), *own.overrides)
    digest = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:8]
    file = store.folder / "runs" / f"{name.replace('/', '--')}-{digest}.json"
    try:
        former: AblationRun | None = _read_run(file)
    except DataError:
        former = None  # there is none, or it is damaged
    if former is None or not _has_more(store, former, run):
        store.write(file, {"version": VERSION, **asdict(replace(run, written=time.time()))})


def read_runs(store: Store, warn: Callable[[str], None] | None = None) -> list[AblationRun]:
    """Return all recorded runs, the newest first.

    Args:
        store: The store.
        warn: Receives a line for each file that cannot be read, which is then left out.

    Raises:
        DataError: If a file cannot be read and there is no ``warn``.
    """
    found = []
    for file in sorted((store.folder / "runs").glob("*.json")):
        try:
            found.append(_read_run(file))
        except DataError as error:
            if warn is None:
                raise
            warn(f"left out: {error}")
    return sorted(found, key=lambda run: -run.written)


def load_results(
    folder: Path,
    names: Collection[str] | None = None,
    *,
    warn: Callable[[str], None] | None = None,
) -> list[AblationResult]:
    """Return the results of former runs; nothing is trained or measured.

    Of several runs of an ablation with the same overrides the newest counts, and one that trained
    before one that did not.

    Args:
        folder: The store.
        names: Ablations that are wanted; None for all.
        warn: Receives a line for each file that cannot be read, which is then left out.

    Returns:
        Results by name; empty where nothing was run.

    Raises:
        DataError: If a file of the store cannot be read and there is no ``warn``.
    """
    store = Store(folder)
    runs = [r for r in read_runs(store, warn) if names is None or r.ablation.name in names]
    runs.sort(key=lambda run: not run.conditions.trained)  # stable: newest stay first
    first: dict[tuple[str, ...], AblationRun] = {}
    for run in runs:
        first.setdefault((run.ablation.name, *run.conditions.overrides), run)
    chosen = sorted(first.values(), key=lambda run: run.ablation.name)
    return [run.result(store) for run in chosen]


def _variant(store: Store, variant: Variant, keys: VariantKeys) -> VariantResult:
    found = store.read(keys.cost)
    return VariantResult(
        variant=variant,
        cost=found.cost,
        cost_failure=found.failures.get(COST, ""),
        seeds=tuple(_seed(store, each) for each in keys.seeds),
    )


def _seed(store: Store, keys: SeedKeys) -> SeedResult:
    found = store.read(keys.training)
    if found.training is None:
        return SeedResult(seed=keys.seed, failure=found.failures.get(TRAINING, ""))
    failed = {name: found.failures.get(key) for name, key in keys.scores.items()}
    return SeedResult(
        seed=keys.seed,
        iterations=found.training.iterations,
        seconds=found.training.seconds,
        curves=found.training.curves,
        scores={s: found.scores[key] for s, key in keys.scores.items() if key in found.scores},
        failure="; ".join(f"{name}: {reason}" for name, reason in failed.items() if reason),
    )


def _has_more(store: Store, former: AblationRun, run: AblationRun) -> bool:
    if _compared(former.ablation) != _compared(run.ablation):
        return False
    have = [(each.result(store).done, each.conditions.seeds) for each in (former, run)]
    return have[0] > have[1]


def _compared(ablation: Ablation) -> str:
    """Return everything that an ablation compares, without names and sentences."""
    variants = {each.name: dict(each.changes) for each in ablation.variants}
    own = (ablation.recipe, ablation.scale, ablation.protocol, dict(ablation.changes), variants)
    return json.dumps(own, sort_keys=True)


def _read_run(file: Path) -> AblationRun:
    """Read the record of a run.

    Raises:
        DataError: If the file is missing or damaged, or of another version.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if (version := content.pop("version", None)) != VERSION:
            raise ValueError(f"version {version}, not {VERSION}")
        run: AblationRun = convert(content, AblationRun, "the run")
        return run
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    except (*MISFIT, RecipeError) as error:
        raise DataError(
            f"{file}: not a run of this version ({error}); delete it, or run the ablation again"
        ) from error
