"""The store: a folder with ``result.json`` for each training, and for the cost of each variant."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from srcli.errors import DataError
from srcli.files import lock_file
from srcli.pipelines.ablate.results import Cost, MemoryUse, SetScores, Trained
from srcli.recipes.ablation import METRICS
from srcli.recipes.files import plain_recipe, write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from srcli.recipes.training import TrainRecipe

COST, TRAINING = "cost", "training"
"""Parts of results beside the scores, which have a key of their own each."""
WEIGHTS = "last.safetensors"
"""The weights that are measured: the best by validation may be older than the last stage."""
MISFIT = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""Errors that reading a file of another shape can give."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class StoredResult:
    """All that is known of the cost of a variant, or of one of its trainings."""

    cost: Cost | None = None
    training: Trained | None = None
    scores: Mapping[str, SetScores] = field(default_factory=dict)
    """By key."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Reasons by part: ``cost``, ``training``, or the key of scores."""

    def has(self, part: str) -> bool:
        """Return whether a part is there."""
        whole = {COST: self.cost, TRAINING: self.training, **self.scores}
        return whole.get(part) is not None


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
        parts = self._parts(key)
        scores = {name: _read(_scores, part) for name, part in parts.items()}
        failures = {name: _read(_failure, part) for name, part in parts.items()}
        return StoredResult(
            cost=_read(_cost, parts.get(COST)),
            training=_read(_training, parts.get(TRAINING)),
            scores={name: each for name, each in scores.items() if each is not None},
            failures={name: each for name, each in failures.items() if each is not None},
        )

    def put(
        self,
        key: str,
        part: str,
        value: Cost | Trained | SetScores | str | None,
        label: str = "",
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
            content = json.loads((self._folder(key) / "result.json").read_text(encoding="utf-8"))
            return dict(content["parts"])
        except (OSError, *MISFIT):
            return {}

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"--store {self.folder}: cannot be written ({error.strerror})")


def _read(reader: Callable[[Any], T], part: Any) -> T | None:  # noqa: ANN401 - of a file
    try:
        return reader(part)
    except MISFIT:
        return None


def _failure(part: Any) -> str:  # noqa: ANN401
    return str(part["failure"])


def _cost(part: Any) -> Cost:  # noqa: ANN401
    memory = []
    for each in part["memory"]:
        (height, width), peak = each["size"], each["peak"]
        size, peak = (int(height), int(width)), None if peak is None else int(peak)
        memory.append(
            MemoryUse(size=size, peak=peak, of=str(each["of"]), reason=str(each.get("reason", "")))
        )
    return Cost(parameters=int(part["parameters"]), macs=int(part["macs"]), memory=tuple(memory))


def _training(part: Any) -> Trained:  # noqa: ANN401
    curves = {
        str(dataset): tuple((int(at), float(psnr)) for at, psnr in points)
        for dataset, points in part["curves"].items()
    }
    return Trained(
        iterations=int(part["iterations"]), seconds=_number(part["seconds"]), curves=curves
    )


def _scores(part: Any) -> SetScores:  # noqa: ANN401
    pictures = {
        str(name): {metric: float(values[metric]) for metric in METRICS}
        for name, values in part["pictures"].items()
    }
    if not pictures:
        raise ValueError("no pictures")
    return SetScores(
        pictures=pictures,
        seconds=_number(part["seconds"]),
        left_out=tuple(map(str, part.get("left_out", ()))),
        of=int(part.get("of", len(pictures))),
    )


def _number(value: Any) -> float | None:  # noqa: ANN401
    return None if value is None else float(value)
