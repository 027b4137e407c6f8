"""The folder of results: figures by content, trainings, and what each run of an ablation was."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from srcli.errors import DataError, RecipeError
from srcli.pipelines.ablate.figures import read_training
from srcli.pipelines.ablate.record import AblationRun, result_of
from srcli.recipes.files import plain_recipe, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from srcli.pipelines.ablate.results import AblationResult
    from srcli.recipes.ablation import Ablation
    from srcli.recipes.training import TrainRecipe


class Store:
    """Results that are already there need not be made again.

    ``figures/`` holds small JSON files, each named by the digest of all that decides it;
    ``trainings/`` the folders of trainings; ``recipes/`` the recipes they follow; ``runs/`` one
    file for every ablation and its conditions, which says where its figures are; ``claims/`` the
    empty files by which several processes keep out of each other's way.

    Args:
        folder: Made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> dict[str, Any]:
        """Return a figure; empty where there is none, or where it is damaged."""
        try:
            content = json.loads(self._figure(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def has(self, key: str) -> bool:
        """Whether there is a figure that is not a failure."""
        found = self.get(key)
        return bool(found) and "failure" not in found

    def put(self, key: str, content: Mapping[str, Any]) -> None:
        """Keep a figure; one with a ``failure`` is shown, but made again by the next run.

        Raises:
            DataError: If it cannot be written.
        """
        self._write(self._figure(key), content)

    def forget(self, key: str) -> None:
        """Remove a figure, so that it is made again.

        Raises:
            DataError: If it cannot be removed.
        """
        try:
            self._figure(key).unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def claim_file(self, key: str) -> Path:
        """Return the file that stands for making a result."""
        return self.folder / "claims" / f"{key}.lock"

    def training(self, key: str) -> Path:
        """Return the folder of a training."""
        return self.folder / "trainings" / key

    def weights(self, key: str) -> Path | None:
        """Return the weights of a training that has ended; None where they are not there."""
        training = read_training(self.get(key))
        file = self.training(key) / training.weights if training else None
        return file if file is not None and file.is_file() else None

    def drop_training(self, key: str) -> None:
        """Remove the folder of a training that cannot go on.

        Raises:
            DataError: If it cannot be removed.
        """
        try:
            shutil.rmtree(self.training(key))
        except OSError as error:
            raise self._unwritable(error) from error

    def put_recipe(self, recipe: TrainRecipe) -> Path:
        """Keep a recipe as a file that can be trained from, and return its path.

        Raises:
            DataError: If it cannot be written.
        """
        plain = plain_recipe(recipe)
        name = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
        file = self.folder / "recipes" / f"{recipe.model}-{name}.json"
        if not file.is_file():
            self._write(file, plain)
        return file

    def put_run(self, record: AblationRun) -> None:
        """Keep what a run consists of.

        It replaces the former one under the same conditions, unless that one compares the same
        and has more results, or as many and more seeds.

        Raises:
            DataError: If it cannot be written.
        """
        file = self._run_file(record)
        try:
            _, former = self._run(file)
        except DataError:
            former = None  # there is none, or it is damaged
        if former is None or not self._is_more(former, record):
            self._write(file, {"written": time.time(), **asdict(record)})

    def runs(self, warn: Callable[[str], None] | None = None) -> list[AblationRun]:
        """Return all runs, the newest first.

        Args:
            warn: Told of files that cannot be read, which are then left out.

        Raises:
            DataError: If one of them cannot be read, and nobody is to be told.
        """
        found = []
        for file in sorted((self.folder / "runs").glob("*.json")):
            try:
                found.append(self._run(file))
            except DataError as error:
                if warn is None:
                    raise
                warn(f"left out: {error}")
        found.sort(key=lambda pair: -pair[0])
        return [record for _, record in found]

    def result(self, record: AblationRun) -> AblationResult:
        """Return what is there of a run by now."""
        return result_of(record, self.get)

    def _run_file(self, record: AblationRun) -> Path:
        own = record.conditions
        # Without settings, the digest is that of former versions, whose runs are replaced.
        decides = (record.ablation.name, *(getattr(own, name) for name in _TELLING), *own.overrides)
        digest = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:8]
        return self.folder / "runs" / f"{record.ablation.name.replace('/', '--')}-{digest}.json"

    def _is_more(self, former: AblationRun, record: AblationRun) -> bool:
        if _compared(former.ablation) != _compared(record.ablation):
            return False
        have = [(self.result(each).done, each.conditions.seeds) for each in (former, record)]
        return have[0] > have[1]

    def _run(self, file: Path) -> tuple[float, AblationRun]:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            return float(content.pop("written")), AblationRun.from_plain(content)
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror})") from error
        except (ValueError, TypeError, KeyError, AttributeError, RecipeError) as error:
            raise DataError(
                f"{file}: not a run of this version ({error}); delete it, or run the ablation again"
            ) from error

    def _figure(self, key: str) -> Path:
        return self.folder / "figures" / key[:2] / f"{key}.json"

    def _write(self, file: Path, content: Mapping[str, Any]) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, content)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"--store {self.folder}: cannot be written ({error.strerror})")


_TELLING = ("trained", "budget", "data_digest", "sets", "precision", "device")
"""Conditions, beside what was set, under which two runs of one ablation are two results."""


def _compared(ablation: Ablation) -> str:
    """Return what an ablation compares, without the words about it."""
    variants = {each.name: dict(each.changes) for each in ablation.variants}
    own = (ablation.recipe, ablation.scale, ablation.protocol, dict(ablation.changes), variants)
    return json.dumps(own, sort_keys=True)


def load_results(
    folder: Path,
    names: Collection[str] | None = None,
    *,
    every: bool = False,
    warn: Callable[[str], None] | None = None,
) -> list[AblationResult]:
    """Return the results of former runs; nothing is trained or measured.

    Args:
        folder: The store.
        names: Ablations that are wanted; None for all.
        every: All conditions that an ablation was run under; else only the newest run of each for
            whatever was set for all variants, and one that trained before one that did not.
        warn: Told of files that cannot be read, which are then left out.

    Returns:
        By name; empty where nothing was run.

    Raises:
        DataError: If a file of the store cannot be read, and nobody is to be told.
    """
    store = Store(folder)
    records = [r for r in store.runs(warn) if names is None or r.ablation.name in names]
    if not every:
        records.sort(key=lambda record: not record.conditions.trained)  # stable: newest stay first
        first: dict[tuple[str, ...], AblationRun] = {}
        for record in records:
            asked = (record.ablation.name, *record.conditions.overrides)
            first.setdefault(asked, record)
        records = list(first.values())
    records.sort(key=lambda record: record.ablation.name)
    return [store.result(record) for record in records]
