"""The store: a folder with ``result.json`` for each training and cost, and records of runs."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from srcli.errors import DataError, RecipeError
from srcli.files import cache_folder, lock_file, parse_text
from srcli.pipelines.ablate.results import (
    COST,
    TRAINING,
    AblationResult,
    Conditions,
    Cost,
    SeedKeys,
    SeedResult,
    SetScores,
    StoredResult,
    Trained,
    VariantKeys,
    VariantResult,
    bicubic_key,
)
from srcli.recipes.ablation import Ablation
from srcli.recipes.fields import convert
from srcli.recipes.files import plain_recipe, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractContextManager
    from pathlib import Path

    from srcli.recipes.training import TrainRecipe

WEIGHTS = "last.safetensors"
"""The weights that are measured: the best by validation may be older than the last stage."""
VERSION = 2
"""Version of the records of runs; those of another one are reported and left out."""
TELLING = ("trained", "budget", "data_digest", "sets", "precision", "device")
"""Conditions that, beside overrides, make two runs of one ablation two results."""
MISFIT = (LookupError, TypeError, ValueError, AttributeError)
"""Errors that reading a file of another shape can give."""


def default_store() -> Path:
    """Return the folder where results are kept unless another one is named."""
    return cache_folder() / "ablations"


class Store:
    """Stored results, which need not be computed again.

    ``results/`` has a folder for each key: ``result.json``, and for a training its recipe and a
    folder ``training`` with weights and log. ``runs/`` has the records of runs.

    Args:
        folder: Made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str) -> StoredResult:
        """Return the result of a key; parts that are missing or damaged are left out."""
        whole: dict[str, Any] = {}
        failures = {}
        for part, plain in self._parts(key).items():
            if isinstance(plain, dict) and "failure" in plain:
                failures[part] = str(plain["failure"])
                continue
            kind = {COST: Cost, TRAINING: Trained}.get(part, SetScores)
            with suppress(RecipeError):  # damaged
                whole[part] = convert(plain, kind, part)
        cost, training = whole.pop(COST, None), whole.pop(TRAINING, None)
        return StoredResult(cost=cost, training=training, scores=whole, failures=failures)

    def put(
        self, key: str, part: str, value: Cost | Trained | SetScores | str | None, label: str = ""
    ) -> None:
        """Store a part of a result.

        Args:
            key: Key of the result.
            part: ``cost``, ``training``, or the key of scores.
            value: A text is the reason why it failed, None removes it; the next run tries again.
            label: Ablation, variant and seed in words, for people who read the file.

        Raises:
            DataError: If it cannot be written.
        """
        parts = self._parts(key)
        if value is None:
            parts.pop(part, None)
        else:
            parts[part] = {"failure": value} if isinstance(value, str) else asdict(value)
        self.write(self._folder(key) / "result.json", {"key": key, "label": label, "parts": parts})

    def lock(self, key: str) -> AbstractContextManager[bool]:
        """Keep other processes from computing a result; gives false where one does already."""
        return lock_file(self._folder(key) / ".lock")

    def training(self, key: str) -> Path:
        """Return the folder of a training."""
        return self._folder(key) / "training"

    def weights(self, key: str) -> Path | None:
        """Return the weights of a finished training, or None if they are not there."""
        file = self.training(key) / WEIGHTS
        return file if self.read(key).training is not None and file.is_file() else None

    def drop_training(self, key: str) -> None:
        """Remove the folder of a training that cannot go on.

        Raises:
            DataError: If it cannot be removed.
        """
        try:
            shutil.rmtree(self.training(key))
        except OSError as error:
            raise self._unwritable(error) from error

    def put_recipe(self, key: str, recipe: TrainRecipe) -> Path:
        """Write the recipe of a training as a file to train from, and return its path.

        Raises:
            DataError: If it cannot be written.
        """
        file = self._folder(key) / f"{recipe.model}-variant.json"
        self.write(file, plain_recipe(recipe))
        return file

    def write(self, file: Path, content: Mapping[str, Any]) -> None:
        """Write a JSON file of the store, whole or not at all.

        Raises:
            DataError: If it cannot be written.
        """
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, content)
        except OSError as error:
            raise self._unwritable(error) from error

    def _folder(self, key: str) -> Path:
        return self.folder / "results" / key

    def _parts(self, key: str) -> dict[str, Any]:
        try:
            content = parse_text((self._folder(key) / "result.json").read_text(encoding="utf-8"))
            return dict(content["parts"])
        except (OSError, *MISFIT):
            return {}

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"--store {self.folder}: cannot be written ({error.strerror})")


@dataclass(frozen=True, kw_only=True)
class AblationRun:
    """One ablation under one set of conditions, with the keys of its results."""

    ablation: Ablation
    conditions: Conditions
    keys: tuple[VariantKeys, ...]
    """One for each variant."""
    bicubic: Mapping[str, str] = field(default_factory=dict)
    """Keys of the scores of bicubic by set; empty in records of former versions."""
    written: float = field(default=0.0, compare=False)
    """Time of the record, in seconds since 1970."""

    def __post_init__(self) -> None:
        """Refuse keys of other variants."""
        if len(self.keys) != len(self.ablation.variants):
            raise RecipeError(f"keys: {len(self.keys)} of {len(self.ablation.variants)} variants")

    def result(self, store: Store) -> AblationResult:
        """Return all results that are in the store by now."""
        variants = []
        for variant, keys in zip(self.ablation.variants, self.keys, strict=True):
            found = store.read(keys.cost)
            variants.append(
                VariantResult(
                    variant=variant,
                    cost=found.cost,
                    cost_failure=found.failures.get(COST, ""),
                    seeds=tuple(_seed(store, each) for each in keys.seeds),
                )
            )
        return AblationResult(
            ablation=self.ablation,
            conditions=self.conditions,
            variants=tuple(variants),
            bicubic=store.read(bicubic_key(self.ablation.scale)).by_set(self.bicubic),
        )


def _seed(store: Store, keys: SeedKeys) -> SeedResult:
    found = store.read(keys.training)
    if found.training is None:
        return SeedResult(seed=keys.seed, failure=found.failures.get(TRAINING, ""))
    failed = [f"{s}: {found.failures[k]}" for s, k in keys.scores.items() if k in found.failures]
    scores = found.by_set(keys.scores)
    training, failure = vars(found.training), "; ".join(failed)
    return SeedResult(seed=keys.seed, **training, scores=scores, failure=failure)


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
    with suppress(DataError):  # there is none, or it is damaged
        former = _read_run(file)
        have, has = ((each.result(store).done, each.conditions.seeds) for each in (former, run))
        if _compared(former.ablation) == _compared(run.ablation) and have > has:
            return
    store.write(file, {"version": VERSION, **asdict(replace(run, written=time.time()))})


def _compared(ablation: Ablation) -> tuple[object, ...]:
    """Return everything that an ablation compares, without names and sentences."""
    variants = {each.name: each.changes for each in ablation.variants}
    return ablation.recipe, ablation.scale, ablation.protocol, ablation.changes, variants


def read_runs(store: Store, warn: Callable[[str], None] | None = None) -> list[AblationRun]:
    """Return all recorded runs, the newest first; ``warn`` as in :func:`load_results`."""
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


def _read_run(file: Path) -> AblationRun:
    """Read the record of a run; a missing or damaged one, or one of another version, is refused."""
    try:
        content = parse_text(file.read_text(encoding="utf-8"))
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
